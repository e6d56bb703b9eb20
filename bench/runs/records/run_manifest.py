"""The manifest run.json: suite, command, versions, machine, people, methods, fingerprints."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from bench.atomic_io import read_json, write_json
from bench.runs.records.renamed import MANIFEST_KEYS, renamed
from bench.runs.records.tables import FLOOR

MANIFEST: Final = "run.json"
LISTS: Final = ("conditioning_encoders", "trained_on", "optimised_against")
"""Fields of `MethodRecord` that contain several names."""


@dataclass(frozen=True)
class PersonRecord:
    """Noun, origin and attributes of one identity."""

    noun: str = ""
    origin: str = ""
    """The dataset and its partition, such as `celeba-test`."""
    attributes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class MethodRecord:
    """One row of the table."""

    conditioning_encoders: tuple[str, ...] = ()
    trained_on: tuple[str, ...] = ()
    fingerprint_parts: Mapping[str, str] = field(default_factory=dict)
    """Class, settings, code and weights."""
    role: str = "method"
    """`floor`, `ceiling` or `method`; baselines are not ranked."""
    code: Mapping[str, str] = field(default_factory=dict)
    """Digests, by name, of the definitions that the method depends on."""
    optimised_against: tuple[str, ...] = ()
    """Encoders in the training loss or reward of the method."""


@dataclass(frozen=True)
class RunManifest:
    """The content of run.json."""

    suite: str = ""
    seed: int = 0
    command: str = ""
    commit: str = ""
    """Commit of this repository; ends in `+` where files differ from it."""
    base: str = ""
    """Folder from which relative paths in the suite start."""
    libraries: Mapping[str, str] = field(default_factory=dict)
    machine: Mapping[str, str] = field(default_factory=dict)
    people: Mapping[str, PersonRecord] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()
    """Remarks on the dataset: missing files, near-duplicates."""
    methods: Mapping[str, MethodRecord] = field(default_factory=dict)
    fingerprints: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Parts by digest, of the run and of every metric."""
    seconds: float = 0.0
    """Duration of the run, without earlier runs into the same folder."""
    scoring_seconds_per_image: float = 0.0
    """Measured when all images of the run were last scored; 0 where they never were."""

    @property
    def floor(self) -> str:
        """The row of the backbone alone."""
        return next((label for label, about in self.methods.items() if about.role == "floor"), FLOOR)


def write_run_manifest(folder: Path, manifest: RunManifest) -> None:
    """Write run.json, atomically."""
    write_json(folder / MANIFEST, asdict(manifest))


def read_run_manifest(folder: Path) -> RunManifest:
    """Read run.json; an absent or damaged one is empty."""
    content = read_json(folder / MANIFEST)
    where = str(folder / MANIFEST)
    known = _known(content, RunManifest, where)
    people = {id: PersonRecord(**_known(about, PersonRecord, where)) for id, about in _items(known, "people")}
    methods = {label: _method(about, where) for label, about in _items(known, "methods")}
    remarks = tuple(known.get("remarks", ()))
    return RunManifest(**{**known, "people": people, "methods": methods, "remarks": remarks})


def _method(about: Mapping[str, Any], where: str) -> MethodRecord:
    known = _known(about, MethodRecord, where)
    lists = {key: tuple(known.get(key, ())) for key in LISTS}
    return MethodRecord(**{**known, **lists})


def _items(content: Mapping[str, Any], key: str) -> list[tuple[str, Mapping[str, Any]]]:
    return list(content.get(key, {}).items())


def _known(content: Mapping[str, Any], cls: type, where: str) -> dict[str, Any]:
    """The entries that `cls` has a field for, by their present names."""
    names = renamed(content, MANIFEST_KEYS, where)
    fields = cls.__dataclass_fields__  # type: ignore[attr-defined]  # cls is a dataclass
    return {name: value for name, value in zip(names, content.values(), strict=True) if name in fields}
