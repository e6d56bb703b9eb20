"""A small storm of kills; `results/scripts/kill_storm.py` makes a large one."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the script forks processes")
def test_killed_runs_lose_and_mix_nothing() -> None:
    script = ROOT / "results" / "scripts" / "kill_storm.py"
    done = subprocess.run(
        [sys.executable, str(script), "--kills", "10", "--seed", "3"],
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "10 killed" in done.stdout
    assert done.stdout.endswith("nothing lost, nothing mixed\n")
