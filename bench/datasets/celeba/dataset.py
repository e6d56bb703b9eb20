"""CelebA in its official layout: real faces with forty attributes, captions made of them.

ROOT/img_align_celeba/000001.jpg         aligned, 178 x 218; or img_celeba/, in the wild
ROOT/list_attr_celeba.txt, identity_CelebA.txt, list_eval_partition.txt
ROOT/list_bbox_celeba.txt                for pictures in the wild: where the face is
ROOT/list_landmarks_align_celeba.txt     (in the wild: list_landmarks_celeba.txt) if there, which way it looks

The text files may lie in Anno/ and Eval/, the pictures in Img/. A copy may be partial: only photographs that
are there are used, and `remarks` counts the others.
"""

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Final

from PIL import Image

from bench.datasets.celeba.annotations import (
    Annotations,
    BoxOfFace,
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
"""Labels that belong to the person, by the majority of the photographs."""
VISIBLE: Final = ("Smiling", "Eyeglasses", "Wearing_Hat")
"""Labels of the photograph that its attributes keep."""
AROUND: Final = 1.8
"""Side of the square that is cut out of a picture in the wild, in sides of the face's box."""


class CelebA:
    """Opens the annotations at once, a photograph when it is asked for."""

    def __init__(self, settings: DatasetSettings, base: Path) -> None:
        if not settings.path:
            raise DatasetError("dataset: kind = 'celeba' needs path = \"...\", the folder of CelebA")
        root = base / settings.path
        if not root.is_dir():
            raise DatasetError(
                f"{root}: no such folder; dataset.path starts at the suite file's folder, "
                "or for a built-in suite where you stand"
            )
        self._settings, self._layout = settings, Layout(root)
        self._wild = settings.pictures == "in-the-wild"
        folders = ("img_celeba",) if self._wild else ("img_align_celeba", "img_align_celeba_png")
        self._folder = self._layout.pictures(*folders)
        self._suffixes = stems_in(self._folder)
        self._notes = self._annotations()
        missing = sum(stem not in self._suffixes for stems in self._notes.people.values() for stem in stems)
        self._asked = sum(map(len, self._notes.people.values()))
        self._missing = missing
        self._people = self._enough()

    def names(self) -> list[str]:
        """People with enough photographs here, `c00001` ..., sorted."""
        return sorted(self._people)

    @property
    def remarks(self) -> tuple[str, ...]:
        """What is missing of the partition."""
        return (*self._notes.noticed, *self._incomplete())

    def identity(self, name: str) -> Identity:
        """One person, split by the suite's seed."""
        held = [self._notes.held(stem) for stem in self._people[name]]
        groups = {group: "yes" if 2 * sum(group in h for h in held) > len(held) else "no" for group in GROUPS}
        noun = "man" if groups["Male"] == "yes" else "woman"
        references, held_out = split(name, self.photos(name), self._settings)
        origin = f"celeba-{self._settings.partition}"
        return Identity(name, noun, tuple(references), tuple(held_out), groups, origin=origin)

    def photos(self, name: str) -> tuple[PhotoFile, ...]:
        """One person's photographs that are here."""
        return tuple(self._photo(stem) for stem in self._people[name])

    def _photo(self, stem: str) -> PhotoFile:
        path = self._folder / f"{stem}{self._suffixes[stem]}"
        held = self._notes.held(stem)
        visible = {label: "yes" if label in held else "no" for label in VISIBLE}
        box = _around(path, self._faces[stem]) if self._wild and stem in self._faces else None
        return PhotoFile(path, caption(held, self._turns.get(stem)), visible, box)

    def _annotations(self) -> Annotations:
        partition = self._settings.partition
        among = None
        if partition != "all":
            among = partition_of(self._layout.file("list_eval_partition.txt"), PARTITIONS[partition])
        people = people_of(self._layout.file("identity_CelebA.txt"), among)
        order, labels, remark = labels_of(self._layout.file("list_attr_celeba.txt"), among)
        noticed = [remark] if remark else []
        bare = sum(stem not in labels for stems in people.values() for stem in stems)
        if bare:
            noticed.append(f"{bare} photographs of the partition have no attributes and are left out")
            people = {who: [stem for stem in stems if stem in labels] for who, stems in people.items()}
        return Annotations(people, labels, order, noticed)

    def _enough(self) -> dict[str, list[str]]:
        least = self._settings.least_photos
        here = {
            who: sorted(stem for stem in stems if stem in self._suffixes)
            for who, stems in self._notes.people.items()
        }
        enough = {who: stems for who, stems in here.items() if len(stems) >= least}
        if not enough:
            most = max(map(len, here.values()), default=0)
            raise DatasetError(
                f"{self._layout.root}: nobody in partition {self._settings.partition!r} has {least} "
                f"photographs in {self._folder.name}/ ({most} at most); ask for fewer, or unpack more"
            )
        return enough

    def _incomplete(self) -> Iterator[str]:
        if self._missing:
            yield (
                f"{self._missing:,} of {self._asked:,} photographs of partition "
                f"{self._settings.partition!r} are not in {self._folder}"
            )
        few = sum(bool(stems) for stems in self._notes.people.values()) - len(self._people)
        if few:
            yield f"{few:,} people have fewer than {self._settings.least_photos} photographs here"

    @cached_property
    def _faces(self) -> dict[str, BoxOfFace]:
        faces = faces_of(self._layout.file("list_bbox_celeba.txt"), self._suffixes)
        return {stem: face for stem, face in faces.items() if face[2] > 0 and face[3] > 0}

    @cached_property
    def _turns(self) -> dict[str, float | None]:
        name = "list_landmarks_celeba.txt" if self._wild else "list_landmarks_align_celeba.txt"
        path = self._layout.optional(name)
        return turns_of(path, self._notes.labels, head_turn) if path else {}


def _around(path: Path, face: BoxOfFace) -> Box:
    """A square around the face, inside the picture."""
    left, top, width, height = face
    try:
        with Image.open(path) as picture:
            size = picture.size
    except OSError as error:
        raise DatasetError(f"{path}: cannot be read ({error}); unpack it again") from error
    side = min(round(AROUND * max(width, height)), *size)
    corner = [
        min(max(0, round(middle - side / 2)), whole - side)
        for middle, whole in zip((left + width / 2, top + height / 2), size, strict=True)
    ]
    return Box(corner[0], corner[1], corner[0] + side, corner[1] + side)
