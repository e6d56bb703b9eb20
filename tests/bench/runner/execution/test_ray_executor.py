"""Ray writes the same images as the local executor."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("ray", reason="pip install 'personabench[ray]' to run this test")
ROOT = Path(__file__).parents[4]
FAKES = Path(__file__).parents[2] / "fakes"


def run(suite: Path, out: Path, method: str, executor: str) -> subprocess.CompletedProcess[str]:
    """A run of this executor, with an own cache of features."""
    cache = {"PERSONABENCH_CACHE": f"{out}-cache", "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0"}
    arguments = ["run", "--suite", str(suite), "--methods", method, "--out", str(out), "--executor", executor]
    return subprocess.run(
        [sys.executable, "-m", "bench.cli", *arguments],
        env={**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{FAKES}", **cache},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def images(out: Path) -> dict[str, bytes]:
    return {str(p.relative_to(out)): p.read_bytes() for p in sorted((out / "images").rglob("*.png"))}


def scores(out: Path) -> set[str]:
    """Lines of scores.csv about generated images."""
    return {line for line in (out / "scores.csv").read_text().splitlines() if not line.startswith("real")}


@pytest.mark.slow
def test_ray_writes_the_same_files_and_a_lost_worker_fails_only_its_group(
    suite: Path, tmp_path: Path
) -> None:
    suite.write_text(suite.read_text().replace("metrics = [", 'metrics = ["detected@yunet", '))
    local, by_ray = tmp_path / "local", tmp_path / "ray"
    assert run(suite, local, "fake_method:FakeMethod", "local").returncode == 0
    done = run(suite, by_ray, "fake_method:FakeMethod,fake_method:KillsItsWorker", "ray")
    assert done.returncode == 3, done.stderr
    assert "the Ray worker was lost" in done.stdout
    assert images(local).items() <= images(by_ray).items()
    assert scores(local) <= scores(by_ray)
    # Each task that computed features wrote those of its part.
    shards = list((tmp_path / "ray-cache").rglob("*.safetensors"))
    assert len(shards) >= min(2, os.cpu_count() or 1)
    lost = [path for path in by_ray.rglob("*.failed.json") if "KillsItsWorker" in str(path)]
    assert len(lost) == 6
