"""Write files and folders atomically and durably: after a kill or a power cut they are complete or absent."""

import errno
import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from bench.errors import StoreError

FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
"""Errors that free space would remedy."""
ENDS_RUN: Final = FULL | {errno.EROFS}
"""Errors that all further writes would raise as well."""
FULL_IN_WORDS: Final = re.compile(
    rf"os error ({'|'.join(str(number) for number in sorted(ENDS_RUN))})\b"
    "|No space left on device|Disk quota exceeded|PytorchStreamWriter failed writing"
    r"|inline_container.* unexpected pos|\d+ requested and \d+ written"
)
"""How safetensors, torch and numpy report a full disk, without an error number."""
PARTIAL: Final = ".partial"
"""End of the name of a temporary file or folder, which begins with a dot."""

_NEW_FILE: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0)


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write JSON atomically."""
    write_whole(path, (json.dumps(content, indent=1, ensure_ascii=False) + "\n").encode())


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text atomically."""
    write_whole(path, text.encode())


def write_whole(path: Path, content: bytes) -> None:
    """Write a temporary file, flush it to disk and rename it, so that no reader sees a partial file.

    `sync_folder` makes the new name durable. Raises StoreError.
    """
    temporary = _temporary(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove(temporary)
        # Never through a link that somebody left under the temporary name.
        with os.fdopen(os.open(temporary, _NEW_FILE, 0o666), "wb") as file:
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
    except (OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


@contextmanager
def fresh_folder(path: Path) -> Iterator[Path]:
    """Yield an empty folder that replaces `path` on exit, flushed to disk with everything in it.

    After an error, `path` is unchanged. Raises StoreError where the folder cannot be made or renamed.
    """
    temporary = _temporary(path)
    try:
        with _refused(path):
            _remove(temporary)
            temporary.mkdir(parents=True)
        yield temporary
        with _refused(path):
            _sync_tree(temporary)
            _remove(path)
            temporary.replace(path)
            sync_folder(path.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def folder_digest(folder: Path) -> str:
    """Digest of the names and contents of all files in a folder, and of its empty folders."""
    found = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        found.update(f"{path.relative_to(folder).as_posix()}\0".encode(errors="surrogateescape"))
        if path.is_file():
            with path.open("rb") as file:
                found.update(hashlib.file_digest(file, "sha256").digest())
    return found.hexdigest()[:16]


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable, where the file system can."""
    with suppress(OSError):
        opened = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(opened)
        finally:
            os.close(opened)


def remove_file(path: Path) -> None:
    """Remove a file if there is one. Raises StoreError."""
    with _refused(path):
        path.unlink(missing_ok=True)


def remove_leftovers(folder: Path) -> None:
    """Remove the temporary files and folders of killed runs; nobody may be writing."""
    for inner, folders, files in os.walk(folder):
        for name in [name for name in (*folders, *files) if name[0] == "." and name.endswith(PARTIAL)]:
            with suppress(OSError):
                _remove(Path(inner, name))


def is_full_disk(error: BaseException) -> bool:
    """Whether an error reports a full or read-only disk, also one of a library that is no OSError."""
    if getattr(error, "errno", None) in ENDS_RUN or FULL_IN_WORDS.search(str(error)):
        return True
    return error.__cause__ is not None and is_full_disk(error.__cause__)


def refusal(path: Path, error: BaseException) -> StoreError:
    """The error for a folder that is unwritable or full."""
    full = is_full_disk(error) and getattr(error, "errno", None) != errno.EROFS
    remedy = (
        "free some space, then run again; existing files are kept"
        if full
        else "choose another folder with --out"
    )
    return StoreError(f"{path}: cannot be written ({getattr(error, 'strerror', None) or error}); {remedy}")


def _temporary(path: Path) -> Path:
    return path.with_name(f".{path.name}{PARTIAL}")


@contextmanager
def _refused(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise refusal(path, error) from error


def _remove(path: Path) -> None:
    """Remove a file, a link or a folder, if there is one; a link's target is kept."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _sync_tree(folder: Path) -> None:
    """Flush every file in a folder, then every folder from the inside out."""
    for inner, _, names in os.walk(folder, topdown=False):
        for name in names:
            path = Path(inner, name)
            if path.is_file() and not path.is_symlink():
                # Windows flushes only files that are open for writing.
                with path.open("r+b" if os.name == "nt" else "rb") as file:
                    os.fsync(file.fileno())
        sync_folder(Path(inner))
