"""Write files and folders under a temporary name, then rename them: a reader never opens a partial one."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """A temporary path in the folder of `path`. The file written there replaces `path` after the body.

    Creates missing folders. If the body raises, `path` is unchanged. The content is flushed to disk before
    the rename, so `path` is also complete after a power cut. One process at a time: the temporary file of an
    interrupted earlier call is replaced.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = _temporary(path)
    # Made here, so that the body never writes through a link of this name.
    os.close(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0), 0o666))
    try:
        yield temporary
        _flush(temporary)
        temporary.replace(path)
        _flush_names(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """An empty temporary folder next to `path`, renamed to `path` after the body; `path` must not exist.

    Flushed to disk like a file of `atomic_file`. One process at a time: the temporary folder of an
    interrupted earlier call is deleted.
    """
    temporary = _temporary(path)
    temporary.mkdir(parents=True)
    try:
        yield temporary
        for folder, _, names in os.walk(temporary, topdown=False):
            for name in names:
                _flush(Path(folder, name))
            _flush_names(Path(folder))
        temporary.replace(path)
        _flush_names(path.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text atomically."""
    with atomic_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _temporary(path: Path) -> Path:
    """The temporary path of `path`, where nothing is: what an interrupted call left is removed."""
    temporary = path.with_name(f".{path.name}.partial")
    if temporary.is_dir() and not temporary.is_symlink():
        shutil.rmtree(temporary)
    else:
        temporary.unlink(missing_ok=True)
    return temporary


def _flush(file: Path) -> None:
    # Windows flushes only files that are open for writing.
    with file.open("r+b") as opened:
        os.fsync(opened.fileno())


def _flush_names(folder: Path) -> None:
    """Make the names in a folder durable, where the file system can."""
    with suppress(OSError):
        opened = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(opened)
        finally:
            os.close(opened)
