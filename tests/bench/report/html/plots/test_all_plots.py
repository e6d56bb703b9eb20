"""Plots of the page."""

import re
import xml.etree.ElementTree as ET
from itertools import combinations, pairwise

from fake_run import cell, column, finished_run, scores

from bench.analysis.comparison_table import ComparisonTable, compare
from bench.report.html.plots.agreement import agreement_plot
from bench.report.html.plots.all_plots import plots
from bench.report.html.plots.intervals import differences_plot, groups_plot
from bench.report.html.plots.people import per_person
from bench.report.html.plots.scatter import cost_plot, trade_off
from bench.report.html.plots.sweeps import sweep_plots

IDENTITY, PROMPT = column("identity", "sface"), column("prompt-match", "clip")
OTHER = column("identity", "mobilefacenet")
PEOPLE = ("ada", "bob", "cleo", "dan", "eva")
TWO = {"text-only": (0.2, 0.5, 0.1), "tuned": (0.6, 0.4, 0.3), "plain": (0.3, 0.55, 0.4)}


def small_table(means: dict[str, tuple[float, float, float]] = TWO) -> ComparisonTable:
    """Five people; the means of each row by SFace, by prompt match and by MobileFaceNet."""
    rows = []
    for method, found in means.items():
        for metric, mean in zip((IDENTITY, PROMPT, OTHER), found, strict=True):
            for i, who in enumerate(PEOPLE):
                rows += scores(metric, method, who, [mean + 0.01 * i, mean - 0.02 * i])
    cells = [cell(m, who, f"p{i}", seconds=0.5) for m in means for who in PEOPLE for i in range(2)]
    people = {who: {"noun": "man" if who in ("bob", "dan") else "woman"} for who in PEOPLE}
    methods = {"text-only": {"role": "floor"}}
    return compare(finished_run((IDENTITY, PROMPT, OTHER), cells, rows, methods=methods, people=people))


def svg_of(text: str) -> ET.Element:
    found = re.search(r"<svg.*?</svg>", text, re.DOTALL)
    assert found
    return ET.fromstring(found[0])


def titles(svg: ET.Element) -> list[str]:
    return [str(e.text) for e in svg.iter("title")]


def texts(svg: ET.Element, kind: str) -> list[str]:
    return [str(e.text) for e in svg.iter("text") if kind in e.get("class", "").split()]


def test_trade_off_has_a_point_with_numbers_and_a_label_for_every_method() -> None:
    table = small_table()
    svg = svg_of(trade_off(table, table.column("identity@sface"), table.column("prompt-match@clip")))
    assert sorted(texts(svg, "label")) == ["plain", "text-only", "tuned"]
    # Paired differences to the floor: 0.4 - 0.5 and 0.6 - 0.2.
    assert any(title.startswith("tuned: -0.100") and ", 0.400" in title for title in titles(svg))
    links = [e.get("href") for e in svg.iter("a")]
    assert links == ["#method=tuned", "#method=plain", "#method=text-only"]
    assert len([e for e in svg.iter("path") if e.get("class") == "front"]) == 1


def test_differences_have_one_panel_per_metric() -> None:
    table = small_table()
    svg = svg_of(differences_plot(table, table.image_columns))
    assert len(list(svg.iter("a"))) == 2 * 3
    assert any(title.startswith("plain, prompt-match (clip) ↑: 0.050 [") for title in titles(svg))
    # Rows do not cover one another.
    heights = sorted({float(str(e.get("y"))) for e in svg.iter("text") if e.get("class") == "label end"})
    assert all(other - one > 14 for one, other in pairwise(heights))


def test_each_person_has_a_dot_that_shows_its_images() -> None:
    table = small_table()
    svg = svg_of(per_person(table, table.column("identity@sface")))
    assert len(list(svg.iter("circle"))) == 2 * len(PEOPLE)
    assert next(svg.iter("a")).get("href") == "#method=tuned&person=ada"
    assert titles(svg)[0] == "tuned, ada: 0.400"


def test_intervals_of_one_setting_are_side_by_side() -> None:
    means = {f"{name}@scale={s}": (0.5, 0.5, 0.5) for name in ("ip", "loo", "mean") for s in (0.5, 0.6, 2.0)}
    table = small_table({"text-only": (0.2, 0.5, 0.1), **means})
    drawn = list(sweep_plots(table, table.image_columns))
    assert len(drawn) == 3
    svg = svg_of(drawn[0])
    bars = [re.findall(r"[\d.]+", str(e.get("d"))) for e in svg.iter("path") if e.get("class") == "bar"]
    places = [float(bar[0]) for bar in bars]
    assert len(places) == 9
    assert all(abs(one - other) > 3 for one, other in combinations(places, 2))
    assert sorted(texts(svg, "label")) == ["ip", "loo", "mean"]


def test_agreement_has_the_rank_of_every_method_by_every_network() -> None:
    svg = svg_of(agreement_plot(small_table()))
    assert titles(svg) == [
        "tuned: rank 1 by identity (sface), rank 2 by identity (mobilefacenet)",
        "plain: rank 2 by identity (sface), rank 1 by identity (mobilefacenet)",
    ]


def test_groups_have_one_panel_each_with_the_same_axis() -> None:
    table = small_table()
    svg = svg_of(groups_plot(table, table.subgroups[0]))
    assert texts(svg, "title") == ["man (2 people)", "woman (3 people)"]
    ticks = texts(svg, "tick")
    assert ticks[: len(ticks) // 2] == ticks[len(ticks) // 2 :]


def test_cost_plot_names_the_costs(table: ComparisonTable) -> None:
    text = cost_plot(table, table.column("identity@sface"))
    assert "seconds for a fit and 10 images" in text
    # 2.5 s for the fit and 10 times 0.5 s.
    assert "tuned: 7.500, 0.482" in text


def test_label_of_a_method_stays_text() -> None:
    text = plots(
        small_table({"text-only": (0.2, 0.5, 0.1), "<b>&x": (0.6, 0.4, 0.3), "plain": (0.3, 0.5, 0.4)})
    )
    assert "<b>" not in text
    assert "&lt;b&gt;&amp;x" in text


def test_run_without_identity_has_no_plot() -> None:
    assert plots(compare(finished_run((), [cell("a", "ada", "p0")], []))) == ""
