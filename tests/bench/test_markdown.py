"""Markdown tables, lists and numbers."""

import pytest

from bench.markdown import bullets, counted, number, table


def test_columns_are_padded_to_the_widest_cell() -> None:
    assert table(["a", "bb"], [["long", "x"]]).splitlines() == [
        "| a    | bb |",
        "|------|----|",
        "| long | x  |",
    ]


def test_cells_contain_no_column_separator_and_no_line_break() -> None:
    assert table(["a"], [["x|y\nz"]]).splitlines()[-1] == "| x\\|y z |"


@pytest.mark.parametrize(
    ("value", "text"), [(0.12345, "0.123"), (-9.9996, "-10.000"), (12.34, "12.3"), (1234.5, "1234")]
)
def test_number_of_decimals_depends_on_the_size(value: float, text: str) -> None:
    assert number(value) == text


def test_interval_has_the_decimals_of_the_mean() -> None:
    assert number(52.81, 9.27, 100.04) == "52.8 [9.3, 100.0]"
    assert number(0.5, 0.4, None) == "0.500"


def test_nouns_and_lists() -> None:
    assert (counted(1, "cell"), counted(2, "cell")) == ("1 cell", "2 cells")
    assert bullets(["a", "b"]) == "* a\n* b"


ATTACK = "a\n\n# Title <img src=x onerror=alert(1)> ![](http://evil/x.png) \x1b]0;owned\x07\x1b[2J\u202ez"


def test_names_and_reasons_stay_text() -> None:
    for text in (bullets([ATTACK]), table(["row"], [[ATTACK]])):
        assert not any(line.lstrip().startswith("#") for line in text.splitlines())
        assert "<img" not in text
        assert "![](" not in text
        assert text.replace("\n", "").isprintable()


def test_comparisons_are_no_tags() -> None:
    assert bullets(["p < 0.05 and x<3"]) == "* p < 0.05 and x<3"
