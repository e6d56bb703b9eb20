"""Rendered people: the set that ships with the package, or the output of `bench train people`.

No image shows a real person; every attribute is known.
"""

from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from bench.errors import DatasetError
from bench.subjects.identity import Identity, PhotoFile, split
from bench.subjects.image_files import ArrayRow, Part
from bench.suite.suite import DatasetSettings
from bench.synthetic.parameters.splits import split_of
from bench.text_files import read_json_lines

ASSETS: Final = Path(__file__).parents[1] / "synthetic" / "assets" / "test"
VISIBLE: Final = ("expression", "pose", "glasses", "hat", "shirt", "background")
"""Labels that differ between photographs of a person; all others are permanent."""
OTHER_SEEDS: Final = "other"
"""Name of the split of people whose seeds are in no range of `bench train people`."""
NOT_TRAITS: Final = frozenset({*VISIBLE, "noun"})


@dataclass(frozen=True)
class Record:
    """One photograph with its caption and labels."""

    path: Path
    part: Part | None
    caption: str
    labels: dict[str, str]
    seed: int | None = None
    """Seed of the person, where the folder contains it."""


class RenderedPeople:
    """Reads `people.jsonl` and `<identity>/<view>.webp`, or `photos.jsonl` and `photos.npy`."""

    def __init__(self, settings: DatasetSettings, base: Path) -> None:
        self._settings = settings
        self._folder = (base / settings.path).resolve() if settings.path else ASSETS
        self._records = _shipped(self._folder) or _rendered(self._folder)
        if not self._records:
            raise DatasetError(
                f"{self._folder}: neither people.jsonl nor photos.jsonl; "
                "`bench train people --data DIR` writes DIR/test, which is a valid path"
            )
        if settings.identities is not None and settings.identities > len(self._records):
            count = settings.identities
            raise DatasetError(
                f"dataset: identities = {count}, {self._folder} has {len(self._records)}; render more with "
                f'`bench train people --data DIR --test {count}`, then path = "DIR/test"'
            )

    def names(self) -> list[str]:
        """Ids of all identities, sorted."""
        return sorted(self._records)

    @property
    def remarks(self) -> tuple[str, ...]:
        """Always empty: rendered datasets are complete."""
        return ()

    def identity(self, name: str) -> Identity:
        """One person, split with the suite's seed."""
        references, held_out = split(name, self.photos(name), self._settings)
        labels = self._records[name][0].labels
        traits = {key: value for key, value in labels.items() if key not in NOT_TRAITS}
        origin = f"rendered-people-{self._split_of(name)}"
        return Identity(name, labels["noun"], tuple(references), tuple(held_out), traits, origin)

    def _split_of(self, name: str) -> str:
        """The split of a person by its seed, so that a renamed or merged folder is recognised.

        `people.jsonl` contains no seeds. Only the shipped people, of the test split, have that layout.
        """
        seed = self._records[name][0].seed
        return "test" if seed is None else split_of(seed) or OTHER_SEEDS

    def photos(self, name: str) -> tuple[PhotoFile, ...]:
        """All views of one person."""
        return tuple(
            PhotoFile(r.path, r.caption, {label: r.labels[label] for label in VISIBLE}, r.part)
            for r in self._records[name]
        )


def _shipped(folder: Path) -> dict[str, list[Record]]:
    """Records of a folder with one WebP file per view, by the person's name."""
    people: dict[str, list[Record]] = defaultdict(list)
    for where, line in _lines(folder / "people.jsonl"):
        with _complete(where):
            name, view, caption = str(line.pop("identity")), int(line.pop("view")), str(line.pop("caption"))
            labels = {key: str(value) for key, value in line.items()}
            record = Record(folder / name / f"{view:02d}.webp", None, caption, labels)
            people[name].append(_with_labels(record))
    return dict(people)


def _rendered(folder: Path) -> dict[str, list[Record]]:
    """Records of a folder with one array of all views; names are made of seeds."""
    people: dict[str, list[Record]] = defaultdict(list)
    array = folder / "photos.npy"
    for row, (where, line) in enumerate(_lines(folder / "photos.jsonl")):
        with _complete(where):
            seed = int(line["identity"])
            record = Record(array, ArrayRow(row), str(line["template"]), dict(line["attributes"]), seed)
            people[f"person-{seed:07d}"].append(_with_labels(record))
    return dict(people)


def _with_labels(record: Record) -> Record:
    """The record; raises KeyError if a label is missing."""
    for label in (*VISIBLE, "noun"):
        record.labels[label]
    return record


@contextmanager
def _complete(where: str) -> Iterator[None]:
    """Convert errors of an incomplete line to DatasetError."""
    try:
        yield
    except (KeyError, TypeError, ValueError) as error:
        raise DatasetError(f"{where}: incomplete ({error!r}); render it again") from error


def _lines(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Place and content of each line; none if the file does not exist."""
    if path.exists():
        for number, line in read_json_lines(path):
            yield f"{path}: line {number}", line
