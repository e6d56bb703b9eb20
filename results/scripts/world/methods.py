"""Identity and prompt match of each method relative to the baselines, from a finished run."""

from collections.abc import Collection, Mapping
from typing import Final

from bench.analysis.scored_rows import means_of
from bench.analysis.statistics import Pair, jackknife
from bench.runs.finished_run import FinishedRun
from world.statistics import Measured

NETWORKS: Final = ("sface", "face-rendered")
PROMPT: Final = "prompt-match@attributes"
Means = Mapping[Pair, float]


def measure_methods(run: FinishedRun) -> dict[str, Measured]:
    """Each method's identity as a share of the range from floor to ceiling, and its prompt match.

    A share is the ratio of two sums over the (person, prompt) pairs that were scored in all rows involved.
    """
    found = {}
    for method in (label for label in run.methods if not run.is_baseline(label)):
        for network in NETWORKS:
            column = run.column_named(f"identity@{network}")
            labels = (run.floor, method, run.ceiling)
            floor, own, ceiling = (means_of(run, label, column) for label in labels)
            found[f"way@{network}, {method}"] = ratio(_minus(own, floor), _minus(ceiling, floor))
        floor, own = (means_of(run, label, run.column_named(PROMPT)) for label in (run.floor, method))
        found[f"prompt kept, {method}"] = ratio(own, floor)
    return found


def ratio(numerator: Means, denominator: Means) -> Measured:
    """Ratio of sums with a jackknife interval over people; prompts are treated as fixed."""
    pairs = [pair for pair in numerator if pair in denominator]
    people = sorted({str(person) for person, _ in pairs})
    leave_one_out = [
        _ratio(numerator, denominator, [pair for pair in pairs if pair[0] != person]) for person in people
    ]
    whole = _ratio(numerator, denominator, pairs)
    low, high = jackknife(whole, leave_one_out) or (None, None)
    return Measured(whole, low, high, len(pairs), len(people))


def _minus(one: Means, other: Means) -> dict[Pair, float]:
    return {pair: one[pair] - other[pair] for pair in one if pair in other}


def _ratio(numerator: Means, denominator: Means, pairs: Collection[Pair]) -> float:
    return sum(numerator[pair] for pair in pairs) / sum(denominator[pair] for pair in pairs)
