"""HTML of the sections of the Markdown report."""

from html import escape

import pytest

from bench.markdown import bullets, table
from bench.report.html.markdown_sections import as_html, heading_of


def test_blocks() -> None:
    text = as_html("## Costs\n\nPeak memory.\n\n* one\n* two `x`")
    assert text == "<h2>Costs</h2>\n<p>Peak memory.</p>\n<ul><li>one</li><li>two <code>x</code></li></ul>"


def test_tables_with_a_blank_line_between_remain_two() -> None:
    one = table(["method", "n"], [["a", "1"]])
    assert as_html(f"{one}\n\n{one}").count("<table>") == 2


@pytest.mark.parametrize("name", ["a|b", "<b>x</b>", "a & b", "![x](y)", '"quoted"'])
def test_name_in_a_cell_is_the_same_text(name: str) -> None:
    assert f'<th scope="row">{escape(name)}</th>' in as_html(table(["method"], [[name]]))


def test_name_in_a_bullet_is_no_element() -> None:
    assert "<img" not in as_html(bullets(["<img src=x onerror=y>"]))


def test_heading() -> None:
    assert heading_of("## Missing scores\n\nNone.") == "Missing scores"
    assert heading_of("None.") == ""
