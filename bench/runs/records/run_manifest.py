"""The manifest run.json: suite, command, versions, machine, people, methods, fingerprints."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from bench.atomic_io import read_json, write_json
from bench.errors import ReportError, SuiteError
from bench.runs.records.renamed import MANIFEST_KEYS, renamed
from bench.runs.records.tables import FLOOR
from bench.suite.toml_schema import read_table

MANIFEST: Final = "run.json"


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
    ended: str = ""
    """Time (UTC, ISO 8601) at which the last images were made; empty in runs of earlier versions."""
    tables: Mapping[str, str] | None = None
    """Digests of the tables; empty while the run has not ended, None in runs of version 0.1."""

    @property
    def floor(self) -> str:
        """The row of the backbone alone."""
        return next((label for label, about in self.methods.items() if about.role == "floor"), FLOOR)


def write_run_manifest(folder: Path, manifest: RunManifest) -> None:
    """Write run.json, atomically."""
    write_json(folder / MANIFEST, asdict(manifest))


def read_run_manifest(folder: Path) -> RunManifest:
    """Read run.json; an absent one is empty. Raises ReportError for a damaged one."""
    path = folder / MANIFEST
    if not path.exists():
        return RunManifest()
    known = _known(read_json(path), RunManifest, str(path))
    for key, cls in (("people", PersonRecord), ("methods", MethodRecord)):
        if isinstance(known.get(key), Mapping):
            known[key] = {name: _known(about, cls, str(path)) for name, about in known[key].items()}
    try:
        if not known:
            raise SuiteError(f"{path}: not a JSON object")
        return read_table(known, RunManifest, str(path))
    except SuiteError as error:
        remedy = "remove it and run all methods again with `bench run`, which keeps the images"
        raise ReportError(f"{error}; the file is damaged, {remedy}") from error


def _known(content: Any, cls: type, where: str) -> Any:
    """The entries that `cls` has a field for, by their present names."""
    if not isinstance(content, Mapping):
        return content
    names = renamed(content, MANIFEST_KEYS, where)
    fields = cls.__dataclass_fields__  # type: ignore[attr-defined]  # cls is a dataclass
    return {name: value for name, value in zip(names, content.values(), strict=True) if name in fields}
