"""Coverage and known answers of intervals, corrections and rank agreement."""

import importlib
import sys
from itertools import combinations
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from scipy.stats import kendalltau, t

from bench.analysis.holm import holm, holm_levels
from bench.analysis.rank_agreement import kendall_tau
from bench.analysis.scored_rows import pair_means
from bench.analysis.statistics import (
    LEVEL,
    MIN_PEOPLE,
    Pair,
    estimate,
    jackknife,
    paired_difference,
)

sys.path.append(str(Path(__file__).parents[3] / "results" / "scripts"))
PAIRS: list[Pair] = [(person, prompt) for person in "abcdef" for prompt in "xyz"]


@pytest.fixture(scope="module")
def simulation() -> ModuleType:
    """The script whose full table is results/statistics/coverage.md."""
    return importlib.import_module("interval_coverage")


@pytest.mark.parametrize("people", [8, 32])
@pytest.mark.parametrize("prompts", [(6, 1), (7, 0)])
@pytest.mark.parametrize("component", ["person", "prompt", "both", "interaction"])
def test_intervals_contain_the_true_mean(
    simulation: ModuleType, people: int, prompts: tuple[int, int], component: str
) -> None:
    design = simulation.Design(people, *prompts)
    found = simulation.coverage(design, simulation.COMPONENTS[component], simulation.normal, 0.0, 400, seed=5)
    # Two standard errors of the simulation, .022, around .925 to .975.
    assert 0.90 <= found <= 0.997


@pytest.mark.parametrize("distribution", ["t3", "log-normal"])
def test_intervals_contain_the_mean_of_skewed_and_heavy_tailed_scores_with_gaps(
    simulation: ModuleType, distribution: str
) -> None:
    draw = simulation.DISTRIBUTIONS[distribution]
    found = simulation.coverage(
        simulation.Design(20, 6, 1), simulation.COMPONENTS["both"], draw, 0.15, 400, seed=3
    )
    assert 0.89 <= found <= 0.99


@pytest.mark.parametrize("share", [0.03, 0.5, 0.97])
@pytest.mark.parametrize("people", [8, 32])
def test_intervals_contain_the_true_share(simulation: ModuleType, people: int, share: float) -> None:
    assert simulation.share_coverage(simulation.Design(people, 6, 1), share, 0.2, 300, seed=2) >= 0.9


@pytest.mark.parametrize("component", ["prompt", "both"])
def test_equal_methods_are_rarely_separable(simulation: ModuleType, component: str) -> None:
    design = simulation.Design(32, 6, 1)
    found = simulation.false_verdicts(
        design, simulation.COMPONENTS[component], simulation.normal, 100, seed=4
    )
    # With recaptions as prompts of their own, this was .18 to .35.
    assert found <= 0.11


def test_independent_people_give_students_interval() -> None:
    x = np.array([0.2, 0.5, 0.4, 0.9, 0.1, 0.3])
    pairs = [(i, "x") for i in range(6)]
    symmetric = estimate(np.concatenate([x, 1 - x]), [(i, "x") for i in range(12)])
    half = t.ppf(0.975, 11) * np.concatenate([x, 1 - x]).std(ddof=1) / np.sqrt(12)
    assert (symmetric.low, symmetric.high) == pytest.approx((0.5 - half, 0.5 + half))
    skewed = estimate(x, pairs)
    assert skewed.high - skewed.mean > skewed.mean - skewed.low  # type: ignore[operator]


def test_order_of_the_images_does_not_matter() -> None:
    x = list(np.random.default_rng(0).normal(size=len(PAIRS)))
    forward, reverse = estimate(x, PAIRS), estimate(x[::-1], PAIRS[::-1])
    assert (reverse.mean, reverse.low, reverse.high) == pytest.approx(
        (forward.mean, forward.low, forward.high)
    )


def test_fewer_than_five_people_get_no_interval_and_no_p_value() -> None:
    pairs = [(person, prompt) for person in range(MIN_PEOPLE - 1) for prompt in "xyz"]
    found = estimate(np.arange(len(pairs)), pairs)
    assert (found.low, found.high, found.p) == (None, None, None)
    difference = paired_difference(dict.fromkeys(pairs, 1.0), dict.fromkeys(pairs, 0.0), shares=True)
    assert difference is not None
    assert (difference.mean, difference.low, difference.p) == (1.0, None, None)


def test_fixed_prompts_leave_only_people_to_vary() -> None:
    by_prompt = {"x": -1.0, "y": 0.0, "z": 1.0}
    rng = np.random.default_rng(1)
    x = [by_prompt[str(prompt)] + float(rng.normal(0, 0.1)) for _, prompt in PAIRS]
    random, fixed = estimate(x, PAIRS), estimate(x, PAIRS, fixed_prompts=True)
    assert fixed.high - fixed.low < 0.2 < 1 < random.high - random.low  # type: ignore[operator]


def test_interval_of_a_share_lies_between_0_and_1_and_has_a_width() -> None:
    found = estimate([1.0] * 17 + [0.0], PAIRS, share=True)
    assert 0 < found.low < found.mean < found.high <= 1.0  # type: ignore[operator]
    perfect = estimate([1.0] * 18, PAIRS, share=True)
    assert perfect.high == 1.0
    assert perfect.low < 0.75  # type: ignore[operator]


def test_interval_of_a_difference_is_not_cut_off_at_0() -> None:
    one = {pair: float(i == 4) for i, pair in enumerate(PAIRS)}
    zero = dict.fromkeys(PAIRS, 0.0)
    forward, reverse = paired_difference(one, zero), paired_difference(zero, one)
    assert forward is not None
    assert reverse is not None
    assert forward.low < 0 < forward.high  # type: ignore[operator]
    assert (forward.low, forward.high) == pytest.approx((-reverse.high, -reverse.low))  # type: ignore[operator]


def test_interval_and_p_value_agree() -> None:
    rng = np.random.default_rng(3)
    for _ in range(300):
        found = estimate(rng.exponential(size=len(PAIRS)) - rng.uniform(0, 2), PAIRS)
        assert (found.low > 0 or found.high < 0) == (found.p < 1 - LEVEL)  # type: ignore[operator]


def test_equal_shares_of_every_person_do_not_prove_a_difference() -> None:
    pairs = [(person, "x") for person in range(6)]
    constant = paired_difference(dict.fromkeys(pairs, 0.1), dict.fromkeys(pairs, 0.0), shares=True)
    assert constant is not None
    assert constant.p > 0.05  # type: ignore[operator]


def test_paired_difference_is_more_precise_than_two_intervals() -> None:
    rng = np.random.default_rng(2)
    hard = {pair: float(rng.normal()) for pair in PAIRS}
    one = {pair: hard[pair] + 0.1 + float(rng.normal(0, 0.02)) for pair in PAIRS}
    found = paired_difference(one, hard)
    assert found is not None
    assert 0 < found.low < 0.1 < found.high  # type: ignore[operator]
    assert found.p < 0.01  # type: ignore[operator]
    alone = estimate(list(one.values()), PAIRS)
    assert alone.low < 0 < alone.high  # type: ignore[operator]


def test_only_shared_pairs_are_compared() -> None:
    found = paired_difference({("a", "x"): 1.0, ("b", "x"): 2.0}, {("b", "x"): 1.5})
    assert found is not None
    assert (found.mean, found.n) == (0.5, 1)
    assert paired_difference({("a", "x"): 1.0}, {("b", "x"): 1.5}) is None


def test_samples_of_one_prompt_are_averaged() -> None:
    found = pair_means([1.0, 3.0, 5.0], [("a", "x"), ("a", "x"), ("b", "x")])
    assert found == {("a", "x"): 2.0, ("b", "x"): 5.0}


def test_lengths_that_differ_are_refused() -> None:
    with pytest.raises(ValueError, match="2 values, 18 pairs"):
        estimate([0.1, 0.2], PAIRS)


def test_holm_equals_hand_computed_values() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, 0.9]) == pytest.approx([1.0, 1.0])
    assert holm([]) == []


def test_holm_levels_exclude_0_exactly_where_holm_rejects() -> None:
    rng = np.random.default_rng(0)
    for _ in range(200):
        p = list(rng.uniform(0, 0.2, 6) ** 2)
        rejected = [adjusted <= 1 - LEVEL for adjusted in holm(p)]
        assert [value <= 1 - level for value, level in zip(p, holm_levels(p), strict=True)] == rejected
    assert holm_levels([0.01, 0.2]) == pytest.approx([0.975, 0.95])


def test_jackknife_of_a_mean_is_the_t_interval() -> None:
    x = np.array([0.1, 0.4, 0.35, 0.8, 0.2])
    found = jackknife(float(x.mean()), [float(np.delete(x, i).mean()) for i in range(5)])
    half = t.ppf(0.975, 4) * x.std(ddof=1) / np.sqrt(5)
    assert found == pytest.approx((x.mean() - half, x.mean() + half), rel=1e-5)
    assert jackknife(1.0, [1.0, 2.0, 1.5, 1.2]) is None


def test_kendalls_tau_equals_scipy_with_and_without_ties() -> None:
    rng = np.random.default_rng(0)
    for x, y in combinations(rng.integers(0, 4, (12, 6)).astype(float), 2):
        assert kendall_tau(x, y) == pytest.approx(kendalltau(x, y).statistic, abs=1e-12)
    assert np.isnan(kendall_tau(np.ones(3), np.arange(3.0)))
