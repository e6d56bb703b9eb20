"""A finished run, read from its folder and checked: numbers of one column are comparable."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Final, Literal

from bench.errors import ReportError, nearest
from bench.runs.fingerprint import differing
from bench.runs.records.metrics_record import Column as Column
from bench.runs.records.metrics_record import read_metrics
from bench.runs.records.run_manifest import MethodRecord, PersonRecord, RunManifest, read_run_manifest
from bench.runs.records.table_digests import check_tables
from bench.runs.records.tables import (
    CELLS,
    FITS,
    FLOOR,
    METRICS,
    SCORES,
    SETS,
    CellRow,
    FitRow,
    ScoreRow,
    SetRow,
    read_rows,
)
from bench.runs.run_folder import newest_with
from bench.runs.training_overlap import overlapping_names

CEILING: Final = "photo-copy"
"""Label of the ceiling in runs that record no roles; FLOOR is that of the floor."""

OverlapKind = Literal["conditioned", "optimised", "trained", "judge trained"]
"""Why a number is not independent: the method is conditioned on the metric's encoder or was optimised against
it, or the method or the metric was trained on people of the run."""


@dataclass(frozen=True)
class FinishedRun:
    """The content of a run folder, without images."""

    path: Path
    manifest: RunManifest
    columns: tuple[Column, ...]
    cells: tuple[CellRow, ...]
    fits: tuple[FitRow, ...]
    scores: tuple[ScoreRow, ...]
    sets: tuple[SetRow, ...]
    calibration: Mapping[str, Mapping[str, float | None]] = field(default_factory=dict)
    """By the title of a verification column, its threshold and the false accepts it was realised with."""

    @property
    def seed(self) -> int:
        """Seed of the run."""
        return self.manifest.seed

    @property
    def people(self) -> Mapping[str, PersonRecord]:
        """Noun, origin and attributes of each person, by id."""
        return self.manifest.people

    @cached_property
    def methods(self) -> list[str]:
        """Labels of the methods, in the order of the run."""
        return list(dict.fromkeys(cell.method for cell in self.cells))

    @cached_property
    def has_several_fits(self) -> bool:
        """Whether people were fitted more than once."""
        return any(cell.fit > 1 for cell in self.cells)

    def fit_of(self, row: ScoreRow) -> int:
        """The number of the fit that generated a scored image."""
        return self._fit_numbers[row.method, row.identity, row.prompt, row.sample]

    @cached_property
    def _fit_numbers(self) -> dict[tuple[str, str, str, int], int]:
        return {(c.method, c.identity, c.prompt, c.sample): c.fit for c in self.cells}

    @property
    def floor(self) -> str:
        """Label of the lower baseline, the backbone alone; `text-only` where no method has the role."""
        return self._baseline("floor", FLOOR)

    @property
    def ceiling(self) -> str:
        """Label of the upper baseline for identity; `photo-copy` where no method has the role."""
        return self._baseline("ceiling", CEILING)

    def is_baseline(self, label: str) -> bool:
        """Whether the row is a floor or a ceiling; baselines are not ranked."""
        return label in (self.floor, self.ceiling) or self._record(label).role != "method"

    def column_named(self, name: str) -> Column:
        """The column `identity@sface`. Raises ReportError with the nearest name for an unknown one."""
        image_columns = [column for column in self.columns if column.of == "pictures"]
        known = {column.qualified_name: column for column in image_columns}
        if name not in known:
            raise ReportError(f"{self.path}: no column {name!r}; {nearest(name, known)}")
        return known[name]

    def scores_of(self, label: str, column: Column) -> list[ScoreRow]:
        """The score rows of one table row in one column."""
        return self._scores_by_row_and_column.get((label, column.name, column.encoder), [])

    def overlap(self, method: str, column: Column) -> OverlapKind | None:
        """Why a number is not independent; None where it may be ranked."""
        if column.encoder and column.encoder in self._record(method).conditioning_encoders:
            return "conditioned"
        if column.encoder and column.encoder in self._record(method).optimised_against:
            return "optimised"
        if self.overlapping_training_data(self.trained_on(method)):
            return "trained"
        return "judge trained" if self.overlapping_training_data(column.trained_on) else None

    def overlapping_training_data(self, trained_on: Sequence[str]) -> list[str]:
        """The names of training data that contain people of this run."""
        return overlapping_names(trained_on, [f"{about.origin}/{who}" for who, about in self.people.items()])

    def trained_on(self, method: str) -> Sequence[str]:
        """Training data of the method's pretrained weights, as recorded."""
        return self._record(method).trained_on

    def has_pretrained_weights(self, method: str) -> bool:
        """Whether the row reads weights that were trained before the run."""
        return any(part.startswith("weights ") for part in self._record(method).fingerprint_parts)

    def common_training_data(self, method: str, column: Column) -> list[str]:
        """The names of the column's training data that the method's training data overlaps."""
        return overlapping_names(column.trained_on, self.trained_on(method))

    @cached_property
    def _scores_by_row_and_column(self) -> dict[tuple[str, str, str], list[ScoreRow]]:
        found: dict[tuple[str, str, str], list[ScoreRow]] = defaultdict(list)
        for row in self.scores:
            found[row.method, row.metric, row.encoder].append(row)
        return dict(found)

    def _baseline(self, role: str, fallback: str) -> str:
        return next((label for label in self.methods if self._record(label).role == role), fallback)

    def _record(self, method: str) -> MethodRecord:
        return self.manifest.methods.get(method, MethodRecord())


def read_run(path: Path) -> FinishedRun:
    """Read a run folder. Raises ReportError where it is unfinished, or a column would mix fingerprints."""
    if not path.is_dir():
        raise ReportError(f"{path}: no such run folder; `bench run` makes one")
    if not (path / METRICS).exists():
        raise ReportError(f"{path}: not a finished run ({METRICS} is missing); finish it with `bench run`")
    manifest = read_run_manifest(path)
    check_tables(path, manifest.tables)
    measured = read_metrics(path / METRICS)
    check_tables(path, measured.tables)
    run = FinishedRun(
        path,
        manifest,
        tuple(measured.metrics.values()),
        tuple(read_rows(path / CELLS, CellRow)),
        tuple(read_rows(path / FITS, FitRow)),
        tuple(read_rows(path / SCORES, ScoreRow)),
        tuple(read_rows(path / SETS, SetRow)),
        measured.calibration,
    )
    _check_comparable(run)
    return run


def latest_run(results: Path) -> Path:
    """The run folder that was written last. Raises ReportError where there is none."""
    folder = newest_with(METRICS, results)
    if folder is None:
        raise ReportError(f"{results}: no finished run; make one with `bench run`, or name its folder")
    return folder


def _check_comparable(run: FinishedRun) -> None:
    """Refuse columns whose numbers have different fingerprints, of the images or of the metric."""
    owners: dict[tuple[str, str], list[tuple[str, str]]] = defaultdict(list)
    rows: Sequence[ScoreRow | SetRow] = (*run.scores, *run.sets)
    for row in rows:
        owners[row.metric, row.encoder].append((row.fingerprint, row.method))
    for column in run.columns:
        _check_one_fingerprint(run, column.title, owners[column.name, column.encoder])
    _check_one_fingerprint(run, "images", [(cell.run_fingerprint, cell.method) for cell in run.cells])


def _check_one_fingerprint(run: FinishedRun, where: str, owners: Sequence[tuple[str, str]]) -> None:
    first_owner: dict[str, str] = {}
    for fingerprint, label in owners:
        if fingerprint:
            first_owner.setdefault(fingerprint, label)
    if len(first_owner) < 2:
        return
    (first, one), (second, other), *_ = first_owner.items()
    known = run.manifest.fingerprints
    differences = []
    if first in known and second in known:
        differences = differing(known[first], known[second])
    differences = differences or [f"their fingerprints: {first} / {second}"]
    raise ReportError(
        f"{run.path}: {where}: {one} and {other} must not share a column, they differ in "
        f"{'; '.join(differences[:4])}; generate and score both with one `bench run`"
    )
