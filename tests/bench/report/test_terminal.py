"""Markdown fitted to a terminal."""

import re

import pytest
from known_run import known_run

from bench.analysis.comparison_table import compare
from bench.markdown import table
from bench.report.markdown_report import markdown
from bench.report.terminal import NARROWEST, fitted

WIDE = table(["method", "one", "two", "three"], [["a", "1" * 20, "2" * 20, "3" * 20], ["b", "4", "5", "6"]])


@pytest.mark.parametrize("width", [NARROWEST, 80, 100])
def test_no_line_is_longer_than_the_terminal(width: int) -> None:
    assert max(map(len, fitted(markdown(compare(known_run())), width).splitlines())) <= width


def test_no_word_of_the_report_is_lost() -> None:
    text = markdown(compare(known_run()))
    words = set(re.findall(r"[\w.]+", text))
    assert len(words) > 100
    assert words <= set(re.findall(r"[\w.]+", fitted(text, 100)))


def test_wide_table_becomes_tables_with_the_first_column() -> None:
    text = fitted(WIDE, 60)
    assert text.count("| method |") == 2
    assert [line.count("|") for line in text.splitlines()] == [4, 4, 4, 4, 0, 3, 3, 3, 3]


def test_table_that_fits_is_unchanged() -> None:
    assert fitted(WIDE, 100) == WIDE


def test_long_cell_takes_several_lines_of_its_column() -> None:
    text = fitted(table(["metric", "order"], [["identity", "alpha > beta " * 12]]), 60)
    assert {len(line) for line in text.splitlines()} == {len(text.splitlines()[0])}
    assert text.count("alpha") == 12


def test_bullets_are_indented_and_words_with_hyphens_stay_whole() -> None:
    text = fitted("* " + "loo-caption-attention " * 3, 40)
    assert text == "* loo-caption-attention\n  loo-caption-attention\n  loo-caption-attention"
