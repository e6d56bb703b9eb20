"""results/study.md and the reports of its runs equal what the committed tables give."""

import csv
import gzip
import importlib.util
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest

from bench.suite.suite import Needs, read_suite, suite_names

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "results"
RUNS = tuple(name for name in suite_names() if name.startswith("study-"))


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("study_page", RESULTS / "scripts" / "study_page.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["study_page"] = module
    spec.loader.exec_module(module)
    return module


def identity_by_pair(method: str) -> dict[tuple[str, str], float]:
    """Mean cosine by SFace of each person and prompt, read directly from the file."""
    found: dict[tuple[str, str], list[float]] = {}
    with gzip.open(RESULTS / "study-main" / "scores.csv.gz", "rt", newline="") as file:
        for row in csv.DictReader(file):
            if (row["method"], row["metric"], row["encoder"]) == (method, "identity", "sface"):
                found.setdefault((row["identity"], row["prompt"]), []).append(float(row["value"]))
    return {pair: sum(values) / len(values) for pair, values in found.items()}


def test_page_equals_the_output_of_the_script(script: ModuleType) -> None:
    template = script.TEMPLATE.read_text(encoding="utf-8")
    assert "TODO" not in template
    assert script.render(template) == (RESULTS / "study.md").read_text(encoding="utf-8")


def test_difference_is_the_mean_over_people_and_prompts(script: ModuleType) -> None:
    one, other = identity_by_pair("loo-attention"), identity_by_pair("ip-control")
    assert len(one) == len(other) == 32 * 7
    mean = sum(one[pair] - other[pair] for pair in one) / len(one)
    assert script.minus("study-main", "loo-attention", "ip-control", "identity@sface").startswith(
        f"{mean:.3f} ["
    )


def test_label_of_a_difference_depends_on_its_interval(script: ModuleType) -> None:
    for low, high, label in ((0.1, 0.3, "above"), (-0.3, -0.1, "below"), (-0.1, 0.1, "not separable")):
        found = script.Estimate((low + high) / 2, low, high, 9)
        assert script._difference(found).endswith(f"] {label}")


@pytest.mark.parametrize(
    ("fit", "generate", "text"),
    [
        (1.0, 0.1, "always"),
        (1.0, 0.3, "up to 90 images"),
        (19.0, 0.1, "from 90 images"),
        (19.0, 0.3, "never"),
    ],
)
def test_cheaper_range_ends_where_both_cost_the_same(
    script: ModuleType, fit: float, generate: float, text: str
) -> None:
    def costs(fit: float, generate: float) -> object:
        return script.Costs(fit, generate, None, None, 5.0)

    assert script._cheaper_range(costs(fit, generate), costs(10.0, 0.2)) == text


@pytest.mark.parametrize("run", RUNS)
def test_each_report_equals_what_its_tables_give(run: str) -> None:
    from bench.reporting import render_report

    assert render_report(RESULTS / run, "markdown") == (RESULTS / run / "report.md").read_text(
        encoding="utf-8"
    )


@pytest.mark.parametrize("run", RUNS)
def test_each_run_used_the_builtin_suite_of_its_name(run: str) -> None:
    paths = (RESULTS / run / "suite.toml", ROOT / "bench" / "suite" / "builtin" / f"{run}.toml")
    used, builtin = (replace(read_suite(path.read_text("utf-8"), path), needs=Needs()) for path in paths)
    assert used == builtin
