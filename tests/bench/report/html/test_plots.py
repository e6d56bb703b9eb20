"""Plots of the page."""

import re
import xml.etree.ElementTree as ET
from dataclasses import replace

import pytest
from fake_run import cell, column, finished_run, scores

from bench.analysis.comparison_table import ComparisonTable, compare
from bench.analysis.statistics import Estimate
from bench.report.html.method_styles import method_styles
from bench.report.html.plots import PlotPoint, cost_plot, pareto_front, per_person, plots, trade_off

IDENTITY, PROMPT = column("identity", "sface"), column("prompt-match", "clip")
PEOPLE = ("ada", "bob", "cleo", "dan", "eva")


def point(x: float, y: float) -> PlotPoint:
    return PlotPoint(f"{x} {y}", Estimate(x, None, None, 1), Estimate(y, None, None, 1), True)


def small_table(label: str = "tuned") -> ComparisonTable:
    """Five people; both rows exceed the floor in one metric each."""
    means = {"text-only": (0.2, 0.5), label: (0.6, 0.4), "plain": (0.3, 0.55)}
    rows = []
    for method, found in means.items():
        for metric, mean in zip((IDENTITY, PROMPT), found, strict=True):
            for i, who in enumerate(PEOPLE):
                rows += scores(metric, method, who, [mean + 0.01 * i, mean - 0.02 * i])
    cells = [cell(m, who, f"p{i}", seconds=0.5) for m in means for who in PEOPLE for i in range(2)]
    return compare(finished_run((IDENTITY, PROMPT), cells, rows, methods={"text-only": {"role": "floor"}}))


def svg_of(text: str) -> ET.Element:
    found = re.search(r"<svg.*?</svg>", text, re.DOTALL)
    assert found
    return ET.fromstring(found[0])


def test_front_has_the_points_that_no_other_exceeds_in_both() -> None:
    front = pareto_front([point(0, 3), point(1, 1), point(2, 2), point(3, 0), point(2, 1)])
    assert [(p.x.mean, p.y.mean) for p in front] == [(0, 3), (2, 2), (3, 0)]


def test_trade_off_has_a_point_and_a_label_for_every_method_but_the_floor() -> None:
    table = small_table()
    svg = svg_of(trade_off(table, table.column("identity@sface"), table.column("prompt-match@clip")))
    labels = [e.text for e in svg.iter("text") if "label" in e.get("class", "")]
    assert sorted(str(label) for label in labels) == ["plain", "tuned"]
    titles = [e.text for e in svg.iter("title")]
    # Paired differences to the floor: 0.6 - 0.2 and 0.4 - 0.5.
    assert "tuned: -0.100, 0.400" in titles
    assert [e.get("href") for e in svg.iter("a")] == ["#method=tuned", "#method=plain"]


def test_each_person_has_a_dot() -> None:
    table = small_table()
    svg = svg_of(per_person(table, table.column("identity@sface")))
    assert len(list(svg.iter("circle"))) == 2 * len(PEOPLE)


def test_cost_plot_names_the_costs(table: ComparisonTable) -> None:
    text = cost_plot(table, table.column("identity@sface"))
    assert "seconds for a fit and 10 images" in text
    # 2.5 s for the fit and 10 times 0.5 s.
    assert "tuned: 7.500, 0.482" in text


def test_label_of_a_method_stays_text() -> None:
    text = plots(small_table("<b>&x"))
    assert "<b>" not in text
    assert len(svg_of(text).findall("a")) == 2


def test_run_without_identity_has_no_plot() -> None:
    assert plots(compare(finished_run((), [cell("a", "ada", "p0")], []))) == ""


@pytest.mark.parametrize("count", [1, 6, 12])
def test_methods_have_different_styles_and_rows_of_a_sweep_the_same(count: int) -> None:
    names = [f"m{i}" for i in range(count)]
    cells = [cell(name, "ada", "p0") for name in ["text-only", *names, "m0@scale=0.5"]]
    run = finished_run((), cells, [])
    styles = method_styles(replace(run))
    assert len({styles[name] for name in names}) == count
    assert styles["m0@scale=0.5"] == styles["m0"]
