"""Custom photographs: one directory per identity, captions next to the images.

people/ada/01.jpg, 01.txt, 02.jpg ...   captions in any form of `caption_files`; tables also in people/
people/ada/heldout/                     photographs for evaluation (default: split with the suite's seed)
people/ada/noun.txt                     the class noun, such as `woman` (default: the suite's)
"""

from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path

from bench.datasets.caption_files import (
    Captions,
    below,
    caption_tables,
    captions_of,
    merged,
    table_captions,
    text_files,
)
from bench.errors import DatasetError
from bench.subjects.identity import Identity, PhotoFile, checked_caption, checked_noun, split
from bench.subjects.image_files import (
    CAPTION_SUFFIXES,
    IMAGE_SUFFIXES,
    check_name,
    entries,
    is_system_file,
    list_images,
)
from bench.suite.suite import DatasetSettings
from bench.text_files import read_text, shortened
from methods.subject import with_article


class FolderPeople:
    """Reads a folder of identity folders."""

    def __init__(self, settings: DatasetSettings, base: Path) -> None:
        root = (base / settings.path).resolve()
        self._settings = settings
        self._root = root
        if not settings.path:
            raise DatasetError(
                "dataset: kind = 'folder' needs path = \"...\", a folder of one directory per identity"
            )
        if not root.is_dir():
            raise DatasetError(f"{root}: no such folder; dataset.path is relative to the suite file")

    def names(self) -> list[str]:
        """Names of the identity directories, sorted."""
        folders = _folders(self._root)
        if not folders:
            raise DatasetError(f"{self._root}: no identities; expected one directory of images per identity")
        for folder in folders:
            check_name(folder)
        return [folder.name for folder in folders]

    @property
    def remarks(self) -> tuple[str, ...]:
        """Files and folders that look like photographs or captions, but are not used."""
        return tuple(_remarks(self._root, self._shared_captions))

    def identity(self, name: str) -> Identity:
        """One person; split by `heldout/` if it exists, otherwise with the suite's seed."""
        folder = self._root / name
        noun, photos, held = self._noun(folder), self._references(folder), self._held_out(folder)
        if held is None:
            references, held_out = split(name, photos, self._settings)
            return self._identity(name, noun, references, held_out)
        for kind, found, minimum in (
            ("references", photos, self._settings.references),
            ("held-out photos", held, self._settings.held_out or 1),
        ):
            if len(found) < minimum:
                raise DatasetError(f"{folder}: {len(found)} {kind}, the suite needs {minimum}")
        return self._identity(
            name, noun, photos[: self._settings.references], held[: self._settings.held_out]
        )

    def _identity(
        self, name: str, noun: str, references: list[PhotoFile], held_out: list[PhotoFile]
    ) -> Identity:
        origin = f"folder-{self._root.name}"
        return Identity(name, noun, tuple(references), tuple(held_out), origin=origin)

    def photos(self, name: str) -> tuple[PhotoFile, ...]:
        """All photographs of one person."""
        folder = self._root / name
        return (*self._references(folder), *(self._held_out(folder) or ()))

    def _references(self, folder: Path) -> list[PhotoFile]:
        held = held_out_folder(folder)
        shared = below(self._shared_captions, folder.name)
        return self._photos(folder, shared, self._noun(folder), inner=held.name if held else "")

    def _held_out(self, folder: Path) -> list[PhotoFile] | None:
        held = held_out_folder(folder)
        if held is None:
            return None
        of_person = merged(table_captions(folder), below(self._shared_captions, folder.name))
        return self._photos(held, below(of_person, held.name), self._noun(folder))

    @cached_property
    def _shared_captions(self) -> Captions:
        """The captions of the tables in the dataset's folder."""
        return table_captions(self._root)

    def _noun(self, folder: Path) -> str:
        path = next((path for path in entries(folder) if path.name.lower() == "noun.txt"), None)
        noun = self._settings.noun if path is None else read_text(path)
        return checked_noun(noun, str(path or folder))

    def _photos(self, folder: Path, inherited: Captions, noun: str, inner: str = "") -> list[PhotoFile]:
        paths = list_images(folder)
        if not paths:
            raise DatasetError(f"{folder}: no images")
        captions = captions_of(folder, paths, inherited, inner=inner)
        if not captions:
            captions = {path.name: self._settings.caption for path in paths}
        for path in paths:
            if path.name not in captions:
                raise DatasetError(
                    f"{path}: no caption, but {len(captions)} others of {folder.name} have one"
                )
        phrase = with_article(noun)
        return [PhotoFile(p, checked_caption(captions[p.name], str(p), phrase)) for p in paths]


def is_held_out_folder(name: str) -> bool:
    """Whether a folder has the photographs for evaluation: `heldout`, `held_out`, `Held-Out`."""
    return "".join(filter(str.isalpha, name)).lower() == "heldout"


def held_out_folder(folder: Path) -> Path | None:
    """The folder of a person's photographs for evaluation, if there is one."""
    found = [path for path in _folders(folder) if is_held_out_folder(path.name)]
    if len(found) > 1:
        raise DatasetError(f"{found[0]} and {found[1].name}: two folders of held-out photographs; join them")
    return found[0] if found else None


def _folders(folder: Path) -> list[Path]:
    return [path for path in entries(folder) if path.is_dir() and not is_system_file(path)]


def _remarks(root: Path, shared: Captions) -> Iterator[str]:
    people = _folders(root)
    loose = [path for path in entries(root) if _is_image(path)]
    yield from _summary(root, loose, "images outside the identity directories are ignored")
    inner = [folder for person in people for folder in _folders(person)]
    held_out = [folder for folder in inner if is_held_out_folder(folder.name)]
    others = [folder for folder in inner if folder not in held_out and any(map(_is_image, entries(folder)))]
    yield from _summary(root, others, "folders of images inside the identity directories are ignored")
    unused = [path for folder in (root, *people, *held_out) for path in _unused_texts(folder)]
    yield from _summary(root, unused, "text files are not used as captions")
    without = [person for person in people if not _has_captions(person, shared)]
    if len(without) < len(people):
        yield from _summary(root, without, "identities without captions get the suite's caption")
    first = {name.split("/")[0] for name in shared} - {person.name for person in people}
    if first:
        yield f"{root}: captions for {shortened(min(first))} in a table, but there is no such identity"


def _summary(root: Path, paths: Sequence[Path], claim: str) -> Iterator[str]:
    if paths:
        yield f"{len(paths)} {claim}, first {min(paths).relative_to(root)}"


def _is_image(path: Path) -> bool:
    return path.suffix.lower() in IMAGE_SUFFIXES and not is_system_file(path) and path.is_file()


def _unused_texts(folder: Path) -> list[Path]:
    """Text files that may have been meant as captions."""
    images = list(filter(_is_image, entries(folder)))
    used = {*caption_tables(folder), *(path for _, path in text_files(images))}
    return [
        path
        for path in entries(folder)
        if path.suffix.lower() in CAPTION_SUFFIXES and not is_system_file(path) and path not in used
        if path.name.lower() != "noun.txt"
    ]


def _has_captions(person: Path, shared: Captions) -> bool:
    images = list(filter(_is_image, entries(person)))
    return bool(caption_tables(person) or below(shared, person.name) or any(text_files(images)))
