"""Ray draws what the local executor draws."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("ray", reason="pip install 'personabench[ray]' to see this")
ROOT = Path(__file__).parents[3]
FAKES = Path(__file__).parents[1] / "fakes"


def run(suite: Path, out: Path, method: str, executor: str) -> subprocess.CompletedProcess[str]:
    words = ["run", "--suite", str(suite), "--methods", method, "--out", str(out), "--executor", executor]
    return subprocess.run(
        [sys.executable, "-m", "bench.cli", *words],
        # A temporary folder of its own: Ray's sockets need a short path.
        env={**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{FAKES}", "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def pictures(out: Path) -> dict[str, bytes]:
    return {str(p.relative_to(out)): p.read_bytes() for p in sorted((out / "images").rglob("*.png"))}


@pytest.mark.slow
def test_ray_makes_the_same_files_and_a_lost_worker_fails_its_group_alone(
    suite: Path, tmp_path: Path
) -> None:
    local, by_ray = tmp_path / "local", tmp_path / "ray"
    assert run(suite, local, "fake_method:FakeMethod", "local").returncode == 0
    done = run(suite, by_ray, "fake_method:FakeMethod,fake_method:KillsItsWorker", "ray")
    assert done.returncode == 3, done.stderr
    assert "the Ray worker was lost" in done.stdout
    assert pictures(local).items() <= pictures(by_ray).items()
    lost = [path for path in by_ray.rglob("*.failed.json") if "KillsItsWorker" in str(path)]
    assert len(lost) == 6
