"""Simulate how often intervals contain the true mean, and how often equal methods look different.

    python results/scripts/interval_coverage.py --rounds 2000 --out results/statistics

Writes coverage.md: the coverage of 95 % intervals of means and of shares, and the rate of false verdicts
among eight equal methods, for the designs of this project's suites. About ten minutes on one core.
"""

import argparse
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations, product
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bench.analysis.holm import holm
from bench.analysis.statistics import LEVEL, Pair, estimate, paired_difference
from bench.atomic_io import write_text
from bench.markdown import table

Floats = NDArray[np.float64]
PEOPLE: Final = (8, 20, 32)
PROMPTS: Final = ((6, 1), (7, 0), (36, 2))
"""Shared prompts, and recaptions of each person."""
COMPONENTS: Final = {
    "person": (1.0, 0.0, 0.3),
    "prompt": (0.0, 1.0, 0.3),
    "both": (0.7, 0.7, 0.3),
    "interaction": (0.0, 0.0, 1.0),
}
"""Standard deviations of the effects of people, of prompts, and of single images."""
MISSING: Final = (0.0, 0.15)
SHARES: Final = (0.03, 0.1, 0.5, 0.9, 0.97)
CORRELATIONS: Final = (0.05, 0.2, 0.4)
"""Correlation of two images of one person, for shares whose rate differs from person to person."""
METHODS: Final = 8
LOG_SIGMA: Final = 0.5


def normal(rng: np.random.Generator, *shape: int) -> Floats:
    return rng.normal(size=shape)


def student(rng: np.random.Generator, *shape: int) -> Floats:
    """Student's t with 3 degrees of freedom, variance 1."""
    values: Floats = rng.standard_t(3, size=shape) / np.sqrt(3)
    return values


def log_normal(rng: np.random.Generator, *shape: int) -> Floats:
    """Log-normal, mean 0 and variance 1; skewness 1.75."""
    values = np.exp(LOG_SIGMA * rng.normal(size=shape))
    mean, power = float(np.exp(LOG_SIGMA**2 / 2)), float(np.exp(LOG_SIGMA**2))
    standard: Floats = (values - mean) / np.sqrt((power - 1) * power)
    return standard


Draw = Callable[..., Floats]
DISTRIBUTIONS: Final[dict[str, Draw]] = {"normal": normal, "t3": student, "log-normal": log_normal}


@dataclass(frozen=True)
class Design:
    """People x prompts; the recaptions are prompts of one person each, and count as one prompt."""

    people: int
    shared: int
    recaptions: int

    @property
    def places(self) -> list[tuple[int, int]]:
        """Person and prompt of every image."""
        own = self.shared
        return [
            (
                person,
                prompt if prompt < self.shared else own + person * self.recaptions + prompt - self.shared,
            )
            for person in range(self.people)
            for prompt in range(self.shared + self.recaptions)
        ]

    @property
    def pairs(self) -> list[Pair]:
        """The clusters of every image."""
        return [(who, prompt if prompt < self.shared else "recaption") for who, prompt in self.places]

    def simulate(
        self, rng: np.random.Generator, components: Sequence[float], draw: Draw, count: int
    ) -> Floats:
        """Images x `count` values with true mean 0."""
        who, prompt = (np.array(part) for part in zip(*self.places, strict=True))
        by_person, by_prompt, single = components
        values: Floats = (
            by_person * draw(rng, self.people, count)[who]
            + by_prompt * draw(rng, int(prompt.max()) + 1, count)[prompt]
            + single * draw(rng, len(who), count)
        )
        return values


def designs() -> Iterator[Design]:
    """Every number of people with every set of prompts."""
    yield from (Design(people, *prompts) for people, prompts in product(PEOPLE, PROMPTS))


def coverage(
    design: Design, components: Sequence[float], draw: Draw, missing: float, rounds: int, seed: int
) -> float:
    """Share of rounds in which the interval of a mean contains 0."""
    rng = np.random.default_rng(seed)
    pairs, hits = design.pairs, 0
    for x in design.simulate(rng, components, draw, rounds).T:
        kept = np.flatnonzero(rng.random(len(x)) >= missing)
        found = estimate(x[kept], [pairs[i] for i in kept])
        hits += found.low is not None and found.high is not None and found.low <= 0 <= found.high
    return hits / rounds


def share_coverage(design: Design, share: float, correlation: float, rounds: int, seed: int) -> float:
    """Share of rounds in which the interval of a share contains it; two images for each pair."""
    rng = np.random.default_rng(seed)
    pairs, hits = design.pairs, 0
    who = np.array([person for person, _ in design.places])
    spread = 1 / correlation - 1
    for _ in range(rounds):
        rates = rng.beta(share * spread, (1 - share) * spread, design.people)[who]
        found = estimate((rng.random((2, len(who))) < rates).mean(0), pairs, share=True)
        hits += found.low is not None and found.high is not None and found.low <= share <= found.high
    return hits / rounds


def false_verdicts(design: Design, components: Sequence[float], draw: Draw, rounds: int, seed: int) -> float:
    """Share of rounds in which at least one pair of eight equal methods is separable."""
    rng = np.random.default_rng(seed)
    pairs, wrong = design.pairs, 0
    for _ in range(rounds):
        scores = design.simulate(rng, components, draw, METHODS).T
        means = [_pair_means(pairs, values) for values in scores]
        found = [paired_difference(one, other) for one, other in combinations(means, 2)]
        wrong += min(holm([d.p for d in found if d is not None and d.p is not None])) <= 1 - LEVEL
    return wrong / rounds


def _pair_means(pairs: Sequence[Pair], values: Floats) -> dict[Pair, float]:
    sums: dict[Pair, list[float]] = {}
    for pair, value in zip(pairs, values.tolist(), strict=True):
        sums.setdefault(pair, []).append(value)
    return {pair: sum(found) / len(found) for pair, found in sums.items()}


def mean_table(rounds: int) -> tuple[str, list[float]]:
    """Coverage of means: rows are designs and components, columns distributions, with and without gaps."""
    header = [
        "people",
        "prompts",
        "variance by",
        *(f"{d}, {m:.0%} missing" for d, m in product(DISTRIBUTIONS, MISSING)),
    ]
    lines: list[list[str]] = []
    values: list[float] = []
    for design, (name, components) in product(designs(), COMPONENTS.items()):
        row = [
            coverage(design, components, draw, missing, rounds, seed=len(values) + place)
            for place, (draw, missing) in enumerate(product(DISTRIBUTIONS.values(), MISSING))
        ]
        values += row
        lines.append([*_named(design), name, *(f"{value:.3f}" for value in row)])
    return table(header, lines), values


def share_table(rounds: int) -> tuple[str, list[float]]:
    """Coverage of shares: the smallest over the correlations."""
    lines: list[list[str]] = []
    values: list[float] = []
    for design in designs():
        row = [
            min(share_coverage(design, share, c, rounds, seed=i) for i, c in enumerate(CORRELATIONS))
            for share in SHARES
        ]
        values += row
        lines.append([*_named(design), *(f"{value:.3f}" for value in row)])
    return table(["people", "prompts", *(str(share) for share in SHARES)], lines), values


def verdict_table(rounds: int) -> tuple[str, list[float]]:
    """False verdicts among eight equal methods."""
    lines: list[list[str]] = []
    values: list[float] = []
    for design, (name, components) in product(designs(), COMPONENTS.items()):
        row = [false_verdicts(design, components, draw, rounds, seed=7) for draw in DISTRIBUTIONS.values()]
        values += row
        lines.append([*_named(design), name, *(f"{value:.3f}" for value in row)])
    return table(["people", "prompts", "variance by", *DISTRIBUTIONS], lines), values


def _named(design: Design) -> list[str]:
    return [str(design.people), f"{design.shared} + {design.recaptions}"]


def main() -> None:
    """Write coverage.md."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=2000)
    parser.add_argument("--verdict-rounds", type=int, default=500)
    parser.add_argument("--out", type=Path, default=Path(__file__).parents[1] / "statistics")
    args = parser.parse_args()
    means, covered = mean_table(args.rounds)
    shares, shares_covered = share_table(args.rounds)
    verdicts, wrong = verdict_table(args.verdict_rounds)
    inside = sum(0.925 <= value <= 0.975 for value in covered)
    args.out.mkdir(parents=True, exist_ok=True)
    write_text(
        args.out / "coverage.md",
        f"""# Coverage of the intervals, by simulation

Written by `python results/scripts/interval_coverage.py --rounds {args.rounds} --verdict-rounds
{args.verdict_rounds}`. The method is described in `bench/analysis/statistics.py`. `6 + 1` is six shared
prompts and one recaption for each person. Fewer than five people get no interval.

## Means: share of 95 % intervals that contain the true mean

{args.rounds} rounds per cell (standard error about .005 at 2,000). {inside} of {len(covered)} cells are
between .925 and .975; the lowest is {min(covered):.3f}, the highest {max(covered):.3f}. The log-normal
effects have skewness 1.75.

{means}

## Shares: share of 95 % intervals that contain the true share

The rate differs from person to person; each cell is the lowest of three correlations within a person
({", ".join(map(str, CORRELATIONS))}). The lowest cell is {min(shares_covered):.3f}.

{shares}

## Verdicts: share of runs in which at least one of 28 pairs of eight equal methods is separable

{args.verdict_rounds} rounds per cell (standard error about .01); nominal .05. The mean of the cells is
{sum(wrong) / len(wrong):.3f}, the highest {max(wrong):.3f}.

{verdicts}
""",
    )


if __name__ == "__main__":
    main()
