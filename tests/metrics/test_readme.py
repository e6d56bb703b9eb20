import importlib
import re
from pathlib import Path

import pytest
from PIL import Image

import metrics
from metrics.catalog import ENCODERS, METRICS, make
from metrics.interface import Sample

README = Path(metrics.__file__).with_name("README.md").read_text(encoding="utf-8")


def test_the_example_metric_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = re.search(r"```python\n(.*?)```", README, re.DOTALL)
    assert code
    (tmp_path / "brightness.py").write_text(code[1])
    monkeypatch.syspath_prepend(tmp_path)
    importlib.invalidate_caches()
    (metric,), _ = make(["brightness:Brightness"])
    grey = Image.new("RGB", (4, 4), (51, 51, 51))
    (score,) = metric.score([Sample("s", "ada", "p", grey, "")], [])
    assert score.value == pytest.approx(0.2)


def test_the_tables_list_every_metric_and_encoder() -> None:
    rows = {entry.metric.name: entry.better for entry in METRICS.values()}
    for name, better in rows.items():
        assert re.search(rf"^\| `{name}` \|[^|]*\| {better} \|", README, re.MULTILINE), name
    for name in ENCODERS:
        assert re.search(rf"^\| .*`{name}`.* \|", README, re.MULTILINE), name
