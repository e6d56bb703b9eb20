"""Sweeps as curves, rows at matched prompt match, and their plot."""

from dataclasses import replace
from itertools import product
from pathlib import Path

import pytest
from fake_run import cell, column, scores
from fake_run import finished_run as make_run

from bench.analysis.comparison_table import ComparisonTable, compare
from bench.analysis.curves.sweeps import curves, matched_rows, method_of
from bench.errors import ReportError
from bench.report.plots import write_plot
from bench.report.sections.sweeps import matched_section
from bench.runs.records.run_manifest import MethodRecord

PEOPLE = ("ada", "bob", "cleo", "dan", "eva", "fay")
PROMPTS = ("p0", "p1", "p2")
COLUMNS = (column("identity", "sface"), column("prompt-match", "attributes"))
ROWS = {
    # label: identity, prompt match
    "text-only": (0.1, 0.8),
    "adapter@scale=1.5": (0.7, 0.3),
    "adapter@scale=0.5": (0.3, 0.8),
    "adapter@scale=1.0": (0.5, 0.79),
    "tuned": (0.6, 0.81),
}


def table() -> ComparisonTable:
    cells = [cell(label, who, prompt) for label, who, prompt in product(ROWS, PEOPLE, PROMPTS)]
    rows = [
        row
        for label, means in ROWS.items()
        for i, who in enumerate(PEOPLE)
        for metric, mean in zip(COLUMNS, means, strict=True)
        for row in scores(metric, label, who, [mean + offset(label, i, j) for j in range(len(PROMPTS))])
    ]
    return compare(make_run(COLUMNS, cells, rows))


def offset(label: str, person: int, prompt: int) -> float:
    """Spread over people and prompts; rows of one person and prompt differ a little."""
    spread = 0.02 * (person - 2.5) + 0.01 * (prompt - 1)
    return spread + 0.01 * ((person * 3 + prompt + len(label)) % 5 - 2)


def test_curve_contains_the_rows_of_one_method_by_rising_setting() -> None:
    (curve,) = curves(table(), "scale", "identity@sface")
    assert curve.method == "adapter"
    assert [point.x.mean for point in curve.points] == [0.5, 1.0, 1.5]
    assert [point.y.mean for point in curve.points] == pytest.approx([0.3, 0.5, 0.7], abs=0.02)


def test_matched_row_is_the_best_setting_that_keeps_the_prompt_match() -> None:
    known = table()
    found = matched_rows(known.column("identity@sface"), known.column("prompt-match@attributes"))
    best = {row.method: row for row in found}
    assert set(best) == {"adapter", "tuned"}
    assert best["adapter"].label == "adapter@scale=1.0"
    assert best["adapter"].identity.mean == pytest.approx(0.5, abs=0.02)
    assert best["adapter"].prompt.high is not None
    assert best["adapter"].prompt.high >= 0


def test_report_shows_each_methods_matched_row() -> None:
    text = matched_section(table())
    assert "adapter@scale=1.0" in text
    assert "adapter@scale=1.5" not in text
    assert text.index("tuned") < text.index("adapter@")


def test_label_without_a_setting_is_its_own_method() -> None:
    assert method_of("my.module:Method") == "my.module:Method"
    assert method_of("adapter@scale=0.5") == "adapter"


@pytest.mark.parametrize("ending", ["svg", "png", "pdf"])
def test_plot_has_the_same_bytes_every_time(tmp_path: Path, ending: str) -> None:
    pytest.importorskip("matplotlib")
    paths = [tmp_path / f"{name}.{ending}" for name in ("one", "two")]
    for path in paths:
        write_plot(table(), "prompt-match@attributes", "identity@sface", path)
    assert paths[0].read_bytes() == paths[1].read_bytes()
    if ending == "svg":
        text = paths[0].read_text()
        assert all(f">{word}<" in text for word in ("text-only", "adapter@scale=1.5", "tuned", "0.5", "1.0"))


def test_impossible_plots_are_refused_with_the_reason(tmp_path: Path) -> None:
    with pytest.raises(ReportError, match="did you mean 'identity@sface'"):
        write_plot(table(), "scale", "identity@sfce", tmp_path / "a.svg")
    with pytest.raises(ReportError, match=r"\.svg, \.pdf or \.png"):
        write_plot(table(), "scale", "identity@sface", tmp_path / "a.txt")
    with pytest.raises(ReportError, match=r"no column 'rank'.*x may be false-match-rate, scale$"):
        write_plot(table(), "rank", "identity@sface", tmp_path / "a.svg")


def test_methods_of_a_sweep_that_are_not_ranked_are_hollow(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    known = table()
    leaky = {"adapter@scale=0.5": MethodRecord(conditioning_encoders=("sface",))}
    marked = compare(replace(known.run, manifest=replace(known.run.manifest, methods=leaky)))
    for name, found in (("ranked", known), ("leaky", marked)):
        write_plot(found, "scale", "identity@sface", tmp_path / f"{name}.svg")
    assert "fill: #ffffff; stroke: #215fca" not in (tmp_path / "ranked.svg").read_text()
    assert "fill: #ffffff; stroke: #215fca" in (tmp_path / "leaky.svg").read_text()
