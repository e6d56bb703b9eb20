"""Locate weight files, report missing ones, and identify them in fingerprints."""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Iterable, Sequence
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

from metrics.interface import MetricError

SHIPPED: Final = Path(__file__).resolve().parents[2] / "weights"
"""The folder of the networks that ship."""
READ: Final = (".safetensors", ".json", ".txt", ".model")
"""Files of a folder in transformers' layout that count for its digest; a README changes no number."""


def first_existing(encoder: str, places: Sequence[Path], *, cure: str, alternative: str) -> Path:
    """The first of `places` that exists; else MetricError, see `missing`."""
    for place in places:
        if place.exists():
            return place
    raise missing(encoder, places, cure=cure, alternative=alternative)


def missing(encoder: str, places: Iterable[object], *, cure: str, alternative: str) -> MetricError:
    """One line for missing weights: the encoder, where searched, how to get them, and an alternative."""
    searched = ", ".join(map(str, places)) or "no path given"
    return MetricError(
        f"encoder {encoder!r}: no weights (searched: {searched}); {cure}; {alternative} is an alternative"
    )


def shipped(encoder: str, path: str | Path | None, *, alternative: str) -> Path:
    """The file of a network trained by this project: `path`, or the one that ships."""
    places = [Path(path).expanduser() if path else SHIPPED / f"{encoder}.safetensors"]
    cure = f"run `bench train encoders`, or set `path` in [encoders.{encoder}]"
    return first_existing(encoder, places, cure=cure, alternative=alternative)


def packaged(encoder: str, package: str, file: str, *, alternative: str) -> Path:
    """A file inside an installed package, found without importing it."""
    places = in_package(package, file)
    if not places:
        place = f"package {package}, which is not installed"
        raise missing(encoder, [place], cure=f"pip install {package}", alternative=alternative)
    cure = f"pip install --force-reinstall {package}"
    return first_existing(encoder, places, cure=cure, alternative=alternative)


def in_package(package: str, file: str) -> list[Path]:
    """Where a file of an installed package would be, without importing it; empty if it is not installed."""
    spec = importlib.util.find_spec(package)
    return [] if spec is None or spec.origin is None else [Path(spec.origin).parent / file]


def checked(encoder: str, path: Path, digest: str, source: str) -> Path:
    """`path` if its SHA-256 begins with `digest`; else MetricError, to exclude any other network."""
    found = sha256(path)
    if not digest or not found.startswith(digest.lower()):
        raise MetricError(
            f"{path}: SHA-256 {found[:12]}..., expected {digest[:12]}...; download {source} again, "
            f"or set `digest` in [encoders.{encoder}] to use another network"
        )
    return path


def is_known(path: Path, *digests: str) -> bool:
    """Whether a file has one of these SHA-256: its network is known to open, so that opening can wait.

    Encoders open any other file at once: an unusable one must be reported before images are generated, as
    must an unusable GPU.
    """
    return sha256(path) in digests


@cache
def sha256(path: Path) -> str:
    """The digest of a file; for a folder, of the names and contents of its files with a suffix in READ."""
    digest = hashlib.sha256()
    if not path.is_dir():
        _add(digest, path)
        return digest.hexdigest()
    for part in sorted(p for p in path.iterdir() if p.suffix in READ and p.is_file()):
        digest.update(f"{part.name}\0{part.stat().st_size}\0".encode())
        _add(digest, part)
    return digest.hexdigest()


def _add(digest: hashlib._Hash, path: Path) -> None:
    with path.open("rb") as file:
        for chunk in iter(lambda: file.read(1 << 20), b""):
            digest.update(chunk)


def versions(*packages: str) -> dict[str, str]:
    """Installed versions for a fingerprint; "absent" for packages that are not installed."""
    return {package: _version(package) for package in packages}


@cache
def _version(package: str) -> str:
    """Cached: a lookup searches the installed packages, and every score has a fingerprint."""
    try:
        return version(package)
    except PackageNotFoundError:
        return "absent"
