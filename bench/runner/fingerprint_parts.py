"""The parts of an image's fingerprint that come from the run, the method and the subject."""

import dataclasses
from pathlib import Path
from typing import Final

from bench.runner.backbone_source import BackboneSource
from bench.runner.provenance import FileDigests, versions
from bench.runs.fingerprint import digest, digest_of
from bench.runs.row_settings import RowSettings
from bench.runs.source_code.digests import definition_digests
from bench.subjects.identity import Identity, PhotoFile
from methods.interface import Method

LOCATION_SETTINGS: Final = ("path", "revision", "config", "variant", "vae", "device")
"""Settings that only locate the backbone; it is identified by the digests of its files."""
BACKBONE_CLASS: Final = ("methods.backbone.backbone", "Backbone")


def run_parts(backbone: BackboneSource | None, digests: FileDigests) -> dict[str, str]:
    """Parts that all images of a run share; `backbone` is None if the suite opens none."""
    parts = versions()
    if backbone is None:
        return {**parts, "backbone": "none"}
    spec = dataclasses.asdict(backbone.spec)
    sampling = {key: str(value) for key, value in spec.items() if key not in LOCATION_SETTINGS}
    return {
        **parts,
        **{f"sampling {key}": value for key, value in sampling.items()},
        "device": backbone.device,
        # Sums of several threads depend on their number.
        **({"threads": "1"} if backbone.device == "cpu" else {}),
        "backbone code": digest_of(backbone_code(backbone.denoiser)),
        **digests.of_all(backbone.files, "backbone ", backbone.folder),
    }


def backbone_code(denoiser: str) -> dict[str, str]:
    """Digests of the definitions that a backbone depends on, by name.

    `denoiser`, `module:Class`, is the class of its family: `Backbone` imports it by its name.
    """
    module, _, name = denoiser.partition(":")
    return {**definition_digests(module, name), **definition_digests(*BACKBONE_CLASS)}


def method_parts(method: Method, digests: FileDigests) -> dict[str, str]:
    """Parts of the method: class, settings, code, weights."""
    cls = type(method)
    settings = {f.name: repr(getattr(method, f.name)) for f in dataclasses.fields(method)}  # type: ignore[arg-type]  # a method is a dataclass
    files = tuple(method.weights)
    return {
        "method": f"{_package(cls)}:{cls.__qualname__}",
        **{f"setting {name}": value for name, value in settings.items()},
        "code": digest_of(class_code(cls)),
        **digests.of_all(files, "weights ", _parent(files)),
    }


def row_parts(row: RowSettings) -> dict[str, str]:
    """Parts from the settings of the harness that a method does not receive."""
    guidance = {} if row.guidance is None else {"row's guidance": str(float(row.guidance))}
    return guidance if row.checkpoint is None else {**guidance, "row's checkpoint": str(row.checkpoint)}


def class_code(cls: type) -> dict[str, str]:
    """Digests of the definitions that a class depends on, by name."""
    return definition_digests(cls.__module__, cls.__qualname__)


def _package(cls: type) -> str:
    """The package; the module is left out because a class may move within its package."""
    return cls.__module__.partition(".")[0]


def subject_parts(who: Identity, known: dict[tuple[str, str], str] | None = None) -> dict[str, str]:
    """Parts of the identity: noun, reference photographs, captions, and the code that reads photographs.

    `known` receives the digests of the photographs, so that calls for many rows read each file once.
    """
    digests = {} if known is None else known
    photos = []
    for photo in who.references:
        key = photo.name, photo.corruption
        if key not in digests:
            digests[key] = digest(photo.content())
        photos.append((digests[key], photo.caption))
    reading = definition_digests(PhotoFile.__module__, PhotoFile.__qualname__, shared="bench")
    return {
        "noun": who.noun,
        "references": digest_of({"photos": photos}),
        "reading of photographs": digest_of(reading),
    }


def _parent(files: tuple[Path, ...]) -> Path:
    return files[0].parent if files else Path()
