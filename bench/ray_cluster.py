"""A Ray cluster: the one at `RAY_ADDRESS`, or one on this machine for the time of a block."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any

from bench.errors import SuiteError


@contextmanager
def ray_cluster() -> Iterator[Any]:
    """Yields the module `ray`, initialised. Raises SuiteError if Ray is not installed.

    Every node needs this package, and the run folder at the same path.
    """
    try:
        import ray
    except ImportError as error:
        raise SuiteError("--executor ray needs Ray: pip install 'personabench[ray]'") from error

    started_here = not ray.is_initialized()
    # Ray reports lost workers on stdout, which is reserved for the table.
    with redirect_stdout(sys.stderr):
        if started_here:
            environment = {"env_vars": {"PYTHONPATH": _python_path()}}
            ray.init(runtime_env=environment, log_to_driver=False, include_dashboard=False)
        try:
            yield ray
        finally:
            if started_here:
                ray.shutdown()


def _python_path() -> str:
    """This process's import path, because a custom method is often a file in the working folder."""
    return os.pathsep.join(str(Path(folder).resolve()) for folder in sys.path if Path(folder).is_dir())
