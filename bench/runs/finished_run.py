"""A finished run, read back: scores, costs and failures, checked to be comparable."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final, Literal

from bench.atomic_io import read_json
from bench.errors import ReportError
from bench.runs.fingerprint import differing
from bench.runs.run_manifest import MethodRecord, PersonRecord, RunManifest, read_run_manifest
from bench.runs.tables import CELLS, FITS, METRICS, SCORES, SETS, CellRow, FitRow, ScoreRow, SetRow, read_rows
from bench.runs.training_overlap import TRAINED_ON, names_in, overlapping_names

OverlapKind = Literal["conditioned", "trained", "judge trained"]
"""The method saw by the judging network, or its weights or the judge's were trained on people of the run."""

MARKS: Final[Mapping[OverlapKind, str]] = {"conditioned": "†", "trained": "‡", "judge trained": "‡"}


def marked(text: str, overlap: OverlapKind | None) -> str:
    """A number with its mark, in every table where it leaks."""
    return f"{text} {MARKS[overlap]}" if overlap else text


@dataclass(frozen=True)
class Column:
    """A metric and the network behind it."""

    name: str
    encoder: str
    better: str
    of: str
    """`pictures` of the subject, `priors` (pictures of somebody else), or `sets`."""
    fingerprint: Mapping[str, str]

    @property
    def trained_on(self) -> Sequence[str]:
        """What the network behind it was trained on, as far as its fingerprint says so."""
        return names_in(self.fingerprint.get(TRAINED_ON, ""))

    @property
    def title(self) -> str:
        """`identity (sface)`."""
        return f"{self.name} ({self.encoder})" if self.encoder else self.name

    def holds(self, row: ScoreRow | SetRow) -> bool:
        """Whether a line of scores.csv or sets.csv belongs to this column."""
        return (row.metric, row.encoder) == (self.name, self.encoder)

    @property
    def headed(self) -> str:
        """The title with an arrow to the better side."""
        arrow = {"higher": " ↑", "lower": " ↓"}.get(self.better, "")
        return self.title + arrow


@dataclass(frozen=True)
class FinishedRun:
    """Everything that a report is made of."""

    path: Path
    manifest: RunManifest
    columns: tuple[Column, ...]
    cells: tuple[CellRow, ...]
    fits: tuple[FitRow, ...]
    scores: tuple[ScoreRow, ...]
    sets: tuple[SetRow, ...]

    @property
    def methods(self) -> list[str]:
        """Labels of the methods, in the order of the run."""
        return list(dict.fromkeys(cell.method for cell in self.cells))

    @property
    def seed(self) -> int:
        """The run's seed, from which every draw of the report comes."""
        return self.manifest.seed

    def scores_of(self, label: str, column: Column) -> list[ScoreRow]:
        """The lines of one row in one column."""
        return self._by_place.get((label, column.name, column.encoder), [])

    @cached_property
    def _by_place(self) -> dict[tuple[str, str, str], list[ScoreRow]]:
        found: dict[tuple[str, str, str], list[ScoreRow]] = defaultdict(list)
        for row in self.scores:
            found[row.method, row.metric, row.encoder].append(row)
        return dict(found)

    @property
    def people(self) -> Mapping[str, PersonRecord]:
        """What is known of each person, by id."""
        return self.manifest.people

    def overlap(self, method: str, column: Column) -> OverlapKind | None:
        """Why a number says less than it seems; None where it may be ranked."""
        if column.encoder and column.encoder in self._record(method).conditioning_encoders:
            return "conditioned"
        if self.trained_on_run(self.trained_on(method)):
            return "trained"
        return "judge trained" if self.trained_on_run(column.trained_on) else None

    def trained_on_run(self, trained: Sequence[str]) -> list[str]:
        """The names of training data that hold people of this run."""
        return overlapping_names(trained, [f"{about.origin}/{who}" for who, about in self.people.items()])

    def trained_on(self, method: str) -> Sequence[str]:
        """What the method's pretrained weights were trained on, as far as it says so."""
        return self._record(method).trained_on

    def _record(self, method: str) -> MethodRecord:
        return self.manifest.methods.get(method, MethodRecord())


def read_run(path: Path) -> FinishedRun:
    """Read a run folder. Raises ReportError where it is unfinished, or a column would mix fingerprints."""
    if not path.is_dir():
        raise ReportError(f"{path}: no such run folder; `bench run` makes one")
    metrics = read_json(path / METRICS).get("metrics")
    if metrics is None:
        raise ReportError(f"{path}: not a finished run ({METRICS} is missing); finish it with `bench run`")
    run = FinishedRun(
        path,
        read_run_manifest(path),
        tuple(Column(**about) for about in metrics.values()),
        tuple(read_rows(path / CELLS, CellRow)),
        tuple(read_rows(path / FITS, FitRow)),
        tuple(read_rows(path / SCORES, ScoreRow)),
        tuple(read_rows(path / SETS, SetRow)),
    )
    _refuse_mixtures(run)
    return run


def latest_run(results: Path) -> Path:
    """The run folder that was written last."""
    found = sorted(results.glob(f"*/{METRICS}"), key=lambda path: path.stat().st_mtime)
    if not found:
        raise ReportError(f"{results}: no finished run; make one with `bench run`, or name its folder")
    return found[-1].parent


def _refuse_mixtures(run: FinishedRun) -> None:
    """Numbers of different pictures' or metrics' fingerprints never share a column."""
    for column in run.columns:
        made = [(row.fingerprint, row.method) for row in run.scores if column.holds(row)]
        made += [(row.fingerprint, row.method) for row in run.sets if column.holds(row)]
        _refuse_two(run, f"{column.title}: ", made)
    _refuse_two(run, "pictures: ", [(cell.run_fingerprint, cell.method) for cell in run.cells])


def _refuse_two(run: FinishedRun, where: str, made: Sequence[tuple[str, str]]) -> None:
    owners: dict[str, str] = {}
    for fingerprint, label in made:
        if fingerprint:
            owners.setdefault(fingerprint, label)
    if len(owners) < 2:
        return
    (first, one), (second, other), *_ = owners.items()
    known = run.manifest.fingerprints
    differences = []
    if first in known and second in known:
        differences = differing(known[first], known[second])
    differences = differences or [f"their fingerprints: {first} / {second}"]
    raise ReportError(
        f"{run.path}: {where}{one} and {other} must not share a column, they differ in "
        f"{'; '.join(differences[:4])}; let one `bench run` make and measure both"
    )
