"""Captions next to photographs, in the forms that annotation tools write.

01.txt, 01.caption, 01.jpg.txt          one text file per photograph; upper and lower case are equal
captions.json                           {"01.jpg": "a photo of {subject}, smiling"}
captions.jsonl, metadata.jsonl          {"file_name": "01.jpg", "text": "..."}, as in an "imagefolder"
captions.csv, metadata.csv              the columns file_name and text

The four tables contain paths relative to their own folder, so that one table may serve several folders.
A column `caption` or `prompt` is read if there is no `text`.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Final
from unicodedata import normalize

from bench.errors import DatasetError
from bench.subjects.image_files import entries
from bench.text_files import read_csv, read_json, read_json_lines, read_text, shortened

TABLES: Final = frozenset(
    {"captions.json", "captions.jsonl", "captions.csv", "metadata.jsonl", "metadata.csv"}
)
SUFFIXES: Final = frozenset({".txt", ".caption"})
FILE_COLUMN: Final = "file_name"
TEXT_COLUMNS: Final = ("caption", "prompt")
"""Columns of a table that has no column `text`."""


@dataclass(frozen=True)
class Caption:
    """A caption with the file that contains it."""

    text: str
    source: Path


Captions = Mapping[str, Sequence[Caption]]
"""Captions by the path of their photograph, relative to a folder, with `/` between its parts."""


def captions_of(
    folder: Path, photos: Sequence[Path], inherited: Captions, *, inner: str = ""
) -> dict[str, str]:
    """The captions of the photographs of a folder, by file name; `inherited` has those of outer tables.

    Captions of the sub-folder `inner` are left out. Raises DatasetError for a caption without a photograph
    and for two different captions of one.
    """
    names = {normalize("NFC", photo.name): photo.name for photo in photos}
    exact = {photo.name for photo in photos}
    found: dict[str, list[Caption]] = defaultdict(list)
    for name, captions in merged(table_captions(folder), inherited).items():
        if inner and name.startswith(f"{inner}/"):
            continue
        known = name if name in exact else names.get(normalize("NFC", name))
        if known is None:
            raise DatasetError(
                f"{captions[0].source}: a caption for {shortened(name)}, but there is no such image in "
                f"{folder}"
            )
        found[known] += captions
    for photo, path in text_files(photos):
        found[photo.name].append(Caption(read_text(path), path))
    return {name: _only(name, captions) for name, captions in found.items()}


def table_captions(folder: Path) -> Captions:
    """The captions of the tables of a folder."""
    found: dict[str, list[Caption]] = defaultdict(list)
    for path in caption_tables(folder):
        for name, text in _table(path):
            found[str(PurePosixPath(name.replace("\\", "/")))].append(Caption(text, path))
    return found


def below(captions: Captions, folder: str) -> Captions:
    """The captions of a sub-folder, by paths relative to it."""
    prefix = f"{normalize('NFC', folder)}/"
    return {
        name[len(prefix) :]: found
        for name, found in ((normalize("NFC", name), found) for name, found in captions.items())
        if name.startswith(prefix)
    }


def merged(one: Captions, other: Captions) -> Captions:
    """The captions of both."""
    return {name: [*one.get(name, ()), *other.get(name, ())] for name in {**one, **other}}


def caption_tables(folder: Path) -> list[Path]:
    """The tables of a folder, sorted by name."""
    return [path for path in entries(folder) if path.name.lower() in TABLES]


def text_files(photos: Sequence[Path]) -> Iterator[tuple[Path, Path]]:
    """Each photograph with each of its text files."""
    if not photos:
        return
    by_name: dict[str, list[Path]] = defaultdict(list)
    for path in entries(photos[0].parent):
        if path.suffix.lower() in SUFFIXES and path.name.lower() != "noun.txt":
            by_name[_key(path.stem)].append(path)
    for photo in photos:
        found = [*by_name[_key(photo.stem)], *by_name[_key(photo.name)]]
        # Where only the case differs, `a.txt` belongs to `a.png` and `A.txt` to `A.png`.
        same_case = [path for path in found if path.stem in (photo.stem, photo.name)]
        for path in same_case or found:
            yield photo, path


def _key(name: str) -> str:
    return normalize("NFC", name).casefold()


def _only(name: str, captions: Sequence[Caption]) -> str:
    first, *others = captions
    for other in others:
        if other.text.split() != first.text.split():
            raise DatasetError(
                f"{other.source}: {name!r} has another caption in {first.source}; remove one of them"
            )
    return first.text


def _table(path: Path) -> Iterator[tuple[str, str]]:
    """File name and caption of each entry."""
    match path.suffix.lower():
        case ".json":
            content = read_json(path)
            if not isinstance(content, dict) or not all(isinstance(text, str) for text in content.values()):
                raise DatasetError(f'{path}: expected {{"file name": "caption", ...}}')
            yield from content.items()
        case ".jsonl":
            for number, record in read_json_lines(path):
                yield _entry(record, f"{path}: line {number}")
        case _:
            for number, row in read_csv(path):
                yield _entry(row, f"{path}: line {number}")


def _entry(record: Mapping[str, Any], where: str) -> tuple[str, str]:
    columns = ["text"] if "text" in record else [name for name in TEXT_COLUMNS if name in record]
    name = record.get(FILE_COLUMN)
    text = record[columns[0]] if len(columns) == 1 else None
    if not isinstance(name, str) or not name or not isinstance(text, str):
        raise DatasetError(
            f'{where} is not {{"{FILE_COLUMN}": ..., "text": ...}}; it has {shortened(", ".join(record))}'
        )
    return name, text
