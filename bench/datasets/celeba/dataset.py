"""CelebA in its official layout: real faces with captions made of their 40 attributes.

ROOT/img_align_celeba/000001.jpg         aligned, 178 x 218; or img_celeba/, in the wild
ROOT/list_attr_celeba.txt, identity_CelebA.txt, list_eval_partition.txt
ROOT/list_bbox_celeba.txt                face boxes, for in-the-wild images only
ROOT/list_landmarks_align_celeba.txt     optional, for the direction of the head; in the wild,
                                         list_landmarks_celeba.txt

The text files may be in Anno/ and Eval/, the images in Img/. A copy may be partial: only existing photographs
are used, and `remarks` reports the number of missing ones.
"""

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Final

from PIL import Image

from bench.datasets.celeba.annotations import (
    Annotations,
    FaceBox,
    Layout,
    faces_of,
    labels_of,
    partition_of,
    people_of,
    stems_in,
    turns_of,
)
from bench.datasets.celeba.captions import caption, head_turn
from bench.errors import DatasetError
from bench.subjects.identity import Identity, PhotoFile, split
from bench.subjects.image_files import Box
from bench.suite.suite import DatasetSettings

PARTITIONS: Final = {"train": 0, "valid": 1, "test": 2}
GROUPS: Final = ("Male", "Young", "Pale_Skin", "Chubby")
"""Permanent attributes, decided by the majority of a person's photographs."""
VISIBLE: Final = ("Smiling", "Eyeglasses", "Wearing_Hat")
"""Labels kept as visible attributes of a photograph."""
CROP_SCALE: Final = 1.8
"""Side of the square crop of in-the-wild images, as a multiple of the longer side of the face box."""


class CelebA:
    """Reads the annotations when created and photographs on demand."""

    def __init__(self, settings: DatasetSettings, base: Path) -> None:
        if not settings.path:
            raise DatasetError("dataset: kind = 'celeba' needs path = \"...\", the folder of CelebA")
        root = base / settings.path
        if not root.is_dir():
            raise DatasetError(
                f"{root}: no such folder; dataset.path is relative to the suite file, "
                "or to the working folder for a built-in suite"
            )
        self._settings, self._layout = settings, Layout(root)
        self._wild = settings.pictures == "in-the-wild"
        folders = ("img_celeba",) if self._wild else ("img_align_celeba", "img_align_celeba_png")
        self._folder = self._layout.image_folder(*folders)
        self._suffixes = stems_in(self._folder)
        self._annotations = self._read_annotations()
        missing = sum(
            stem not in self._suffixes for stems in self._annotations.people.values() for stem in stems
        )
        self._total = sum(map(len, self._annotations.people.values()))
        self._missing = missing
        self._people = self._with_enough_photos()

    def names(self) -> list[str]:
        """Ids of people with enough existing photographs, `c00001` ..., sorted."""
        return sorted(self._people)

    @property
    def remarks(self) -> tuple[str, ...]:
        """Irregularities of the annotations, missing photographs and people with too few of them."""
        return (*self._annotations.remarks, *self._incomplete())

    def identity(self, name: str) -> Identity:
        """One person, split with the suite's seed."""
        labels = [self._annotations.true_labels(stem) for stem in self._people[name]]
        groups = {
            group: "yes" if 2 * sum(group in true for true in labels) > len(labels) else "no"
            for group in GROUPS
        }
        noun = "man" if groups["Male"] == "yes" else "woman"
        references, held_out = split(name, self.photos(name), self._settings)
        origin = f"celeba-{self._settings.partition}"
        return Identity(name, noun, tuple(references), tuple(held_out), groups, origin=origin)

    def photos(self, name: str) -> tuple[PhotoFile, ...]:
        """All existing photographs of one person."""
        return tuple(self._photo(stem) for stem in self._people[name])

    def _photo(self, stem: str) -> PhotoFile:
        path = self._folder / f"{stem}{self._suffixes[stem]}"
        labels = self._annotations.true_labels(stem)
        visible = {label: "yes" if label in labels else "no" for label in VISIBLE}
        box = _square_around(path, self._faces[stem]) if self._wild and stem in self._faces else None
        return PhotoFile(path, caption(labels, self._turns.get(stem)), visible, box)

    def _read_annotations(self) -> Annotations:
        partition = self._settings.partition
        among = None
        if partition != "all":
            among = partition_of(self._layout.file("list_eval_partition.txt"), PARTITIONS[partition])
        people = people_of(self._layout.file("identity_CelebA.txt"), among)
        order, labels, remark = labels_of(self._layout.file("list_attr_celeba.txt"), among)
        remarks = [remark] if remark else []
        unlabelled = sum(stem not in labels for stems in people.values() for stem in stems)
        if unlabelled:
            remarks.append(f"{unlabelled} photographs of the partition have no attributes and are left out")
            people = {who: [stem for stem in stems if stem in labels] for who, stems in people.items()}
        return Annotations(people, labels, order, remarks)

    def _with_enough_photos(self) -> dict[str, list[str]]:
        minimum = self._settings.least_photos
        existing = {
            who: sorted(stem for stem in stems if stem in self._suffixes)
            for who, stems in self._annotations.people.items()
        }
        enough = {who: stems for who, stems in existing.items() if len(stems) >= minimum}
        if not enough:
            most = max(map(len, existing.values()), default=0)
            raise DatasetError(
                f"{self._layout.root}: no person in partition {self._settings.partition!r} has {minimum} "
                f"photographs in {self._folder.name}/ (at most {most}); lower the number or unpack more"
            )
        return enough

    def _incomplete(self) -> Iterator[str]:
        if self._missing:
            yield (
                f"{self._missing:,} of {self._total:,} photographs of partition "
                f"{self._settings.partition!r} are not in {self._folder}"
            )
        few = sum(bool(stems) for stems in self._annotations.people.values()) - len(self._people)
        if few:
            yield f"{few:,} people have fewer than {self._settings.least_photos} photographs here"

    @cached_property
    def _faces(self) -> dict[str, FaceBox]:
        faces = faces_of(self._layout.file("list_bbox_celeba.txt"), self._suffixes)
        return {stem: face for stem, face in faces.items() if face[2] > 0 and face[3] > 0}

    @cached_property
    def _turns(self) -> dict[str, float | None]:
        name = "list_landmarks_celeba.txt" if self._wild else "list_landmarks_align_celeba.txt"
        path = self._layout.optional(name)
        return turns_of(path, self._annotations.labels, head_turn) if path else {}


def _square_around(path: Path, face: FaceBox) -> Box:
    """A square around the face, clipped to the image."""
    left, top, width, height = face
    try:
        with Image.open(path) as image:
            size = image.size
    except OSError as error:
        raise DatasetError(f"{path}: cannot be read ({error}); unpack it again") from error
    side = min(round(CROP_SCALE * max(width, height)), *size)
    corner = [
        min(max(0, round(middle - side / 2)), length - side)
        for middle, length in zip((left + width / 2, top + height / 2), size, strict=True)
    ]
    return Box(corner[0], corner[1], corner[0] + side, corner[1] + side)
