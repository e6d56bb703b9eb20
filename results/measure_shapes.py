"""Measures what face networks and the image encoder know of a rendered face: its shape, brows, skin and hair.

    python results/measure_shapes.py --data DIR

DIR is what `bench train people --data DIR` wrote. The renderer knows each person's parameters. A linear map
(ridge regression) from a network's mean vector of four photographs to them is fitted on training people and
judged on test people, whom no network was trained on.
"""

import argparse
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from bench.errors import BenchError
from bench.markdown import table
from bench.people.identity import Persona, sample_persona
from bench.people.photos import write_whole
from bench.people.training import RenderedTrainingSet
from bench.workshop import ROOT, Place
from methods.image_encoder import EMBEDDED_CLIP, open_encoder
from metrics.encoders.face_rendered import FaceRendered
from metrics.encoders.weights import sha256, shipped
from metrics.encoders.yunet_sface import SFace, YuNet

Floats = NDArray[np.float64]
Eye = Callable[[Sequence[Image.Image]], Floats]
PHOTOS: Final = 4
"""Of each person."""
PENALTIES: Final = 10.0 ** np.arange(0, 7)
REPLICATES: Final = 1000
KINDS: Final = ("nose", "eye", "mouth", "chin", "cheek", "head")
"""The local shape targets by the first word of their names; the few others are not judged."""
GROUPS: Final = (*KINDS, "brows", "body", "skin tone", "hair colour", "hairstyle")


def main(words: Sequence[str] | None = None) -> None:
    """Measure and write `shapes.json` and `shapes.md`."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data", type=Path, default=ROOT / "people", help="what `bench train people` wrote")
    parser.add_argument("--fitted", type=int, default=800, help="training people, the first so many")
    parser.add_argument("--judged", type=int, default=100, help="test people, the first so many")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "world")
    given = parser.parse_args(words)
    try:
        place = Place(given.data, checkpoints=given.data, out=given.out)
        sides = [
            mean_vectors(place.photos(split), people)
            for split, people in (("train", given.fitted), ("test", given.judged))
        ]
    except BenchError as error:
        parser.error(str(error))
    (known, seeds), (unseen, strangers) = sides
    truth = {name: (traits(seeds, name), traits(strangers, name)) for name in GROUPS}
    found = {
        name: {eye: explained(known[eye], fitted, unseen[eye], judged) for eye in known}
        for name, (fitted, judged) in truth.items()
    }
    numbers = {
        "fitted": len(seeds),
        "judged": len(strangers),
        "photos": PHOTOS,
        "digests": digests(),
        "explained": found,
    }
    given.out.mkdir(parents=True, exist_ok=True)
    write_whole(given.out / "shapes.json", json.dumps(numbers, indent=1) + "\n")
    write_whole(given.out / "shapes.md", render(numbers))


def digests() -> dict[str, str]:
    """Of the shipped weights that were looked through."""
    files = (EMBEDDED_CLIP / "model.safetensors", shipped("face-rendered", None, stand_in="sface"))
    return {file.name: sha256(file)[:16] for file in files}


def mean_vectors(photos: RenderedTrainingSet, people: int) -> tuple[dict[str, Floats], list[int]]:
    """Each network's mean vector of each person, and the people's seeds; raises BenchError for too few."""
    there = np.unique(photos.identities)
    if not 10 <= people <= len(there):
        raise BenchError(f"{people} people: wanted 10 to {len(there)}, which is how many the folder has")
    rows = [np.flatnonzero(photos.identities == who)[:PHOTOS] for who in there[:people]]
    images = [Image.fromarray(np.array(photos.pixels[row])) for row in np.concatenate(rows)]
    whose = np.repeat(np.arange(people), [len(own) for own in rows])
    found = {}
    for name, see in networks().items():
        vectors = np.concatenate([see(images[i : i + 200]) for i in range(0, len(images), 200)])
        found[name] = np.stack([np.nanmean(vectors[whose == who], axis=0) for who in range(people)])
    return found, [photos.photos.records[own[0]].identity for own in rows]


def networks() -> dict[str, Eye]:
    """What looks at photographs: both judges, and the adapters' image encoder by all its tokens."""
    yunet = YuNet()
    clip = open_encoder(EMBEDDED_CLIP, torch.device("cpu"))

    def tokens(images: Sequence[Image.Image]) -> Floats:
        return clip.patches(images).flatten(1).numpy().astype(np.float64)

    return {
        "sface": SFace(yunet).encode,
        "face-rendered": FaceRendered(yunet).encode,
        "clip-embedded": tokens,
    }


def traits(seeds: Sequence[int], group: str) -> Floats:
    """People x the group's parameters; classes as zeros and ones."""
    return np.array([_traits(sample_persona(seed), group) for seed in seeds], np.float64)


def _traits(who: Persona, group: str) -> list[float]:
    match group:
        case "brows":
            return list(asdict(who.brows).values())
        case "body":
            return [
                who.phenotype.femininity,
                who.phenotype.ageing,
                who.phenotype.weight,
                *who.phenotype.ancestry,
            ]
        case "skin tone":
            return [who.skin_tone]
        case "hair colour":
            return [float(who.hair == colour) for colour in ("black", "brown", "blond", "red", "grey")]
        case "hairstyle":
            styles = ("bald", "buzz", "short", "curly", "bob", "long", "bun")
            return [float(who.style == style) for style in styles]
        case _:
            return [amount for name, amount in sorted(who.amounts.items()) if name.startswith(f"{group}-")]


def explained(x: Floats, y: Floats, x_unseen: Floats, y_unseen: Floats, *, seed: int = 0) -> list[float]:
    """R^2 on the unseen, the mean over y's columns, with its 95 % interval by a bootstrap over people.

    0 is what the mean of the fitted people gives; the penalty is the one with the least leave-one-out error
    among the fitted (Allen 1974, PRESS), so the unseen choose nothing. Columns that do not vary are left out.
    """
    varied = (y.std(0) > 0) & (y_unseen.std(0) > 0)
    y, y_unseen = y[:, varied], y_unseen[:, varied]
    centre, spread = x.mean(0), x.std(0) + 1e-6
    x, x_unseen = (x - centre) / spread, (x_unseen - centre) / spread
    gram, mean = x @ x.T, y.mean(0)
    values, basis = np.linalg.eigh(gram)
    within = basis.T @ (y - mean)

    def left_out(penalty: float) -> float:
        shrunk = values / (values + penalty)
        leverage = (basis**2) @ shrunk + 1 / len(y)
        error = (y - mean - basis @ (shrunk[:, None] * within)) / (1 - leverage)[:, None]
        return float((error / y.std(0)).var())

    penalty = min(PENALTIES, key=left_out)
    weights = basis @ (within / (values + penalty)[:, None])
    wrong = np.square(y_unseen - mean - x_unseen @ (x.T @ weights))
    blind = np.square(y_unseen - mean)
    rng = np.random.default_rng(seed)
    draws = [np.arange(len(wrong)), *rng.integers(0, len(wrong), (REPLICATES, len(wrong)))]
    scores = [float((1 - wrong[d].sum(0) / np.maximum(blind[d].sum(0), 1e-12)).mean()) for d in draws]
    return [scores[0], *(float(edge) for edge in np.quantile(scores[1:], (0.025, 0.975)))]


def render(numbers: Mapping[str, Any]) -> str:
    """The page; every number in it comes from `numbers`."""
    found = numbers["explained"]
    eyes = list(next(iter(found.values())))
    rows = [
        [name, *(f"{value:.2f} [{low:.2f}, {high:.2f}]" for value, low, high in by_eye.values())]
        for name, by_eye in found.items()
    ]
    return f"""# What the networks know of a face

How much of a rendered person's parameters a linear map reads out of each network's mean vector of
{numbers["photos"]} photographs: R², the mean over a group's parameters, with its 95 % interval over people.
1 is everything, 0 what one would guess of a stranger. Fitted on {numbers["fitted"]} training people,
judged on {numbers["judged"]} test people. `python results/measure_shapes.py` made this page.

{table(["parameters", *eyes], rows)}

`nose` to `head` are local shapes, `body` is sex, age, weight and ancestry. `clip-embedded` is the image
encoder that ip-adapter and the leave-one-out methods see through. Where it and `face-rendered` know nothing
and `sface` does, a method can be good by one face network and poor by the other: read both.
"""


if __name__ == "__main__":
    main()
