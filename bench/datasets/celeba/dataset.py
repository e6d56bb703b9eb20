"""CelebA: real faces with captions made of their 40 attributes.

ROOT/img_align_celeba/000001.jpg         aligned, 178 x 218; or img_celeba/, in the wild
ROOT/identity_CelebA.txt, list_eval_partition.txt
ROOT/list_attr_celeba.txt                optional: without it, all photographs have the suite's caption
ROOT/list_bbox_celeba.txt                optional: face boxes of in-the-wild images, else YuNet finds the face
ROOT/list_landmarks_align_celeba.txt     optional, for the direction of the head; in the wild,
                                         list_landmarks_celeba.txt

The files may be in folders (Anno/, Eval/, Img/, celeba/), and the lists may be CSV files. A copy may be
partial: only existing photographs are used, and `remarks` reports the number of missing ones.
"""

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Final

from PIL import Image

from bench.datasets.celeba.annotations import (
    Annotations,
    faces_of,
    labels_of,
    partition_of,
    people_of,
    turns_of,
)
from bench.datasets.celeba.captions import caption, head_turn
from bench.datasets.celeba.layout import Layout, images_in
from bench.errors import DatasetError
from bench.subjects.face_crops import FaceBox, detector, has_overlap, square_around
from bench.subjects.identity import Identity, PhotoFile, checked_caption, split
from bench.subjects.image_files import Box, FaceCrop, Part
from bench.suite.suite import DatasetSettings
from methods.subject import with_article

PARTITIONS: Final = {"train": 0, "valid": 1, "test": 2}
GROUPS: Final = ("Male", "Young", "Pale_Skin", "Chubby")
"""Permanent attributes, decided by the majority of a person's photographs."""
VISIBLE: Final = ("Smiling", "Eyeglasses", "Wearing_Hat")
"""Labels kept as visible attributes of a photograph."""


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
        self._suffixes, self._doubled = images_in(self._folder)
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
        return (*self._annotations.remarks, *self._incomplete(), *self._without_boxes())

    def identity(self, name: str) -> Identity:
        """One person, split with the suite's seed."""
        references, held_out = split(name, self.photos(name), self._settings)
        origin = f"celeba-{self._settings.partition}"
        if not self._annotations.order:
            noun = self._settings.noun
            return Identity(name, noun, tuple(references), tuple(held_out), origin=origin)
        labels = [self._annotations.true_labels(stem) for stem in self._people[name]]
        groups = {
            group: "yes" if 2 * sum(group in true for true in labels) > len(labels) else "no"
            for group in GROUPS
        }
        noun = "man" if groups["Male"] == "yes" else "woman"
        return Identity(name, noun, tuple(references), tuple(held_out), groups, origin=origin)

    def photos(self, name: str) -> tuple[PhotoFile, ...]:
        """All existing photographs of one person."""
        return tuple(self._photo(stem) for stem in self._people[name])

    def _photo(self, stem: str) -> PhotoFile:
        path = self._folder / f"{stem}{self._suffixes[stem]}"
        part = self._part(path, stem) if self._wild else None
        if not self._annotations.order:
            return PhotoFile(path, self._plain_caption, {}, part)
        labels = self._annotations.true_labels(stem)
        visible = {label: "yes" if label in labels else "no" for label in VISIBLE}
        return PhotoFile(path, caption(labels, self._turns.get(stem)), visible, part)

    @property
    def _plain_caption(self) -> str:
        """The caption of photographs without attributes."""
        phrase = with_article(self._settings.noun)
        return checked_caption(self._settings.caption, "dataset: caption", phrase)

    def _part(self, path: Path, stem: str) -> Part | None:
        """The square around the face: from its box, else from YuNet, else the whole image."""
        face = self._faces.get(stem)
        if face is not None:
            size = _size(path)
            if has_overlap(face, size):
                return Box(*square_around(face, size))
        return FaceCrop() if detector() is not None else None

    def _read_annotations(self) -> Annotations:
        partition = self._settings.partition
        among = None
        if partition != "all":
            among = partition_of(self._layout.file("list_eval_partition"), PARTITIONS[partition])
        people = people_of(self._layout.file("identity_CelebA"), among)
        path = self._layout.optional("list_attr_celeba")
        if path is None:
            text, noun = self._plain_caption, self._settings.noun
            remark = (
                f"no list_attr_celeba: all photographs have the caption {text!r} and the noun {noun!r}, "
                "without attributes"
            )
            return Annotations(people, remarks=[remark])
        order, labels, remark = labels_of(path, among)
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
        if self._doubled:
            yield f"{self._doubled:,} images are ignored: {self._folder} has another format of them"
        few = sum(bool(stems) for stems in self._annotations.people.values()) - len(self._people)
        if few:
            yield f"{few:,} people have fewer than {self._settings.least_photos} photographs here"

    def _without_boxes(self) -> Iterator[str]:
        if self._wild:
            without = sum(stem not in self._faces for stems in self._people.values() for stem in stems)
            if without:
                used = "the whole image" if detector() is None else "the face that YuNet finds, or all,"
                yield f"{without:,} photographs have no box in list_bbox_celeba: {used} is used"

    @cached_property
    def _faces(self) -> dict[str, FaceBox]:
        path = self._layout.optional("list_bbox_celeba")
        faces = {} if path is None else faces_of(path, self._suffixes)
        return {stem: face for stem, face in faces.items() if face[2] > 0 and face[3] > 0}

    @cached_property
    def _turns(self) -> dict[str, float | None]:
        name = "list_landmarks_celeba" if self._wild else "list_landmarks_align_celeba"
        path = self._layout.optional(name)
        return turns_of(path, self._annotations.labels, head_turn) if path else {}


def _size(path: Path) -> tuple[int, int]:
    try:
        with Image.open(path) as image:
            return image.size
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise DatasetError(f"{path}: cannot be read ({error}); unpack it again") from error
