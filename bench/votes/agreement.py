"""How often metrics, and other voters, prefer the image that a voter preferred.

Ties of voters are left out: they state no preference that a metric could share. A metric that has equal
scores for both images agrees by half, as a guess would. A missing score counts as the worst, as everywhere in
the report, and two as equal.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from math import isnan
from statistics import fmean

import numpy as np

from bench.analysis.comparison_table import ComparisonTable
from bench.analysis.rank_agreement import kendall_tau
from bench.analysis.statistics import Estimate, Pair
from bench.runs.finished_run import Column, FinishedRun
from bench.votes.answers import Vote
from bench.votes.clusters import clustered_estimate
from bench.votes.strengths import Strength


@dataclass(frozen=True)
class MetricAgreement:
    """One metric and the votes on one question."""

    column: Column
    share: Estimate
    """Of the votes without ties, how many prefer the image with the better score."""
    tau: float | None
    """Kendall's tau-b of the methods' means and strengths; positive where better means stronger."""


def metric_agreement(
    table: ComparisonTable, votes: Sequence[Vote], strengths: Sequence[Strength]
) -> list[MetricAgreement]:
    """Every metric per image that has a direction and scores, from the most to the least agreement."""
    decided = [vote for vote in votes if vote.outcome]
    found = []
    for image_column in table.image_columns:
        column = image_column.column
        if column.better not in ("higher", "lower") or not decided:
            continue
        scores = _scores(table.run, column)
        if not any((label, *place) in scores for vote in decided for label, place in _images(vote)):
            continue
        values = [_agrees(vote, scores) for vote in decided]
        share = clustered_estimate(values, [cluster(vote) for vote in decided], share=True)
        means = {s.method: e.mean for s in strengths if (e := image_column.entry(s.method).estimate)}
        found.append(MetricAgreement(column, share, _tau(means, strengths, column.better)))
    return sorted(found, key=lambda agreement: -agreement.share.mean)


def voter_agreement(votes: Sequence[Vote]) -> Estimate | None:
    """Of the votes without ties, how many agree with another voter's on the same images; None without any.

    Each vote counts by its mean over the other voters.
    """
    by_comparison: dict[object, list[Vote]] = defaultdict(list)
    for vote in votes:
        if vote.outcome:
            by_comparison[vote.comparison].append(vote)
    values, clusters = [], []
    for own in by_comparison.values():
        for vote in own:
            others = [other.outcome == vote.outcome for other in own if other.voter != vote.voter]
            if others:
                values.append(fmean(others))
                clusters.append(cluster(vote))
    return clustered_estimate(values, clusters, share=True) if values else None


def cluster(vote: Vote) -> Pair:
    """Voter and person: votes that share one are alike."""
    return vote.voter, vote.comparison.person


def _scores(run: FinishedRun, column: Column) -> dict[tuple[str, str, str, int], float]:
    """By method, person, prompt and sample, the score times the sign that makes higher better."""
    sign = 1.0 if column.better == "higher" else -1.0
    return {
        (label, row.identity, row.prompt, row.sample): sign * row.value
        for label in run.methods
        for row in run.scores_of(label, column)
        if row.value is not None
    }


def _images(vote: Vote) -> list[tuple[str, tuple[str, str, int]]]:
    """The methods of the left and the right image, with their place."""
    comparison = vote.comparison
    place = comparison.person, comparison.prompt, comparison.sample
    return [(comparison.left, place), (comparison.right, place)]


def _agrees(vote: Vote, scores: dict[tuple[str, str, str, int], float]) -> float:
    left, right = (scores.get((label, *place), -np.inf) for label, place in _images(vote))
    if left == right:
        return 0.5
    return float((1 if left > right else -1) == vote.outcome)


def _tau(means: dict[str, float], strengths: Sequence[Strength], better: str) -> float | None:
    both = [s for s in strengths if s.method in means]
    if len(both) < 2:
        return None
    sign = 1.0 if better == "higher" else -1.0
    tau = kendall_tau(
        np.array([sign * means[s.method] for s in both]), np.array([s.estimate.mean for s in both])
    )
    return None if isnan(tau) else tau
