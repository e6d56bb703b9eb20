"""Identity by groups of people."""

from typing import Any

import pytest
from fake_run import cell, column, finished_run, scores

from bench.analysis.comparison_table import compare
from bench.analysis.subgroups import group_entries, groupings
from bench.report.sections.subgroups import SMALL, group_section
from bench.runs.finished_run import FinishedRun

FACE = column("identity", "sface")


def run(people: int = 4, **more: Any) -> FinishedRun:
    about = {
        f"p{i}": {
            "noun": "man" if i % 2 else "woman",
            "attributes": {"age": "old", "skin": "dark" if i < 1 else "light", "hat": f"{i}", **more},
        }
        for i in range(people)
    }
    rows = [
        row
        for m in ("a", "b")
        for i, who in enumerate(about)
        for row in scores(FACE, m, who, [0.2 + 0.4 * (i % 2), 0.3 + 0.4 * (i % 2)])
    ]
    cells = [cell(m, who, p) for m in ("a", "b") for who in about for p in ("p0", "p1")]
    return finished_run((FACE,), cells, rows, people=about)


def test_people_are_grouped_by_attributes_in_which_they_differ() -> None:
    found = groupings(run())
    assert found == {
        "noun": {"man": ("p1", "p3"), "woman": ("p0", "p2")},
        "skin": {"dark": ("p0",), "light": ("p1", "p2", "p3")},
    }


def test_attribute_with_the_same_groups_makes_no_second_table() -> None:
    base = run()
    people = {
        who: {"noun": about.noun, "attributes": {"sex": about.noun + "ly"}}
        for who, about in base.people.items()
    }
    assert list(groupings(finished_run((FACE,), base.cells, base.scores, people=people))) == ["noun"]


def test_group_mean_is_over_its_own_people() -> None:
    found = run()
    men, women = group_entries(found, FACE, groupings(found)["noun"])["a"]
    assert men.estimate is not None
    assert women.estimate is not None
    assert (men.estimate.mean, women.estimate.mean) == (pytest.approx(0.65), pytest.approx(0.25))
    assert (men.n, women.n) == (4, 4)
    assert men.estimate.low is None
    large = run(people=20)
    of_ten = group_entries(large, FACE, groupings(large)["noun"])["a"][0].estimate
    assert of_ten is not None
    assert of_ten.low is not None


def test_report_names_small_groups_only() -> None:
    small = group_section(compare(run()))
    assert "man, 2 people" in small
    assert "n=4" in small
    assert f"below {SMALL} people: man (2), woman (2), dark (1), light (3)" in small
    large = group_section(compare(run(people=2 * SMALL + 2)))
    assert "woman (" not in large
    assert "dark (1)" in large


def test_people_without_attributes_make_no_groups() -> None:
    assert group_section(compare(finished_run((FACE,), run().cells, run().scores))) == ""
