"""The model card of the evaluation networks, with their quality on unseen people."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from metrics.atomic_write import atomic_write
from metrics.encoders.attributes import AttributeClassifier
from metrics.encoders.faces.face_rendered import FaceRendered
from metrics.encoders.faces.sface import SFace
from metrics.encoders.faces.yunet import YuNet
from metrics.encoders.runtime.weight_files import sha256
from metrics.interface import Encoder, Features
from metrics.statistics.verification import area_under_curve, cosine, threshold_at
from metrics.training.attributes import IGNORED, class_targets
from metrics.training.augmentation import LabelledPhotos

FALSE_ACCEPTS: Final = 0.01


@dataclass(frozen=True)
class FaceQuality:
    """How well a face network separates people, over pairs of photographs."""

    encoder: str
    found: float
    """Share of the photographs in which a face is found."""
    same: float
    """Mean cosine of two photographs of one person."""
    different: float
    """Mean cosine of photographs of two people."""
    area: float
    """Probability that a same-person pair has the higher cosine (AUC)."""
    verified: float
    """Share of same-person pairs above the cosine that 1 % of different-person pairs exceed."""


@dataclass(frozen=True)
class AttributeQuality:
    """Accuracy of the classifier for one attribute, where it is visible."""

    name: str
    accuracy: float
    seen: int
    """Number of photographs evaluated."""
    classes: tuple[str, ...]


@dataclass(frozen=True)
class ModelCard:
    """All measurements."""

    photos: int
    people: int
    several_faces: float
    """Share of the photographs in which the detector finds more than one face."""
    faces: tuple[FaceQuality, ...]
    attributes: tuple[AttributeQuality, ...]
    files: tuple[tuple[str, int, str], ...]
    """Name, bytes and SHA-256 of each weight file."""
    note: str = ""
    """Remarks on how the files were made."""


def write_card(folder: Path, photos: LabelledPhotos, note: str = "") -> ModelCard:
    """Evaluate the networks in `folder` on photos of unseen people; write `card.json` and `README.md`."""
    card = replace(measure(folder, photos), note=note)
    _write(folder / "card.json", json.dumps(asdict(card), indent=1) + "\n")
    _write(folder / "README.md", markdown(card))
    return card


def measure(folder: Path, photos: LabelledPhotos) -> ModelCard:
    """The quality of both networks in `folder`, and of SFace for comparison."""
    images = [Image.fromarray(np.asarray(pixels)) for pixels in photos.pixels]
    yunet = YuNet()
    encoders: list[Encoder] = [SFace(yunet), FaceRendered(yunet, folder / "face-rendered.safetensors")]
    classifier = AttributeClassifier(folder / "attributes.safetensors")
    files = [folder / "face-rendered.safetensors", folder / "attributes.safetensors"]
    return ModelCard(
        photos=len(images),
        people=len(set(photos.identities.tolist())),
        several_faces=float(np.mean([len(boxes) > 1 for boxes in yunet.boxes(images)])),
        faces=tuple(face_quality(e.name, e.encode(images), photos.identities) for e in encoders),
        attributes=_attribute_qualities(classifier, images, photos),
        files=tuple((path.name, path.stat().st_size, sha256(path)) for path in files),
    )


def face_quality(encoder: str, vectors: Features, identities: NDArray[np.int64]) -> FaceQuality:
    """Quality over all pairs of N x D vectors; rows of NaN (no face) are ignored."""
    found = ~np.isnan(vectors).any(1)
    people = identities[found]
    upper = np.triu_indices(len(people), 1)
    cosines = cosine(vectors[found], vectors[found])[upper]
    is_same = people[upper[0]] == people[upper[1]]
    same, different = cosines[is_same], cosines[~is_same]
    return FaceQuality(
        encoder,
        found=float(found.mean()),
        same=float(same.mean()),
        different=float(different.mean()),
        area=area_under_curve(same, different),
        verified=float((same > threshold_at(different, FALSE_ACCEPTS)).mean()),
    )


def markdown(card: ModelCard) -> str:
    """The card as a Markdown page."""
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
    "# Evaluation networks of the built-in synthetic benchmark",
    "",
    "Two small residual networks, trained from scratch on rendered people; no method conditions on them.",
    "`face-rendered` maps an eye-aligned image of 64 pixels to a vector that identifies the person",
    "(ArcFace loss, Deng et al. 2019). `attributes` classifies the visible attributes used in captions.",
    "",
    "Made by `bench train encoders` from the rendered training people. The files are float16 safetensors,",
    "with layer widths and classes in the metadata. The same command writes this page.",
    "",
    "| file | size | start of SHA-256 |",
    "|---|---|---|",
)
_ATTRIBUTES_HEAD: Final = (
    "## Attributes",
    "",
    "Hair style is not evaluated under a hat. Hair colour is not evaluated on a bald head, or on a",
    "short-haired one under a hat.",
    "",
    "| attribute | accuracy | evaluated | classes |",
    "|---|---|---|---|",
)
_FOOT: Final = (
    "## Limits",
    "",
    "Both networks were trained only on images of this project's renderer. Their quality on photographs of",
    "real people is unknown. Their input is the whole image, which must be aligned by the eyes as renders",
    "are. SFace is listed for comparison: an independent network that was not trained on renders.",
    "",
    "Licence: that of the code of this project.",
    "",
)


def _faces_head(card: ModelCard) -> Sequence[str]:
    return (
        "## Faces",
        "",
        f"Measured on {card.photos} images of {card.people} rendered people outside the training set,",
        "over all pairs. Verified: same-person pairs above the cosine that 1 % of the other pairs exceed.",
        f"More than one face is found in {card.several_faces:.2%} of the images.",
        "",
        "| network | AUC | verified | mean cosine, same | different | face found |",
        "|---|---|---|---|---|---|",
    )


def _attribute_qualities(
    classifier: AttributeClassifier, images: Sequence[Image.Image], photos: LabelledPhotos
) -> tuple[AttributeQuality, ...]:
    predictions = classifier.describe(images)
    qualities = []
    for name, truth in class_targets(photos, classifier.classes).items():
        classes = classifier.classes[name]
        correct = np.array(
            [row[name] == classes[index] for row, index in zip(predictions, truth, strict=True)]
        )
        visible = truth != IGNORED
        quality = AttributeQuality(name, float(correct[visible].mean()), int(visible.sum()), tuple(classes))
        qualities.append(quality)
    return tuple(qualities)


def _write(path: Path, text: str) -> None:
    with atomic_write(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
