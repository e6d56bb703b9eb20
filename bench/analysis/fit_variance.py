"""How much a row's scores vary between people, between fits of one person, and between images of one fit."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench.analysis.scored_rows import scored
from bench.runs.finished_run import Column, FinishedRun


@dataclass(frozen=True)
class FitVariance:
    """Standard deviations of one row in one column, of means over the prompts; an analysis of variance.

    People and fits are random (fits nested in people), prompts are given. A negative estimate counts as 0.
    """

    people: int
    """Number of people with at least two scored fits."""
    fits: int
    """Number of fits of the person with most."""
    between_people: float
    """Of a person's mean, without the part of fits and images."""
    between_fits: float
    """Of the mean of one fit around its person's mean, without the part of images."""
    between_images: float
    """Of the mean of one fit when its images are generated again with other noise."""
    on_refitting: float
    """Of the row's mean when all people are fitted and all images generated again with other seeds."""


def fit_variance(run: FinishedRun, label: str, column: Column) -> FitVariance | None:
    """The variance components of a row; None where no person has two scored fits under two prompts."""
    by_person: dict[str, dict[tuple[int, str], list[float]]] = defaultdict(lambda: defaultdict(list))
    for row, value in scored(run.scores_of(label, column)):
        by_person[row.identity][run.fit_of(row), row.prompt].append(value)
    tables = [table for values in by_person.values() if (table := _balanced(values)) is not None]
    return components(tables) if tables else None


def components(tables: Sequence[NDArray[np.float64]]) -> FitVariance:
    """Variance components from one table of means per person, (fits, prompts), each at least 2 x 2.

    The expected mean squares of a two-way table without replication (Searle, Casella & McCulloch 1992).
    """
    fit_parts, image_parts, fit_shares = [], [], []
    for table in tables:
        fits, prompts = table.shape
        means = table.mean(axis=1)
        residual = table - means[:, None] - table.mean(axis=0) + table.mean()
        fit_parts.append(means.var(ddof=1))
        image_parts.append((residual**2).sum() / ((fits - 1) * (prompts - 1)) / prompts)
        fit_shares.append(means.var(ddof=1) / fits)
    people = np.array([table.mean() for table in tables])
    of_fits, of_images = float(np.mean(fit_parts)), float(np.mean(image_parts))
    of_people = float(people.var(ddof=1)) - float(np.mean(fit_shares)) if len(tables) > 1 else 0.0
    return FitVariance(
        people=len(tables),
        fits=max(len(table) for table in tables),
        between_people=max(0.0, of_people) ** 0.5,
        between_fits=max(0.0, of_fits - of_images) ** 0.5,
        between_images=of_images**0.5,
        on_refitting=(float(np.sum(fit_shares)) / len(tables) ** 2) ** 0.5,
    )


def _balanced(values: Mapping[tuple[int, str], Sequence[float]]) -> NDArray[np.float64] | None:
    """Means of one person, (fits, prompts), over the prompts that every scored fit has; None below 2 x 2."""
    fits = sorted({fit for fit, _ in values})
    prompts = [p for p in dict.fromkeys(p for _, p in values) if all((fit, p) in values for fit in fits)]
    if len(fits) < 2 or len(prompts) < 2:
        return None
    return np.array([[np.mean(values[fit, prompt]) for prompt in prompts] for fit in fits])
