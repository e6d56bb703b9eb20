"""The recipe of a picture: everything its bytes depend on, named, so that two recipes can be told apart."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from bench.plan import Cell
from bench.provenance import FileDigests, digest, digest_of, sources, versions
from bench.subjects.identity import Identity
from methods.interface import Method

PLACES: Final = ("path", "revision", "config", "variant", "device")
"""Where a backbone lies is not what it is; its files' digests say that."""


@dataclass(frozen=True)
class Recipe:
    """What all pictures of one person by one method depend on."""

    run: Mapping[str, str]
    """Backbone, sampling, device, libraries: the same for every method of a run."""
    method: Mapping[str, str]
    """Class, settings, sources and weights."""
    subject: Mapping[str, str]
    """The reference photographs and their captions."""

    def parts(self, cell: Cell) -> dict[str, str]:
        """By name, what the cell's picture depends on."""
        own = {"prompt": cell.prompt.template, "seed": str(cell.seed)}
        return {**self.run, **self.method, **self.subject, **own}

    def fingerprint(self, cell: Cell) -> str:
        """The digest of `parts`."""
        return digest_of(self.parts(cell))

    def fit_fingerprint(self, seed: int) -> str:
        """The digest of what the fitting depends on: no prompt."""
        return digest_of({**self.run, **self.method, **self.subject, "seed": str(seed)})


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


def differing(one: Mapping[str, str], other: Mapping[str, str]) -> list[str]:
    """Names of the parts in which two recipes differ, each with both values."""
    return [
        f"{name}: {one.get(name, 'absent')} / {other.get(name, 'absent')}"
        for name in sorted({*one, *other})
        if one.get(name) != other.get(name)
    ]


def _parent(files: tuple[Path, ...]) -> Path:
    return files[0].parent if files else Path()
