"""Custom photographs: one directory per identity, captions next to the images.

people/ada/01.jpg, 01.txt, 02.jpg ...   captions as text files, or
people/ada/captions.json                {"01.jpg": "a photo of {subject}, smiling"}, or
people/ada/metadata.jsonl               {"file_name": "01.jpg", "text": "..."}, as in an "imagefolder"
people/ada/heldout/                     photographs for evaluation (default: split with the suite's seed)
people/ada/noun.txt                     the class noun, such as `woman` (default: the suite's)
"""

import json
from pathlib import Path
from typing import Any, Final

from bench.errors import DatasetError
from bench.subjects.identity import Identity, PhotoFile, checked_caption, split
from bench.subjects.image_files import IMAGE_SUFFIXES, is_system_file, list_images
from bench.suite.suite import DatasetSettings
from methods.subject import with_article

HELD_OUT: Final = "heldout"


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
        names = sorted(
            path.name for path in self._root.iterdir() if path.is_dir() and not is_system_file(path)
        )
        if not names:
            raise DatasetError(f"{self._root}: no identities; expected one directory of images per identity")
        return names

    @property
    def remarks(self) -> tuple[str, ...]:
        """Images outside the identity directories."""
        loose = [path.name for path in self._root.iterdir() if path.is_file() and not is_system_file(path)]
        loose = sorted(name for name in loose if Path(name).suffix.lower() in IMAGE_SUFFIXES)
        return (
            (f"{len(loose)} images outside the identity directories are ignored, first {loose[0]}",)
            if loose
            else ()
        )

    def identity(self, name: str) -> Identity:
        """One person; split by `heldout/` if it exists, otherwise with the suite's seed."""
        folder = self._root / name
        noun, photos = self._noun(folder), self._photos(folder)
        if not (folder / HELD_OUT).is_dir():
            references, held_out = split(name, photos, self._settings)
            return self._identity(name, noun, references, held_out)
        held = self._photos(folder / HELD_OUT)
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
        held = self._photos(folder / HELD_OUT) if (folder / HELD_OUT).is_dir() else []
        return (*self._photos(folder), *held)

    def _noun(self, folder: Path) -> str:
        path = folder / "noun.txt"
        noun = path.read_text(encoding="utf-8").strip() if path.exists() else self._settings.noun
        if not noun:
            raise DatasetError(f"{path}: empty; expected a noun such as 'woman'")
        return noun

    def _photos(self, folder: Path) -> list[PhotoFile]:
        paths = list_images(folder)
        if not paths:
            raise DatasetError(f"{folder}: no images")
        person = folder.parent if folder.name == HELD_OUT else folder
        phrase = with_article(self._noun(person))
        captions = _captions(folder, paths)
        if not captions:
            captions = {path.name: self._settings.caption for path in paths}
        for path in paths:
            if path.name not in captions:
                raise DatasetError(
                    f"{path}: no caption, but {len(captions)} others of {folder.name} have one"
                )
        return [PhotoFile(p, checked_caption(captions[p.name], str(p), phrase)) for p in paths]


def _captions(folder: Path, paths: list[Path]) -> dict[str, str]:
    """Captions by file name, from captions.json, metadata.jsonl and text files."""
    captions: dict[str, str] = {}
    if (folder / "captions.json").exists():
        captions.update(_captions_json(folder / "captions.json"))
    if (folder / "metadata.jsonl").exists():
        captions.update(_metadata(folder / "metadata.jsonl"))
    for path in paths:
        text_file = path.with_suffix(".txt")
        if text_file.exists() and text_file.name != "noun.txt":
            captions[path.name] = text_file.read_text(encoding="utf-8")
    names = {path.name for path in paths}
    for name in captions:
        if name not in names:
            raise DatasetError(f"{folder}: a caption for {name!r}, but there is no such image")
    return captions


def _captions_json(path: Path) -> dict[str, str]:
    content = _json(path.read_text(encoding="utf-8"), path)
    if not isinstance(content, dict) or not all(isinstance(value, str) for value in content.values()):
        raise DatasetError(f'{path}: expected {{"file name": "caption", ...}}')
    return content


def _metadata(path: Path) -> dict[str, str]:
    captions = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        record = _json(line, path) if line.strip() else None
        if record is None:
            continue
        if (
            not isinstance(record, dict)
            or not isinstance(record.get("text"), str)
            or "file_name" not in record
        ):
            raise DatasetError(f'{path}: line {number} is not {{"file_name": ..., "text": ...}}')
        captions[str(record["file_name"])] = record["text"]
    return captions


def _json(text: str, path: Path) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise DatasetError(f"{path}: not JSON ({error})") from error
