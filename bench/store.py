"""The run folder: what exists is what has a whole file with a matching fingerprint.

<run>/suite.toml, run.json, *.csv, report.md, grid.png
<run>/images/<method>/<identity>/<prompt>.s1.png      the picture; its fingerprint is in the PNG's text
<run>/images/<method>/<identity>/<prompt>.s1.json     its timings and its recipe
<run>/images/<method>/<identity>/<prompt>.s1.failed.json    or why there is no picture
<run>/fits/<method>/<identity>/                       what `fit` wrote
<run>/fits/<method>/<identity>.json                   its fingerprint and timings
"""

import errno
import fcntl
import io
import json
import os
import platform
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from bench.errors import StoreError
from bench.plan import Cell

LOCK: Final = ".lock"
TEXT_KEY: Final = "personabench"
PNG_END: Final = b"IEND\xaeB`\x82"
"""The last bytes of every whole PNG."""
FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS})
"""Errors that no further cell can escape."""


@dataclass(frozen=True)
class RunFolder:
    """Paths and whole-file writes of one run."""

    path: Path

    def image(self, cell: Cell) -> Path:
        """Where the cell's picture stands."""
        return (
            self.path / "images" / safe(cell.method) / cell.identity / f"{cell.prompt.id}.s{cell.sample}.png"
        )

    def sidecar(self, cell: Cell) -> Path:
        """Where the picture's timings and recipe stand."""
        return self.image(cell).with_suffix(".json")

    def failure(self, cell: Cell) -> Path:
        """Where the reason stands if drawing failed."""
        return self.image(cell).with_suffix(".failed.json")

    def fit(self, method: str, identity: str) -> Path:
        """The folder that `fit` filled."""
        return self.path / "fits" / safe(method) / identity

    def fit_sidecar(self, method: str, identity: str) -> Path:
        """The fitting's fingerprint and timings."""
        folder = self.fit(method, identity)
        return folder.with_name(folder.name + ".json")

    def found(self, cell: Cell) -> str | None:
        """The fingerprint of the whole picture that is there, or None."""
        try:
            with self.image(cell).open("rb") as file:
                file.seek(-len(PNG_END), os.SEEK_END)
                if file.read() != PNG_END:
                    return None
                file.seek(0)
                with Image.open(file) as picture:
                    fingerprint = picture.info.get(TEXT_KEY)
        except (OSError, SyntaxError, ValueError):
            return None
        return str(fingerprint) if fingerprint else None

    def has(self, cell: Cell, fingerprint: str) -> bool:
        """Whether the cell's picture is there and was made in exactly this way."""
        return self.found(cell) == fingerprint

    def save(self, cell: Cell, picture: Image.Image, fingerprint: str, record: Mapping[str, Any]) -> None:
        """Write the sidecar, then the picture: a picture that is there has its timings too."""
        text = PngInfo()
        text.add_text(TEXT_KEY, fingerprint)
        buffer = io.BytesIO()
        Image.frombytes("RGB", picture.size, picture.convert("RGB").tobytes()).save(
            buffer, "PNG", pnginfo=text
        )
        write_json(self.sidecar(cell), record)
        write_whole(self.image(cell), buffer.getvalue())


def safe(name: str) -> str:
    """A method's name as a folder's: not every file system takes the colon of `package.module:Class`."""
    return name.replace(":", "+").replace("/", "_")


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write JSON, whole."""
    write_whole(path, (json.dumps(content, indent=1, ensure_ascii=False) + "\n").encode())


def write_text(path: Path, text: str) -> None:
    """Write UTF-8, whole."""
    write_whole(path, text.encode())


def write_whole(path: Path, content: bytes) -> None:
    """Write beside, flush to disk, rename: a reader never sees half a file, not even after a power cut."""
    beside = path.with_name(f".{path.name}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with beside.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except OSError as error:
        with suppress(OSError):
            beside.unlink(missing_ok=True)
        raise refusal(path, error) from error


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object at `path`, or an empty one where there is none."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


@contextmanager
def fresh_folder(path: Path) -> Iterator[Path]:
    """An empty folder that takes the place of `path` once filled; after an error nothing has changed."""
    beside = path.with_name(f".{path.name}.partial")
    try:
        shutil.rmtree(beside, ignore_errors=True)
        beside.mkdir(parents=True)
        yield beside
        shutil.rmtree(path, ignore_errors=True)
        beside.replace(path)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def refusal(path: Path, error: OSError) -> StoreError:
    """One line for a folder that is unwritable or full."""
    room = (
        "make room, then run again: what is there is kept"
        if error.errno in FULL
        else "give --out another folder"
    )
    return StoreError(f"{path}: cannot be written ({error.strerror or error}); {room}")


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the run folder for this process alone.

    The system drops the lock when its holder ends, however it ends, so a killed run leaves none behind.
    Raises StoreError where another run holds it, or where the folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = (folder / LOCK).open("a+", encoding="utf-8")
    except OSError as error:
        raise refusal(folder, error) from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            file.seek(0)
            holder = file.read().strip() or "another process"
            raise StoreError(
                f"{folder}: {holder} is writing here; wait for it, or give --out another folder"
            ) from error
        except OSError as error:
            raise refusal(folder, error) from error
        file.seek(0)
        file.truncate()
        file.write(f"process {os.getpid()} on {platform.node()}")
        file.flush()
        yield
