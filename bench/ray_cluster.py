"""A Ray cluster: the one at `RAY_ADDRESS`, or one on this machine for the time of a block."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any, Final

import psutil

from bench.errors import SuiteError

WATCHER: Final = Path(__file__).with_name("process_watcher.py")


@contextmanager
def ray_cluster() -> Iterator[Any]:
    """Yields the module `ray`, initialised. Raises SuiteError if Ray is not installed.

    Every node needs this package, and the run folder at the same path.
    """
    try:
        import ray
    except ImportError as error:
        raise SuiteError("--executor ray needs Ray: pip install 'personabench[ray]'") from error

    # Ray reports lost workers on stdout, which is reserved for the table.
    with redirect_stdout(sys.stderr):
        if ray.is_initialized():
            yield ray
            return
        before = set(psutil.Process().children(recursive=True))
        environment = {"env_vars": {"PYTHONPATH": _python_path()}}
        ray.init(runtime_env=environment, log_to_driver=False, include_dashboard=False)
        started = set(psutil.Process().children(recursive=True)) - before
        with _killed_with_this_process([process.pid for process in started]):
            try:
                yield ray
            finally:
                ray.shutdown()


@contextmanager
def _killed_with_this_process(processes: list[int]) -> Iterator[None]:
    """End these processes at the end of the block, also if this process is killed inside it.

    Of Ray's own processes, two agents would outlive a killed driver by a minute.
    """
    command = [sys.executable, "-P", str(WATCHER), *map(str, processes)]
    # A session of its own, so that a signal to this process's group does not reach the watcher.
    watcher = subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True)
    try:
        yield
    finally:
        watcher.communicate()


def _python_path() -> str:
    """This process's import path, because a custom method is often a file in the working folder."""
    return os.pathsep.join(str(Path(folder).resolve()) for folder in sys.path if Path(folder).is_dir())
