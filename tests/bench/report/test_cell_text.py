"""Text of the report's table cells."""

from bench.analysis.columns import Share
from bench.analysis.contrasts import Contrast
from bench.analysis.scored_rows import TableEntry
from bench.analysis.set_columns import SetEntry
from bench.analysis.statistics import Estimate
from bench.report.cell_text import contrast_text, entry_text, set_entry_text, share_text, value_text

MEAN = Estimate(0.482, 0.443, 0.521, 18)


def test_entry_shows_coverage_only_if_scores_are_missing() -> None:
    assert entry_text(TableEntry(MEAN, 18, 18, None, {})) == "0.482 [0.443, 0.521]"
    assert entry_text(TableEntry(MEAN, 15, 18, "conditioned", {})) == "0.482 [0.443, 0.521] (15 of 18) †"
    assert entry_text(TableEntry(MEAN, 15, 18, None, {}), with_count=True).endswith(" n=15 of 18")
    assert entry_text(TableEntry(None, 0, 18, None, {})) == "none of 18"
    assert entry_text(TableEntry(None, 0, 0, None, {})) == "-"


def test_set_entry_without_a_value_is_not_computed() -> None:
    assert set_entry_text(SetEntry(52.81, (49.3, 56.32), 60, 40, "", "trained")) == "52.8 [49.3, 56.3] ‡"
    assert set_entry_text(SetEntry(None, None, 3, 40, "too few", None)) == "not computed"
    assert set_entry_text(None) == "-"


def test_contrast_has_a_direction_only_if_separable() -> None:
    assert contrast_text(Contrast("a", "b", MEAN, 0.01)).endswith(" above")
    assert contrast_text(Contrast("a", "b", Estimate(-0.1, -0.2, 0.0, 9), 0.01)).endswith(" below")
    assert contrast_text(Contrast("a", "b", MEAN, 0.2)).endswith(" not separable")
    assert contrast_text(None) == "-"


def test_share_is_a_percentage() -> None:
    assert share_text(Share(0.614, (0.491, 0.722))) == "61 % [49, 72]"
    assert share_text(Share(0.614, None)) == "61 %"


def test_missing_numbers_are_dashes() -> None:
    assert share_text(None) == "-"
    assert (value_text(None, "d"), value_text(2.5, ".2f")) == ("-", "2.50")
