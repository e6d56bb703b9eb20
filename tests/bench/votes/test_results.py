"""What is printed of votes with known outcomes."""

import json
from itertools import combinations
from typing import Literal

import pytest
from known_run import METHODS, PEOPLE, PROMPTS, known_run

from bench.analysis.comparison_table import ComparisonTable, compare
from bench.errors import ReportError
from bench.markdown import number
from bench.votes.answers import Ballots, Vote
from bench.votes.results import as_json, as_markdown
from bench.votes.study import Comparison

VOTERS = tuple(f"voter{i}" for i in range(12))


def votes_by_order() -> tuple[Vote, ...]:
    """Everybody prefers the method that comes first in the alphabet, but for one voter in twelve."""
    return tuple(
        Vote(voter, Comparison(who, prompt, 1, *pair), _choice(i + k), knows_person=i == 0)
        for k, pair in enumerate(combinations(sorted(METHODS), 2))
        for i, voter in enumerate(VOTERS)
        for who in PEOPLE
        for prompt in PROMPTS[:1]
    )


def _choice(number: int) -> Literal["left", "right"]:
    return "right" if number % 12 == 0 else "left"


@pytest.fixture
def table() -> ComparisonTable:
    return compare(known_run())


@pytest.fixture
def ballots() -> Ballots:
    return Ballots({"identity": votes_by_order(), "prompt": ()}, VOTERS, (), ("a.json: damaged",))


def test_order_of_the_votes_is_that_of_the_strengths(table: ComparisonTable, ballots: Ballots) -> None:
    result = json.loads(as_json(table, ballots))["questions"]["identity"]
    assert [strength["method"] for strength in result["strengths"]] == sorted(METHODS)
    verdicts = {(d["one"], d["other"]): d["verdict"] for d in result["differences"]}
    first, *_, last = sorted(METHODS)
    assert verdicts[first, last] == "above"
    assert "below" not in verdicts.values()
    for d in result["differences"]:
        assert d["difference"]["low"] < d["difference"]["mean"] < d["difference"]["high"]
        assert (d["verdict"] == "above") == (d["difference"]["low"] > 0)
    assert result["by_people_who_know_the_person"] == len(votes_by_order()) / 12


def test_markdown_has_the_numbers_of_json(table: ComparisonTable, ballots: Ballots) -> None:
    text = as_markdown(table, ballots)
    content = json.loads(as_json(table, ballots))
    lines = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines()]
    result = content["questions"]["identity"]
    expected = {(s["method"], printed(s["estimate"])) for s in result["strengths"]}
    expected |= {(f"{d['one']} minus {d['other']}", printed(d["difference"])) for d in result["differences"]}
    expected |= {(f"{m['metric']} ({m['encoder']})", printed(m["share"])) for m in result["metrics"]}
    assert expected <= {(line[0], line[1]) for line in lines if len(line) > 1}
    assert len(result["metrics"]) == 3
    assert content["refused"] == ["a.json: damaged"]
    assert "* refused: a.json: damaged" in text
    assert "no intervals" not in text
    assert "## Text" not in text


def test_separate_groups_of_methods_are_refused(table: ComparisonTable) -> None:
    def ballots_between(*pairs: tuple[str, str]) -> Ballots:
        votes = [v for v in votes_by_order() if (v.comparison.left, v.comparison.right) in pairs]
        return Ballots({"identity": tuple(votes), "prompt": ()}, VOTERS, (), ())

    apart = ("close", "leaky"), ("photo-copy", "tuned")
    with pytest.raises(ReportError, match="identity: no votes compare photo-copy, tuned with close"):
        as_markdown(table, ballots_between(*apart))
    assert "log-strength" in as_markdown(table, ballots_between(*apart, ("leaky", "tuned")))


def printed(estimate: dict[str, float]) -> str:
    return number(estimate["mean"], estimate["low"], estimate["high"])
