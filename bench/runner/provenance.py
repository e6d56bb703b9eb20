"""Provenance of images: file digests, library versions, commit, machine."""

import hashlib
import platform
import subprocess
from collections.abc import Iterable
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

from bench.atomic_io import read_json, write_json

LIBRARIES: Final = (
    "torch",
    "diffusers",
    "transformers",
    "peft",
    "insightface",
    "onnxruntime",
    "numpy",
    "pillow",
    "torchao",
)
"""Libraries whose version may change an image's bytes."""


class FileDigests:
    """Digests of large files, cached in a JSON file by path, size and modification time."""

    def __init__(self, cache: Path) -> None:
        self._cache = cache
        self._known = read_json(cache)

    def of(self, path: Path) -> str:
        """The first 16 digits of the file's SHA-256, or `missing`; its reader reports the missing file."""
        if not path.is_file():
            return "missing"
        status = path.stat()
        stamp = f"{path.resolve()} {status.st_size} {status.st_mtime_ns}"
        if stamp not in self._known:
            with path.open("rb") as file:
                self._known[stamp] = hashlib.file_digest(file, "sha256").hexdigest()[:16]
            write_json(self._cache, self._known)
        return str(self._known[stamp])

    def of_all(self, paths: Iterable[Path], prefix: str, base: Path) -> dict[str, str]:
        """Digests of the files, by `prefix` and the path relative to `base`.

        A file outside `base` is named by its file name, with its folder's name where file names are equal.
        """
        files = sorted(paths)
        names = [p.relative_to(base).as_posix() if p.is_relative_to(base) else p.name for p in files]
        found = {}
        for path, name in zip(files, names, strict=True):
            unique = name if names.count(name) == 1 else f"{path.parent.name}/{path.name}"
            found[f"{prefix}{unique}"] = self.of(path)
        return found


def versions() -> dict[str, str]:
    """Installed versions of `LIBRARIES`."""
    found = {}
    for name in LIBRARIES:
        with suppress(PackageNotFoundError):
            found[f"library {name}"] = version(name)
    return found


def commit() -> str:
    """Commit of this repository, ending in `+` if files differ from it; empty outside a checkout."""
    folder = Path(__file__).parent
    try:
        head = _git(folder, "rev-parse", "--short=12", "HEAD")
        changed = _git(folder, "status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.SubprocessError):
        return ""
    return head + ("+" if changed else "")


def _git(folder: Path, *words: str) -> str:
    done = subprocess.run(
        ["git", "-C", str(folder), *words], capture_output=True, text=True, timeout=10, check=True
    )
    return done.stdout.strip()


def machine() -> dict[str, str]:
    """System, Python and processor."""
    return {
        "system": platform.platform(terse=True),
        "python": platform.python_version(),
        "processor": _processor(),
    }


def _processor() -> str:
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
