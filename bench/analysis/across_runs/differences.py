"""Paired differences between two runs, per method and metric."""

from dataclasses import dataclass
from statistics import fmean

from bench.analysis.across_runs.comparability import CommonGround
from bench.analysis.columns import ImageColumn
from bench.analysis.contrasts import Contrast, Imputed, corrected, imputed_means
from bench.analysis.scored_rows import scored
from bench.analysis.statistics import PairedDifference, spread_of_difference
from bench.runs.finished_run import Column, FinishedRun
from bench.runs.records.tables import ScoreRow


@dataclass(frozen=True)
class RunDifference:
    """One method in one metric: the second run minus the first, over the images of both."""

    method: str
    one: float
    """Mean of the first run over the common people and prompts; a missing score counts as the worst."""
    other: float
    contrast: Contrast
    """Of `method`; corrected over the methods of the metric."""


def differences(
    one: FinishedRun, other: FinishedRun, columns: tuple[Column, Column], ground: CommonGround
) -> list[RunDifference]:
    """The differences of every common method that has scores in both runs, in one metric.

    `columns` are those of the two runs. A missing score counts as the worst score of both runs.
    """
    worst = _worst(one, other, columns)
    means: dict[str, Imputed] = {}
    for label in ground.methods:
        rows = {
            "one": _common(one, label, columns[0], ground),
            "other": _common(other, label, columns[1], ground),
        }
        if all(scored(own) for own in rows.values()):
            means[label] = imputed_means(rows, worst)
    is_share = ImageColumn(one, columns[0]).is_share and ImageColumn(other, columns[1]).is_share

    def difference(label: str, _: str) -> PairedDifference | None:
        own = means[label]
        return spread_of_difference(own["other"], own["one"], shares=is_share, fixed_prompts=False)

    contrasts = corrected([(label, label) for label in means], difference)
    return [
        RunDifference(label, fmean(own["one"].values()), fmean(own["other"].values()), found)
        for found in contrasts
        for label, own in [(found.one, means[found.one])]
    ]


def _common(run: FinishedRun, label: str, column: Column, ground: CommonGround) -> list[ScoreRow]:
    """The scores of the images that both runs planned."""
    rows = run.scores_of(label, column)
    return [row for row in rows if (row.identity, row.prompt, row.sample) in ground.places]


def _worst(one: FinishedRun, other: FinishedRun, columns: tuple[Column, Column]) -> float | None:
    """The worst score of any method of both runs; None in a column without a direction."""
    choose = {"higher": min, "lower": max}.get(columns[0].better)
    values = [
        value
        for run, column in zip((one, other), columns, strict=True)
        for label in run.methods
        for _, value in scored(run.scores_of(label, column))
    ]
    return choose(values) if choose is not None and values else None
