"""What `measure_world.py` reads from a run of suite `personalisation`: how far each method comes."""

from collections.abc import Collection, Mapping
from typing import Final

from bench.analysis.comparisons import means_of
from bench.analysis.statistics import Pair, jackknife
from bench.runs.finished_run import FinishedRun
from world.statistics import Measured

NETWORKS: Final = ("sface", "face-rendered")
PROMPT: Final = "prompt-match@attributes"
Means = Mapping[Pair, float]


def of_methods(study: FinishedRun) -> dict[str, Measured]:
    """Each method's share of the way from floor to ceiling by either face network, and of the prompt.

    A share is the ratio of two sums over the pairs of a person and a prompt that were scored on both sides.
    """
    found = {}
    for method in (label for label in study.methods if not study.is_baseline(label)):
        for network in NETWORKS:
            column = study.column_named(f"identity@{network}")
            labels = (study.floor, method, study.ceiling)
            floor, own, ceiling = (means_of(study, label, column) for label in labels)
            found[f"way@{network}, {method}"] = ratio(_minus(own, floor), _minus(ceiling, floor))
        floor, own = (means_of(study, label, study.column_named(PROMPT)) for label in (study.floor, method))
        found[f"prompt kept, {method}"] = ratio(own, floor)
    return found


def ratio(above: Means, below: Means) -> Measured:
    """Sum over sum, with an interval that leaves one person out at a time; prompts are taken as they are."""
    pairs = [pair for pair in above if pair in below]
    people = sorted({str(person) for person, _ in pairs})
    without = [_ratio(above, below, [pair for pair in pairs if pair[0] != person]) for person in people]
    whole = _ratio(above, below, pairs)
    low, high = jackknife(whole, without) or (None, None)
    return Measured(whole, low, high, len(pairs), len(people))


def _minus(one: Means, other: Means) -> dict[Pair, float]:
    return {pair: one[pair] - other[pair] for pair in one if pair in other}


def _ratio(above: Means, below: Means, pairs: Collection[Pair]) -> float:
    return sum(above[pair] for pair in pairs) / sum(below[pair] for pair in pairs)
