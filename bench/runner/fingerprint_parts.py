"""The parts of an image's fingerprint that come from the run, the method and the subject."""

import dataclasses
from pathlib import Path
from typing import Any, Final

from bench.runner.provenance import FileDigests, sources, versions
from bench.runs.fingerprint import digest, digest_of
from bench.subjects.identity import Identity
from methods.interface import Method

PLACES: Final = ("path", "revision", "config", "variant", "device")
"""Where a backbone lies is not what it is; its files' digests say that."""


def run_parts(backbone: Any, digests: FileDigests) -> dict[str, str]:
    """The part of every recipe that the run shares; `backbone` is None where the suite opens none."""
    parts = versions()
    if backbone is None:
        return {**parts, "backbone": "none"}
    spec = dataclasses.asdict(backbone.spec)
    sampling = {key: str(value) for key, value in spec.items() if key not in PLACES}
    return {
        **parts,
        **{f"sampling {key}": value for key, value in sampling.items()},
        "device": str(backbone.device),
        **digests.of_all(backbone.files(), "backbone ", backbone.folder),
    }


def method_parts(method: Method, digests: FileDigests) -> dict[str, str]:
    """The part of a recipe that the method brings."""
    cls = type(method)
    settings = {f.name: repr(getattr(method, f.name)) for f in dataclasses.fields(method)}  # type: ignore[arg-type]  # a method is a dataclass
    files = tuple(method.weights)
    return {
        "method": f"{cls.__module__}:{cls.__qualname__}",
        **{f"setting {name}": value for name, value in settings.items()},
        **sources(cls.__module__),
        **digests.of_all(files, "weights ", _parent(files)),
    }


def subject_parts(who: Identity) -> dict[str, str]:
    """The part of a recipe that the person brings."""
    photos = [(digest(photo.content()), photo.caption) for photo in who.references]
    return {"noun": who.noun, "references": digest_of({"photos": photos})}


def _parent(files: tuple[Path, ...]) -> Path:
    return files[0].parent if files else Path()
