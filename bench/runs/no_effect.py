"""Detection of methods without effect: their images equal those of the backbone without the method."""

from collections import defaultdict
from collections.abc import Iterable
from typing import Final

from bench.runs.records.tables import ScoreRow

DISRUPTION: Final = "disruption"
"""The metric: the distance of an image to the backbone's image of the same prompt and seed."""


def methods_without_effect(scores: Iterable[ScoreRow], floor: str) -> list[str]:
    """The methods of which every scored image is identical to the backbone's, in the order of `scores`.

    `floor` is the row of the backbone, which is left out. Empty for runs without the metric `disruption`.
    """
    found: dict[str, list[float]] = defaultdict(list)
    for row in scores:
        if row.metric == DISRUPTION and row.method != floor and row.value is not None:
            found[row.method].append(row.value)
    return [method for method, values in found.items() if not any(values)]
