"""Where an encoder's weights lie, what to say where they do not, and what names them in a fingerprint."""

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
"""The folder of the networks that this project trained itself."""
READ: Final = (".safetensors", ".json", ".txt", ".model")
"""What is read of a folder in transformers' layout: a README changes no number."""


def first_existing(encoder: str, places: Sequence[Path], *, cure: str, stand_in: str) -> Path:
    """The first of `places` that exists; else MetricError: where, how to get it, what could stand in."""
    for place in places:
        if place.exists():
            return place
    raise missing(encoder, places, cure=cure, stand_in=stand_in)


def missing(encoder: str, places: Iterable[object], *, cure: str, stand_in: str) -> MetricError:
    """One line for weights that are not there: what, where looked for, how to get it, what could stand in."""
    looked = ", ".join(map(str, places)) or "no path given"
    return MetricError(
        f"encoder {encoder!r}: no weights (looked in: {looked}); {cure}; {stand_in} could stand in"
    )


def shipped(encoder: str, path: str | Path | None, *, stand_in: str) -> Path:
    """The file of a network that this project trained: `path`, or the one that ships."""
    places = [Path(path).expanduser() if path else SHIPPED / f"{encoder}.safetensors"]
    cure = f"`bench train encoders` makes it, or set `path` in [encoders.{encoder}]"
    return first_existing(encoder, places, cure=cure, stand_in=stand_in)


def packaged(encoder: str, package: str, file: str, *, stand_in: str) -> Path:
    """A file inside an installed package, found without importing it."""
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        place, cure = f"package {package}, which is not installed", f"pip install {package}"
        raise missing(encoder, [place], cure=cure, stand_in=stand_in)
    cure = f"pip install --force-reinstall {package}"
    return first_existing(encoder, [Path(spec.origin).parent / file], cure=cure, stand_in=stand_in)


def checked(encoder: str, path: Path, digest: str, source: str) -> Path:
    """`path`, where its SHA-256 begins with `digest`; else MetricError: another network must not slip in."""
    found = sha256(path)
    if not digest or not found.startswith(digest.lower()):
        raise MetricError(
            f"{path}: SHA-256 {found[:12]}..., wanted {digest[:12]}...; download {source} again, "
            f"or set `digest` in [encoders.{encoder}] if another network is meant"
        )
    return path


@cache
def sha256(path: Path) -> str:
    """The digest of a file; of a folder, that of the names and contents of the files in READ."""
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
    """Installed versions for a fingerprint; "absent" for what is not installed."""
    return {package: _version(package) for package in packages}


@cache
def _version(package: str) -> str:
    """Looked up once: it is a search through the installed packages, and every score has a fingerprint."""
    try:
        return version(package)
    except PackageNotFoundError:
        return "absent"
