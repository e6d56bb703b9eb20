"""Processes that a run started end with it."""

import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from bench.ray_cluster import _killed_with_this_process

ROOT = Path(__file__).parents[2]
STARTER = """
import subprocess, sys, time
from bench.ray_cluster import _killed_with_this_process
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(100)"], start_new_session=True)
with _killed_with_this_process([child.pid]):
    print(child.pid, flush=True)
    time.sleep(100)
"""


@pytest.fixture
def sleeper() -> psutil.Popen:
    return psutil.Popen([sys.executable, "-c", "import time; time.sleep(100)"])


def test_processes_end_with_the_block(sleeper: psutil.Popen) -> None:
    with _killed_with_this_process([sleeper.pid, 2**22 + 1]):
        assert sleeper.is_running()
    assert sleeper.wait(timeout=10) < 0


def test_processes_end_with_a_killed_starter() -> None:
    starter = subprocess.Popen(
        [sys.executable, "-c", STARTER], cwd=ROOT, stdout=subprocess.PIPE, text=True, stdin=subprocess.DEVNULL
    )
    assert starter.stdout is not None
    child = psutil.Process(int(starter.stdout.readline()))
    starter.kill()
    starter.communicate()
    _, alive = psutil.wait_procs([child], timeout=10)
    # In a container nobody may ask for the status of an orphan.
    assert [process for process in alive if process.status() != psutil.STATUS_ZOMBIE] == []
