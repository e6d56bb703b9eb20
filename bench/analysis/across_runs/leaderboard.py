"""One comparison table over several runs of the same benchmark: people, photographs, prompts, metrics, seed.

Methods and backbones may differ. Everything else must be equal, so that every image of one run has its
counterpart in the others: the paired comparisons are those of a single run.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Final, TypeVar

from bench.analysis.across_runs.comparability import (
    SCORE_AGAIN,
    Place,
    listed,
    people_differences,
    photograph_differences,
    shared_columns,
)
from bench.analysis.comparison_table import ComparisonTable, compare
from bench.errors import ReportError
from bench.runs.fingerprint import differing
from bench.runs.finished_run import Column, FinishedRun
from bench.runs.records.run_manifest import MethodRecord
from bench.runs.records.tables import (
    REAL_OTHER,
    REAL_SAME,
    REAL_SETS,
    CellRow,
    FitRow,
    ScoreRow,
    SetRow,
)
from bench.runs.run_folder import SUITE_COPY
from bench.suite.prompts import PRIOR
from bench.suite.suite import DatasetSettings, open_suite

Row = TypeVar("Row", CellRow, FitRow, ScoreRow, SetRow)
REAL: Final = (REAL_SAME, REAL_OTHER, *REAL_SETS)
MOST_DIFFERENCES: Final = 4
"""Named in a refusal."""
PLACES_OF_FILES: Final = ("path",)
"""Dataset settings that may differ: where the same photographs are."""


@dataclass(frozen=True)
class Leaderboard:
    """The rows of several runs in one table."""

    table: ComparisonTable
    runs: Mapping[str, FinishedRun]
    """By name; the order is that given."""
    run_of: Mapping[str, str]
    """Name of the run, by row."""
    repeated: tuple[str, ...]
    """Methods of several runs; their rows are named after the run too."""
    left_out: tuple[str, ...]
    """Metrics that not all runs have, or whose numbers differ in meaning, with the reason."""

    @property
    def has_scored_photographs(self) -> bool:
        """Whether any metric scored the photographs, so that they are known to be the same in all runs."""
        run = self.table.run
        return any(run.scores_of(REAL_SAME, column) for column in run.columns)

    @property
    def rows(self) -> list[str]:
        """Ranked methods from best to worst by the first metric that ranks, then baselines and the others."""
        ranking = next((c.ranking for c in self.table.image_columns if c.ranking), [])
        return [*ranking, *(label for label in self.table.run.methods if label not in ranking)]


def leaderboard(runs: Sequence[FinishedRun]) -> Leaderboard:
    """The rows of all runs. Raises ReportError where the runs are not of the same benchmark."""
    named = _named(runs)
    for other in runs[1:]:
        _check_same_benchmark(runs[0], other)
    counts = Counter(label for run in runs for label in run.methods)
    repeated = tuple(label for label, count in counts.items() if count > 1)
    labels = {
        name: {label: f"{label} ({name})" if label in repeated else label for label in run.methods}
        for name, run in named.items()
    }
    columns, left_out = _columns(runs)
    merged = _merged(named, labels, columns)
    run_of = {label: name for name, own in labels.items() for label in own.values()}
    return Leaderboard(compare(merged), named, run_of, repeated, tuple(left_out))


def _named(runs: Sequence[FinishedRun]) -> dict[str, FinishedRun]:
    """The runs by the name of their folder, or by its path where names are equal."""
    folders = [run.path.resolve() for run in runs]
    names = [folder.name for folder in folders]
    for folder, count in Counter(folders).items():
        if count > 1:
            raise ReportError(f"{folder}: given {count} times; name every run once")
    return {
        str(folder) if names.count(folder.name) > 1 else folder.name: run
        for folder, run in zip(folders, runs, strict=True)
    }


def _check_same_benchmark(one: FinishedRun, other: FinishedRun) -> None:
    """Raise ReportError with the first differences in people, photographs, prompts, protocol and metrics."""
    found = list(_differences(one, other))
    if found:
        more = f"; and {len(found) - MOST_DIFFERENCES} more" if len(found) > MOST_DIFFERENCES else ""
        raise ReportError(
            f"{one.path} and {other.path} cannot share a leaderboard: "
            f"{'; '.join(found[:MOST_DIFFERENCES])}{more}"
        )


def _differences(one: FinishedRun, other: FinishedRun) -> Iterator[str]:
    for name in ("suite", "seed"):
        values = [getattr(run.manifest, name) for run in (one, other)]
        if values[0] != values[1]:
            yield f"{name}: {values[0]} / {values[1]}"
    yield from _dataset_differences(one, other)
    unshared = sorted(one.people.keys() ^ other.people.keys())
    if unshared:
        yield f"people of one run only: {listed(unshared)}"
    yield from people_differences(one, other)
    yield from _plan_differences(one, other)
    columns, refused = shared_columns(one, other, _planned(one, of_class=False).keys())
    for column in refused:
        yield f"{column.title}: {'; '.join(column.reasons[:2])} ({SCORE_AGAIN})"
    yield from photograph_differences(one, other, columns)


def _dataset_differences(one: FinishedRun, other: FinishedRun) -> Iterator[str]:
    """The settings in [dataset] that differ, if both run folders have their suite."""
    if not all((run.path / SUITE_COPY).exists() for run in (one, other)):
        return
    settings = [open_suite(str(run.path / SUITE_COPY)).suite.dataset for run in (one, other)]
    for name in (field.name for field in fields(DatasetSettings)):
        values = [getattr(own, name) for own in settings]
        if values[0] != values[1] and name not in PLACES_OF_FILES:
            yield f"[dataset] {name}: {values[0]} / {values[1]}"


def _plan_differences(one: FinishedRun, other: FinishedRun) -> Iterator[str]:
    """Images whose prompt, seed or fit differs, or that one run does not plan."""
    for name, of_class in (("images", False), ("class images", True)):
        plans = [_planned(run, of_class=of_class) for run in (one, other)]
        # A run of methods that cannot generate class images has none.
        if of_class and not all(plans):
            continue
        places = [place for place in {**plans[0], **plans[1]} if plans[0].get(place) != plans[1].get(place)]
        if places:
            who, prompt, sample = places[0]
            yield f"planned {name}: {len(places)} differ, the first is {who}/{prompt}/s{sample}"


def _planned(run: FinishedRun, *, of_class: bool) -> dict[Place, tuple[str, str, int, int]]:
    """Category, template, seed and fit of every planned image of the subject, or of the class."""
    return {
        (cell.identity, cell.prompt, cell.sample): (cell.category, cell.template, cell.seed, cell.fit)
        for cell in run.cells
        if (cell.category == PRIOR) == of_class
    }


def _columns(runs: Sequence[FinishedRun]) -> tuple[list[Column], list[str]]:
    """The metrics that all runs have with the same meaning, and the others with the reason."""
    kept, left_out = [], []
    titles = dict.fromkeys((column.title, column.of) for run in runs for column in run.columns)
    for title, of in titles:
        found = [next((c for c in run.columns if (c.title, c.of) == (title, of)), None) for run in runs]
        own = [column for column in found if column is not None]
        if len(own) < len(runs):
            missing = [run.path.name for run, column in zip(runs, found, strict=True) if column is None]
            left_out.append(f"{title}: not in {listed(missing)}")
        elif of == "sets" and (reason := _set_difference(runs, own)):
            left_out.append(f"{title}: {reason}")
        else:
            kept.append(own[0])
    return kept, left_out


def _set_difference(runs: Sequence[FinishedRun], columns: Sequence[Column]) -> str:
    """Why scores of sets must not be compared: fingerprint or numbers of images; empty where they may."""
    for column in columns[1:]:
        if reasons := differing(columns[0].fingerprint, column.fingerprint):
            return "; ".join(reasons[:2])
    sizes = [
        {(row.n, row.against) for row in _whole_sets(run, column)}
        for run, column in zip(runs, columns, strict=True)
    ]
    if any(own != sizes[0] for own in sizes):
        texts = [", ".join(f"{n} images and {real} photographs" for n, real in sorted(own)) for own in sizes]
        return f"the sets have other sizes, on which the score depends: {' / '.join(texts)}"
    return ""


def _whole_sets(run: FinishedRun, column: Column) -> list[SetRow]:
    return [row for row in run.sets if column.contains(row) and not row.left_out and row.value is not None]


def _merged(
    runs: Mapping[str, FinishedRun], labels: Mapping[str, Mapping[str, str]], columns: Sequence[Column]
) -> FinishedRun:
    """All methods as one run; the scores of real photographs are those of the first."""
    first = next(iter(runs.values()))
    methods: dict[str, MethodRecord] = {}
    cells: list[CellRow] = []
    fits: list[FitRow] = []
    scores: list[ScoreRow] = []
    sets: list[SetRow] = []
    for name, run in runs.items():
        own = labels[name]
        methods |= {own[key]: run.manifest.methods.get(key, MethodRecord()) for key in run.methods}
        kept = own if run is not first else {**own, **{label: label for label in REAL}}
        cells += _renamed(run.cells, own)
        fits += _renamed(run.fits, own)
        scores += _renamed(run.scores, kept)
        sets += _renamed(run.sets, kept)
    return replace(
        first,
        manifest=replace(first.manifest, methods=methods),
        columns=tuple(columns),
        cells=tuple(cells),
        fits=tuple(fits),
        scores=tuple(scores),
        sets=tuple(sets),
    )


def _renamed(rows: Sequence[Row], labels: Mapping[str, str]) -> Iterator[Row]:
    """The rows whose method has a label, under that label."""
    for row in rows:
        label = labels.get(row.method)
        if label is not None:
            yield row if label == row.method else replace(row, method=label)
