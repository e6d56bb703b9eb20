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
"""Errors that all further writes would raise as well."""


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write JSON atomically."""
    write_whole(path, (json.dumps(content, indent=1, ensure_ascii=False) + "\n").encode())


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text atomically."""
    write_whole(path, text.encode())


def write_whole(path: Path, content: bytes) -> None:
    """Write a temporary file, flush it to disk and rename it, so that no reader sees a partial file."""
    temporary = path.with_name(f".{path.name}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise refusal(path, error) from error


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object at `path`, or an empty one if there is none."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


@contextmanager
def fresh_folder(path: Path) -> Iterator[Path]:
    """Yield an empty folder that replaces `path` on exit; after an error, `path` is unchanged."""
    temporary = path.with_name(f".{path.name}.partial")
    try:
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
        yield temporary
        shutil.rmtree(path, ignore_errors=True)
        temporary.replace(path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def refusal(path: Path, error: OSError) -> StoreError:
    """The error for a folder that is unwritable or full."""
    remedy = (
        "free some space, then run again; existing files are kept"
        if error.errno in FULL
        else "choose another folder with --out"
    )
    return StoreError(f"{path}: cannot be written ({error.strerror or error}); {remedy}")
