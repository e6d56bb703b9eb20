"""The figure of match rates."""

import re
from pathlib import Path

import pytest
from known_run import METHODS, known_run

from bench.analysis.comparison_table import compare
from bench.errors import ReportError
from bench.report.plots import write_plot
from bench.runs.records.tables import REAL_SAME

pytest.importorskip("matplotlib")


def test_every_method_has_a_line_of_match_rates(tmp_path: Path) -> None:
    path = tmp_path / "rates.svg"
    write_plot(compare(known_run()), "false-match-rate", "identity@sface", path)
    text = path.read_text()
    assert set(re.findall(r">([^<>]+)</text>", text)) >= {*METHODS, REAL_SAME, "match rate by identity@sface"}
    write_plot(compare(known_run()), "false-match-rate", "identity@sface", tmp_path / "again.svg")
    assert (tmp_path / "again.svg").read_text() == text


def test_metric_without_thresholds_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ReportError, match="multi-face@eye has no match rates; expected an identity metric"):
        write_plot(compare(known_run()), "false-match-rate", "multi-face@eye", tmp_path / "a.svg")
