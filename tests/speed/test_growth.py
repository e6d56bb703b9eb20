"""Growth of the cost with the number of images: in ratios, because machines differ.

Not in the default run: `pytest -o addopts=--import-mode=importlib tests/speed/test_growth.py`.
`results/scripts/measure_growth.py` measures whole commands in seconds.
"""

import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bench.analysis.comparison_table import compare
from bench.report.markdown_report import markdown
from bench.runs.finished_run import read_run
from bench.runs.plan import ImageCounts, make_plan
from bench.runs.records.tables import REAL_OTHER, REAL_SAME, ScoreRow
from bench.subjects.identity import Identity
from bench.suite.prompts import Prompt
from metrics.encoders.efficientnet import EfficientNet
from metrics.encoders.runtime.feature_store import FeatureStore
from metrics.encoders.runtime.image_cache import ImageCache

sys.path.append(str(Path(__file__).parents[1] / "bench" / "fakes"))
import fake_run


def cpu_seconds(work: Callable[[], object]) -> float:
    """The least CPU time of three calls: it depends less on the machine's load than wall time."""
    found = []
    for _ in range(3):
        started = time.process_time()
        work()
        found.append(time.process_time() - started)
    return min(found)


def assert_linear(what: str, small: float, large: float, factor: int) -> None:
    line = f"{what}: {small:.3f} s, {large:.3f} s for {factor} times as much\n"
    sys.stderr.write(line)
    assert large < 1.5 * factor * small + 0.05, line


def plan(samples: int) -> object:
    people = [Identity(f"p{i}", "woman", (), ()) for i in range(20)]
    prompts = [Prompt(f"q{i}", "a photo of {subject}") for i in range(10)]
    return make_plan(["a", "b", "c", "d", "e"], people, prompts, ImageCounts(samples), seed=0)


def test_planning_is_linear() -> None:
    assert_linear("plan", cpu_seconds(lambda: plan(10)), cpu_seconds(lambda: plan(100)), 10)


def report_of(folder: Path, prompts: int) -> Callable[[], object]:
    """The report of a run with 10 methods, 20 people, 10 columns and some prompts."""
    rng = np.random.default_rng(0)
    columns = [fake_run.column(f"metric-{i}", "eye", weights=str(i)) for i in range(10)]
    people, ids = [f"p{i:02d}" for i in range(20)], [f"q{i}" for i in range(prompts)]
    methods = ["text-only", "photo-copy", *(f"m{i}" for i in range(8))]
    cells = [fake_run.cell(m, who, id, run_fingerprint="r") for m in methods for who in people for id in ids]
    rows = [
        ScoreRow(label, who, id, "free", 1, c.name, c.encoder, float(rng.normal()), "", f"f{c.name}")
        for label in (*methods, REAL_SAME, REAL_OTHER)
        for who in people
        for id in ids
        for c in columns
    ]
    run = fake_run.finished_run(columns, cells, rows, suite="s", people={who: {} for who in people})
    folder.mkdir()
    fake_run.write_run(folder, run)
    return lambda: markdown(compare(read_run(folder)))


def test_a_report_is_linear_in_the_scores(tmp_path: Path) -> None:
    small, large = (cpu_seconds(report_of(tmp_path / str(n), n)) for n in (5, 50))
    assert_linear("report of 12,000 and 120,000 scores", small, large, 10)


@pytest.fixture
def pictures() -> list[Image.Image]:
    rng = np.random.default_rng(0)
    return [Image.fromarray(rng.integers(0, 256, (64, 64, 3), np.uint8)) for _ in range(64)]


def test_reading_features_is_ten_times_faster_than_computing_them(
    tmp_path: Path, pictures: list[Image.Image]
) -> None:
    seconds = []
    for _ in range(2):
        store, encoder = FeatureStore(tmp_path, print), EfficientNet()
        for name, value in vars(encoder).items():
            if isinstance(value, ImageCache):
                value.store = store.features(f"lite{name}", {})
        started = time.process_time()
        encoder.embed(pictures)
        encoder.encode(pictures)
        seconds.append(time.process_time() - started)
        store.flush()
    sys.stderr.write(f"features of 64 images: computed {seconds[0]:.3f} s, read {seconds[1]:.3f} s\n")
    assert seconds[0] > 10 * seconds[1]


def test_a_store_is_linear_up_to_a_million_rows(tmp_path: Path) -> None:
    rng, seconds = np.random.default_rng(0), {}
    for count in (100_000, 1_000_000):
        folder, keys = tmp_path / str(count), rng.bytes(16 * count)
        features = FeatureStore(folder, print).features("eye", {})
        rows = rng.normal(size=(count, 64)).astype(np.float32)
        names = [keys[16 * i : 16 * i + 16] for i in range(count)]
        for start in range(0, count, 4096):
            part = slice(start, start + 4096)
            features.put(dict(zip(names[part], rows[part], strict=True)))
        features.flush()
        wanted = names[:: count // 1000]

        def look_up(folder: Path = folder, wanted: list[bytes] = wanted) -> None:
            found = FeatureStore(folder, print).features("eye", {}).get(wanted)
            assert len(found) == len(wanted)

        seconds[count] = cpu_seconds(look_up)
    small, large = seconds.values()
    assert_linear("looking up 1000 of 100,000 and of 1,000,000 rows", small, large, 10)
