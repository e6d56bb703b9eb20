"""Values that a shell completes: methods, metrics, suites, datasets, run folders.

Where a list is empty, the shell completes the names of files.
"""

from collections.abc import Iterable
from pathlib import Path

import typer

from bench.errors import BenchError


def complete_methods(incomplete: str) -> list[str]:
    """The last of the method names joined by commas."""
    from methods.catalog import METHODS

    return _last_of_several(incomplete, ("all", *METHODS))


def complete_metrics(incomplete: str) -> list[str]:
    """The last of the metric names joined by commas."""
    from metrics.catalog import METRICS

    return _last_of_several(incomplete, METRICS)


def complete_suites(incomplete: str) -> list[str]:
    """Built-in suites."""
    from bench.suite.suite import suite_names

    return _starting(incomplete, suite_names())


def complete_datasets(incomplete: str) -> list[str]:
    """Kinds of datasets."""
    from bench.datasets.registry import DATASETS

    return _starting(incomplete, DATASETS)


def complete_runs(incomplete: str) -> list[str]:
    """Finished runs in `results`."""
    from bench.runner.session import RESULTS
    from bench.runs.records.tables import METRICS

    return _starting(incomplete, sorted(f"{path.parent}" for path in RESULTS.glob(f"*/{METRICS}")))


def complete_columns(ctx: typer.Context, incomplete: str) -> list[str]:
    """Metrics of the run that the command line names, or of the latest one."""
    from bench.runner.session import RESULTS
    from bench.runs.finished_run import latest_run
    from bench.runs.records.metrics_record import read_metrics
    from bench.runs.records.tables import METRICS

    try:
        # While the line is incomplete, parameters are still text.
        run = Path(ctx.params.get("run") or latest_run(RESULTS))
        columns = read_metrics(run / METRICS).metrics.values()
    except BenchError:
        return []
    return _starting(incomplete, [c.qualified_name for c in columns if c.of == "pictures"])


def _last_of_several(incomplete: str, names: Iterable[str]) -> list[str]:
    before, comma, last = incomplete.rpartition(",")
    return [f"{before}{comma}{name}" for name in _starting(last, names)]


def _starting(incomplete: str, names: Iterable[str]) -> list[str]:
    return [name for name in names if name.startswith(incomplete)]
