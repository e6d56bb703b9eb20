"""What `measure_world.py` reads from a run of suite `personalisation`: how far each method comes."""

from collections.abc import Collection, Mapping
from typing import Final

from world_statistics import Measured

from bench.analysis import BASELINES, CEILING, pair_of
from bench.curves import column_named
from bench.score import FLOOR
from bench.statistics import Pair, jackknife, pair_means
from bench.study import Study

NETWORKS: Final = ("sface", "face-rendered")
PROMPT: Final = "prompt-match@attributes"
Means = Mapping[Pair, float]


def of_methods(study: Study) -> dict[str, Measured]:
    """Each method's share of the way from floor to ceiling by either face network, and of the prompt.

    A share is the ratio of two sums over the pairs of a person and a prompt that were scored for all rows.
    """
    found = {}
    for method in (label for label in study.methods if label not in BASELINES):
        for network in NETWORKS:
            rows = (_means(study, label, f"identity@{network}") for label in (FLOOR, method, CEILING))
            floor, own, ceiling = rows
            pairs = floor.keys() & own.keys() & ceiling.keys()
            found[f"way@{network}, {method}"] = ratio(
                {pair: own[pair] - floor[pair] for pair in pairs},
                {pair: ceiling[pair] - floor[pair] for pair in pairs},
            )
        floor, own = (_means(study, label, PROMPT) for label in (FLOOR, method))
        pairs = floor.keys() & own.keys()
        found[f"prompt kept, {method}"] = ratio(
            {pair: own[pair] for pair in pairs}, {pair: floor[pair] for pair in pairs}
        )
    return found


def ratio(above: Means, below: Means) -> Measured:
    """Sum over sum, with an interval that leaves one person out at a time; prompts are taken as they are."""
    people = sorted({str(person) for person, _ in above})
    without = [_ratio(above, below, [pair for pair in above if pair[0] != person]) for person in people]
    whole = _ratio(above, below, above)
    low, high = jackknife(whole, without) or (None, None)
    return Measured(whole, low, high, len(above), len(people))


def _ratio(above: Means, below: Means, pairs: Collection[Pair]) -> float:
    return sum(above[pair] for pair in pairs) / sum(below[pair] for pair in pairs)


def _means(study: Study, label: str, column: str) -> dict[Pair, float]:
    scored = [row for row in study.scores_of(label, column_named(study, column)) if row.value]
    return pair_means([float(row.value) for row in scored], [pair_of(row) for row in scored])
