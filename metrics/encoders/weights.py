"""Where an encoder's weights lie, and what to say where they do not."""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Sequence
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

from metrics.interface import MetricError

SHIPPED: Final = Path(__file__).resolve().parent.parent / "weights"
"""The folder of the networks that this project trained itself."""


def first_existing(encoder: str, places: Sequence[Path], *, cure: str, stand_in: str) -> Path:
    """The first of `places` that exists; else MetricError: where, how to get it, what could stand in."""
    for place in places:
        if place.exists():
            return place
    looked = ", ".join(map(str, places)) or "no path given"
    raise MetricError(
        f"encoder {encoder!r}: no weights (looked in: {looked}); {cure}; {stand_in} could stand in"
    )


def packaged(encoder: str, package: str, file: str) -> Path:
    """A file inside an installed package, found without importing it."""
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise MetricError(f"encoder {encoder!r}: package {package!r} is not installed; pip install {package}")
    path = Path(spec.origin).parent / file
    if not path.is_file():
        raise MetricError(f"encoder {encoder!r}: {path} is missing; pip install --force-reinstall {package}")
    return path


@cache
def sha256(path: Path) -> str:
    """The digest of a file, or of a folder's weight and configuration files in the order of their names."""
    digest = hashlib.sha256()
    for part in sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]:
        with part.open("rb") as file:
            for chunk in iter(lambda: file.read(1 << 20), b""):
                digest.update(chunk)
    return digest.hexdigest()


def versions(*packages: str) -> dict[str, str]:
    """Installed versions for a fingerprint; "absent" for what is not installed."""
    found = {}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "absent"
    return found
