"""Holm's (1979) correction of p-values for the number of comparisons, and the levels of their intervals."""

from collections.abc import Sequence

from bench.analysis.statistics import LEVEL


def holm(p: Sequence[float]) -> list[float]:
    """Holm's (1979) step-down correction: the adjusted p-values, in the order given."""
    adjusted = [1.0] * len(p)
    running = 0.0
    for rank, i in enumerate(sorted(range(len(p)), key=lambda i: p[i])):
        running = max(running, min(1.0, (len(p) - rank) * p[i]))
        adjusted[i] = running
    return adjusted


def holm_levels(p: Sequence[float], level: float = LEVEL) -> list[float]:
    """The level of the interval that excludes 0 exactly where Holm's correction rejects, in the order given.

    Holm compares the i-th smallest of m p-values with alpha / (m - i + 1) and stops at the first that is
    larger; every later one has the interval of the one that stopped it.
    """
    alpha, count = 1 - level, len(p)
    levels = [0.0] * count
    divisor = count
    stopped = False
    for rank, i in enumerate(sorted(range(count), key=lambda i: p[i])):
        if not stopped:
            divisor = count - rank
            stopped = p[i] > alpha / divisor
        levels[i] = 1 - alpha / divisor
    return levels
