"""Features computed by Ray tasks: the scores are those of one process."""

import csv
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from bench.runs.records.tables import CellRow
from bench.scoring.ray_features import parts

ROOT = Path(__file__).parents[3]
SUITE = """
name = "small"
samples = 2
metrics = ["identity@face-rendered", "drift@efficientnet-lite0", "kid@efficientnet-lite0"]

[dataset]
kind = "rendered"
identities = 2
references = 2
held_out = 2

[prompts]
set = "portrait"
count = 1
priors = 1

[backbone]
path = "embedded"
scheduler = "ddim"
steps = 2
resolution = 64
batch = 2
"""


def row(method: str, who: str, sample: int, flaw: str = "") -> CellRow:
    return CellRow(
        f"{method}/{who}/p/s{sample}", method, who, "p", "free", "", sample, 0, "generated", flaw=flaw
    )


def test_parts_keep_a_persons_images_together_and_have_about_equal_size() -> None:
    cells = [row(method, who, sample) for method in "abc" for who in "xy" for sample in range(4)]
    found = parts([*cells, row("a", "z", 1, flaw="black")], 4)
    assert Counter(cell.cell for part in found for cell in part) == Counter(cell.cell for cell in cells)
    groups = [{(cell.method, cell.identity) for cell in part} for part in found]
    assert sum(map(len, groups)) == 6
    assert sorted(map(len, found)) == [4, 4, 8, 8]
    assert len(parts(cells[:1], 9)) == 1


def bench(*words: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "bench.cli", *map(str, words)],
        env={**os.environ, "PYTHONPATH": str(ROOT), "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


@pytest.mark.slow
def test_scores_of_a_cluster_are_those_of_one_process(tmp_path: Path) -> None:
    pytest.importorskip("ray", reason="pip install 'personabench[ray]' to run this test")
    suite, run = tmp_path / "small.toml", tmp_path / "run"
    suite.write_text(SUITE)
    words = ("--suite", suite, "--methods", "text-only,ip-adapter", "--out", run, "--workers", 1)
    assert bench("run", *words, "--cache", tmp_path / "one").returncode == 0
    tables = [(run / name).read_text() for name in ("scores.csv", "sets.csv")]
    done = bench("score", run, "--overwrite", "--executor", "ray", "--cache", tmp_path / "two")
    assert done.returncode == 0, done.stderr
    assert [(run / name).read_text() for name in ("scores.csv", "sets.csv")] == tables
    assert "failed" not in done.stderr
    assert len(list(csv.reader(tables[0].splitlines()))) > 10
    # Each task wrote the features of its part.
    by_encoder = Counter(path.parent.name for path in (tmp_path / "two").rglob("*.safetensors"))
    assert len(by_encoder) > 1
    assert min(by_encoder.values()) >= min(2, os.cpu_count() or 1)
