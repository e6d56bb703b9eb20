"""Write files and folders atomically."""

import errno
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from bench.errors import StoreError

FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS})
"""Errors that no further cell can escape."""


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
