"""The card of the evaluation networks: how good they are on people they have never seen, measured."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from metrics.encoders.attributes import AttributeClassifier
from metrics.encoders.faces.face_rendered import FaceRendered
from metrics.encoders.faces.sface import SFace
from metrics.encoders.faces.yunet import YuNet
from metrics.encoders.runtime.weight_files import sha256
from metrics.interface import Encoder, Features
from metrics.statistics.verification import area_under_curve, cosine, threshold_at
from metrics.training.attributes import UNSEEN, targets
from metrics.training.augmentation import LabelledPhotos

FALSE_ACCEPTS: Final = 0.01


@dataclass(frozen=True)
class FaceQuality:
    """How well a face network tells people apart by pairs of photographs."""

    encoder: str
    found: float
    """Share of the photographs in which a face was found."""
    same: float
    """Mean cosine of two photographs of one person."""
    different: float
    """Mean cosine of photographs of two people."""
    area: float
    """The chance that a same-person pair is the more alike (AUC)."""
    verified: float
    """Share of same-person pairs above the cosine that 1 % of different-person pairs exceed."""


@dataclass(frozen=True)
class AttributeQuality:
    """How often the classifier names an attribute rightly, where it can be seen."""

    name: str
    accuracy: float
    seen: int
    """Photographs judged."""
    classes: tuple[str, ...]


@dataclass(frozen=True)
class Card:
    """All that was measured."""

    photos: int
    people: int
    several_faces: float
    """Share of the photographs in which the detector found more than one face."""
    faces: tuple[FaceQuality, ...]
    attributes: tuple[AttributeQuality, ...]
    files: tuple[tuple[str, int, str], ...]
    """Name, bytes and SHA-256 of each weight file."""
    note: str = ""
    """What else must be known of how these files were made."""


def write_card(folder: Path, photos: LabelledPhotos, note: str = "") -> Card:
    """Measure the networks in `folder` on photos of unseen people; write `card.json` and `README.md`."""
    card = replace(measure(folder, photos), note=note)
    _write(folder / "card.json", json.dumps(asdict(card), indent=1) + "\n")
    _write(folder / "README.md", markdown(card))
    return card


def measure(folder: Path, photos: LabelledPhotos) -> Card:
    """The quality of both networks in `folder`, and of SFace beside them."""
    images = [Image.fromarray(np.asarray(pixels)) for pixels in photos.pixels]
    yunet = YuNet()
    encoders: list[Encoder] = [SFace(yunet), FaceRendered(yunet, folder / "face-rendered.safetensors")]
    classifier = AttributeClassifier(folder / "attributes.safetensors")
    files = [folder / "face-rendered.safetensors", folder / "attributes.safetensors"]
    return Card(
        photos=len(images),
        people=len(set(photos.identities.tolist())),
        several_faces=float(np.mean([len(boxes) > 1 for boxes in yunet.boxes(images)])),
        faces=tuple(face_quality(e.name, e.encode(images), photos.identities) for e in encoders),
        attributes=_attribute_qualities(classifier, images, photos),
        files=tuple((path.name, path.stat().st_size, sha256(path)) for path in files),
    )


def face_quality(encoder: str, vectors: Features, identities: NDArray[np.int64]) -> FaceQuality:
    """Quality over all pairs of N x D vectors; rows of NaN (no face) take no part."""
    seen = ~np.isnan(vectors).any(1)
    people = identities[seen]
    upper = np.triu_indices(len(people), 1)
    cosines = cosine(vectors[seen], vectors[seen])[upper]
    one = people[upper[0]] == people[upper[1]]
    same, different = cosines[one], cosines[~one]
    return FaceQuality(
        encoder,
        found=float(seen.mean()),
        same=float(same.mean()),
        different=float(different.mean()),
        area=area_under_curve(same, different),
        verified=float((same > threshold_at(different, FALSE_ACCEPTS)).mean()),
    )


def markdown(card: Card) -> str:
    """The card as a page."""
    files = [f"| `{name}` | {size / 1e6:.2f} MB | `{digest[:16]}` |" for name, size, digest in card.files]
    faces = [
        f"| {f.encoder} | {f.area:.4f} | {f.verified:.3f} | {f.same:.3f} | {f.different:.3f} |"
        f" {f.found:.4f} |"
        for f in card.faces
    ]
    attributes = [
        f"| {a.name} | {a.accuracy:.4f} | {a.seen} | {', '.join(a.classes)} |" for a in card.attributes
    ]
    note = [card.note, ""] if card.note else []
    tables = [*files, "", *note, *_faces_head(card), *faces, "", *_ATTRIBUTES_HEAD, *attributes]
    return "\n".join([*_HEAD, *tables, "", *_FOOT])


_HEAD: Final = (
    "# Evaluation networks of the embedded world",
    "",
    "Two small residual networks, trained from scratch on rendered people; no method conditions on them.",
    "`face-rendered` turns an eye-aligned picture of 64 pixels into a vector by which people are told apart",
    "(ArcFace loss, Deng et al. 2019). `attributes` says what a caption could say of such a picture.",
    "",
    "Made by `bench train encoders`, from the rendered training people; stored as float16 safetensors, with",
    "layer widths and classes in the metadata. This page is written by the same command.",
    "",
    "| file | size | SHA-256 begins |",
    "|---|---|---|",
)
_ATTRIBUTES_HEAD: Final = (
    "## Attributes",
    "",
    "Hair style is not judged under a hat, nor hair colour on a bald head or a short-haired one under a hat.",
    "",
    "| attribute | accuracy | judged | classes |",
    "|---|---|---|---|",
)
_FOOT: Final = (
    "## Limits",
    "",
    "Both know nothing but this project's renderer: their numbers say nothing about photographs of real",
    "people. Both see the whole picture, so it must be aligned by the eyes as the renders are. SFace stands",
    "beside as an independent network that has never seen a render.",
    "",
    "Licence: as the code of this project.",
    "",
)


def _faces_head(card: Card) -> Sequence[str]:
    return (
        "## Faces",
        "",
        f"Measured on {card.photos} pictures of {card.people} rendered people who were not trained on,",
        "over all pairs. Verified: pairs of one person above the cosine that 1 % of the other pairs exceed.",
        f"More than one face was found in {card.several_faces:.2%} of the pictures.",
        "",
        "| network | AUC | verified | mean cosine, same | different | face found |",
        "|---|---|---|---|---|---|",
    )


def _attribute_qualities(
    classifier: AttributeClassifier, images: Sequence[Image.Image], photos: LabelledPhotos
) -> tuple[AttributeQuality, ...]:
    said = classifier.describe(images)
    found = []
    for name, truth in targets(photos, classifier.classes).items():
        classes = classifier.classes[name]
        right = np.array([row[name] == classes[number] for row, number in zip(said, truth, strict=True)])
        seen = truth != UNSEEN
        found.append(AttributeQuality(name, float(right[seen].mean()), int(seen.sum()), tuple(classes)))
    return tuple(found)


def _write(path: Path, text: str) -> None:
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    beside.write_text(text, encoding="utf-8")
    beside.replace(path)
