"""Digests of the files that are scored; a file with the same size and time stamps is not read again."""

import hashlib
import json
import os
from pathlib import Path
from typing import Any, Final

from bench.atomic_io import read_json, write_text
from bench.runs.fingerprint import digest
from bench.subjects.identity import PhotoFile
from bench.subjects.image_files import ArrayRow

FILE: Final = ".image-digests.json"


class ImageDigests:
    """Digests of image files, kept in a run folder by path, size, and times of modification and change."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / FILE
        self._folder = f"{folder}{os.sep}"
        self._known = read_json(self._file)
        self._used: dict[str, Any] = {}

    def of(self, path: Path) -> str:
        """The first 16 digits of the SHA-256 of the file's bytes; `missing` without a file."""
        text = str(path)
        # Images of the run are named relative to it, so that a moved folder keeps its digests.
        inside = text.startswith(self._folder)
        name = text.removeprefix(self._folder) if inside else str(path.absolute())
        if name not in self._used:
            try:
                status = path.stat()
                stamp = [status.st_size, status.st_mtime_ns, status.st_ctime_ns]
                known = self._known.get(name)
                same = isinstance(known, list) and known[:-1] == stamp
                self._used[name] = known if same else [*stamp, _file_digest(path)]
            except OSError:
                return "missing"
        return str(self._used[name][-1])

    def of_photo(self, photo: PhotoFile) -> str:
        """Digest of what a photograph is read from: its file, the part of the file, and its corruption."""
        if isinstance(photo.part, ArrayRow):
            return digest(photo.content())
        return digest(f"{self.of(photo.path)} {photo.part} {photo.corruption}")

    def save(self) -> None:
        """Keep the digests of the files that were asked for."""
        if self._used != self._known:
            write_text(self._file, json.dumps(self._used, ensure_ascii=False))


def _file_digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]
