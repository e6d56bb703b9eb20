"""Simulate how often the intervals of `bench votes` contain the true strengths.

    python results/scripts/vote_coverage.py --rounds 1000 --out results/statistics

Writes votes.md: coverage and width of 95 % intervals whose clusters are voters and people, as in the report,
and of those whose clusters are voters and pairs of a person and a prompt. One minute on one core.
"""

import argparse
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Final

import numpy as np

from bench.atomic_io import write_text
from bench.markdown import table
from bench.votes.strengths import Votes, fit, strengths

METHODS: Final = ("a", "b", "c", "d")
TRUE: Final = np.array([0.9, 0.3, -0.2, -1.0])
TIE_TENDENCY: Final = -0.3
SPREAD: Final = 0.3
"""Standard deviation of a method's log-strength between voters, and between prompts of one person."""
OF_PEOPLE: Final = (0.0, 0.3, 0.6)
"""The same between people."""
SCALES: Final = ("voters and people", "voters and pairs")


@dataclass(frozen=True)
class Design:
    """Numbers of a study."""

    voters: int
    people: int
    prompts: int
    """Of each person."""
    votes: int
    """Of each voter."""


DESIGNS: Final = (Design(8, 8, 6, 50), Design(12, 12, 8, 40), Design(10, 20, 5, 40), Design(20, 5, 10, 40))
LARGE: Final = Design(2000, 2000, 1, 60)
"""The estimates of so large a study are the true strengths for the average voter and person."""


def simulated(rng: np.random.Generator, design: Design, of_people: float) -> tuple[Votes, Votes]:
    """The same votes with people, and with pairs of person and prompt, as the second kind of cluster."""
    sizes = (design.voters, SPREAD), (design.people, of_people), (design.people * design.prompts, SPREAD)
    of_voter, of_person, of_pair = (rng.normal(0, spread, (n, len(TRUE))) for n, spread in sizes)
    voter = np.repeat(np.arange(design.voters), design.votes)
    pair = rng.integers(design.people * design.prompts, size=len(voter))
    person = pair // design.prompts
    order = rng.permuted(np.tile(np.arange(len(TRUE)), (len(voter), 1)), axis=1)
    log_strengths, rows = TRUE + of_voter[voter] + of_person[person] + of_pair[pair], np.arange(len(voter))
    d = log_strengths[rows, order[:, 0]] - log_strengths[rows, order[:, 1]]
    weights = np.exp(np.stack([d / 2, -d / 2, np.full(len(d), TIE_TENDENCY)], 1))
    cumulative = (weights / weights.sum(1, keepdims=True)).cumsum(1)
    outcome = np.array([1, -1, 0])[(rng.random(len(d))[:, None] > cumulative[:, :2]).sum(1)]
    clusters = tuple(zip(voter.tolist(), person.tolist(), strict=True))
    votes = Votes(METHODS, order[:, 0], order[:, 1], outcome, clusters)
    return votes, replace(votes, clusters=tuple(zip(voter.tolist(), pair.tolist(), strict=True)))


def line(design: Design, of_people: float, rounds: int) -> list[str]:
    """Coverage and mean width of both kinds of intervals."""
    true = fit(simulated(np.random.default_rng(1), LARGE, of_people)[0]).log_strengths
    rng, covered, widths = np.random.default_rng(2), np.zeros(2), np.zeros(2)
    for _ in range(rounds):
        for i, votes in enumerate(simulated(rng, design, of_people)):
            for found, expected in zip(strengths(votes, fit(votes)), true, strict=True):
                low, high = found.estimate.low, found.estimate.high
                assert low is not None
                assert high is not None
                covered[i] += low <= expected <= high
                widths[i] += high - low
    count = rounds * len(TRUE)
    numbers = [f"{c / count:.3f} ({w / count:.2f})" for c, w in zip(covered, widths, strict=True)]
    sizes = (design.voters, design.people, design.prompts, design.votes)
    return [*map(str, sizes), f"{of_people}", *numbers]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=1000)
    parser.add_argument("--out", type=Path, default=Path("results/statistics"))
    options = parser.parse_args()
    lines = [line(design, spread, options.rounds) for design, spread in product(DESIGNS, OF_PEOPLE)]
    header = ["voters", "people", "prompts", "votes each", "SD between people", *SCALES]
    text = f"""# Coverage of the intervals of votes, by simulation

Written by `python results/scripts/vote_coverage.py --rounds {options.rounds}`. Share of 95 % intervals of
four methods' log-strengths that contain the true one, and their mean width in brackets. The
log-strengths {", ".join(map(str, TRUE))} vary between voters and between prompts with SD {SPREAD}, and
between people as in the fifth column. `bench votes` uses the clusters of the sixth column.

{table(header, lines)}
"""
    write_text(options.out / "votes.md", text)


if __name__ == "__main__":
    main()
