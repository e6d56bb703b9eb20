"""Sweeps as curves, rows at matched prompt match, and their picture."""

from itertools import product
from pathlib import Path

import pytest

from bench.errors import ReportError
from bench.report.plots import write_plot
from bench.report.sections.sweeps import at_matched_prompt, column_named, curves, matched, method_of
from bench.runs.finished_run import Column, FinishedRun
from bench.runs.run_manifest import RunManifest
from bench.runs.tables import CellRow, ScoreRow

PEOPLE = ("ada", "bob", "cleo", "dan", "eva", "fay")
PROMPTS = ("hat", "tie", "sea")
ROWS = {
    # label: identity, prompt match
    "text-only": (0.1, 0.8),
    "adapter@scale=1.5": (0.7, 0.3),
    "adapter@scale=0.5": (0.3, 0.8),
    "adapter@scale=1.0": (0.5, 0.79),
    "tuned": (0.6, 0.81),
}


def finished_run() -> FinishedRun:
    columns = tuple(
        Column(name, encoder, "higher", "pictures", {})
        for name, encoder in (("identity", "sface"), ("prompt-match", "attributes"))
    )
    cells, scores = [], []
    for (label, means), who, prompt in product(ROWS.items(), PEOPLE, PROMPTS):
        cell = f"{label}/{who}/{prompt}/s1"
        cells.append(CellRow(cell, label, who, prompt, "free", "t", 1, 0, "generated"))
        for column, mean in zip(columns, means, strict=True):
            spread = 0.02 * (PEOPLE.index(who) - 2.5) + 0.01 * (PROMPTS.index(prompt) - 1)
            # The rows of one person and prompt differ a little from one another, as pictures do.
            spread += 0.01 * ((PEOPLE.index(who) * 3 + PROMPTS.index(prompt) + len(label)) % 5 - 2)
            scores.append(
                ScoreRow(
                    method=label,
                    identity=who,
                    prompt=prompt,
                    category="free",
                    sample=1,
                    metric=column.name,
                    encoder=column.encoder,
                    value=mean + spread,
                    reason="",
                    fingerprint="f",
                )
            )
    return FinishedRun(Path("known"), RunManifest(), columns, tuple(cells), (), tuple(scores), ())


def test_a_curve_holds_the_rows_of_one_method_by_rising_setting() -> None:
    (curve,) = curves(finished_run(), "scale", "identity@sface")
    assert curve.method == "adapter"
    assert [point.x.mean for point in curve.points] == [0.5, 1.0, 1.5]
    assert [point.y.mean for point in curve.points] == pytest.approx([0.3, 0.5, 0.7], abs=0.02)


def test_against_a_metric_every_row_is_there_and_neighbouring_settings_are_joined() -> None:
    found = {
        curve.method: curve for curve in curves(finished_run(), "prompt-match@attributes", "identity@sface")
    }
    assert list(found) == ["text-only", "adapter", "tuned"]
    assert [p.label for p in found["adapter"].points] == [
        "adapter@scale=0.5",
        "adapter@scale=1.0",
        "adapter@scale=1.5",
    ]


def test_at_matched_prompt_match_a_method_is_seen_at_its_best_setting_that_keeps_the_prompt() -> None:
    known = finished_run()
    found = matched(
        known, column_named(known, "identity@sface"), column_named(known, "prompt-match@attributes")
    )
    best = {row.method: row for row in found}
    assert set(best) == {"adapter", "tuned"}
    assert best["adapter"].label == "adapter@scale=1.0"
    assert best["adapter"].identity.mean == pytest.approx(0.5, abs=0.02)
    assert best["adapter"].prompt.high is not None
    assert best["adapter"].prompt.high >= 0


def test_the_report_shows_each_methods_best_row_at_matched_prompt_match() -> None:
    text = at_matched_prompt(finished_run())
    assert "adapter@scale=1.0" in text
    assert "adapter@scale=1.5" not in text
    assert text.index("tuned") < text.index("adapter@")


def test_a_label_that_no_sweep_made_is_its_own_method() -> None:
    assert method_of("my.module:Method") == "my.module:Method"
    assert method_of("adapter@scale=0.5") == "adapter"


@pytest.mark.parametrize("ending", ["svg", "png", "pdf"])
def test_the_picture_of_a_curve_is_the_same_whenever_it_is_drawn(tmp_path: Path, ending: str) -> None:
    pytest.importorskip("matplotlib")
    paths = [tmp_path / f"{name}.{ending}" for name in ("one", "two")]
    for path in paths:
        write_plot(finished_run(), "prompt-match@attributes", "identity@sface", path)
    assert paths[0].read_bytes() == paths[1].read_bytes()
    if ending == "svg":
        text = paths[0].read_text()
        assert all(f">{word}<" in text for word in ("text-only", "adapter", "tuned", "0.5", "1.5"))


def test_what_cannot_be_drawn_says_why(tmp_path: Path) -> None:
    with pytest.raises(ReportError, match="did you mean 'identity@sface'"):
        write_plot(finished_run(), "scale", "identity@sfce", tmp_path / "a.svg")
    with pytest.raises(ReportError, match=r"\.svg, \.pdf or \.png"):
        write_plot(finished_run(), "scale", "identity@sface", tmp_path / "a.txt")
    with pytest.raises(ReportError, match="no column 'rank'"):
        write_plot(finished_run(), "rank", "identity@sface", tmp_path / "a.svg")
