"""What there is to choose from, as tables; no torch is needed to say it."""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from bench.datasets.catalog import DATASETS
from bench.markdown import table
from bench.suite import open_suite, suite_names
from methods.catalog import METHODS


def listing(kinds: Sequence[str]) -> str:
    """One table for each kind."""
    return "\n\n".join(table([kind, "what it is"], LISTS[kind]()) for kind in kinds)


def _methods() -> list[list[str]]:
    return [[name, entry.summary] for name, entry in METHODS.items()]


def _metrics() -> list[list[str]]:
    from metrics.catalog import METRICS

    return [
        [name, entry.summary + (f" (bring {entry.needs})" if entry.needs else "")]
        for name, entry in METRICS.items()
    ]


def _suites() -> list[list[str]]:
    return [[name, open_suite(name).suite.about] for name in suite_names()]


def _datasets() -> list[list[str]]:
    return [[name, about] for name, (_, about) in DATASETS.items()]


def _aggregators() -> list[list[str]]:
    from methods.catalog import AGGREGATORS

    return [[name, about] for name, about in AGGREGATORS.items()]


LISTS: Final[Mapping[str, Callable[[], list[list[str]]]]] = {
    "methods": _methods,
    "metrics": _metrics,
    "suites": _suites,
    "datasets": _datasets,
    "aggregators": _aggregators,
}
