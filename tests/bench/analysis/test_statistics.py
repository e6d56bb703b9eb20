"""Coverage and known answers of intervals, corrections and rank agreement."""

import numpy as np
import pytest
from scipy.stats import kendalltau

from bench.analysis.statistics import (
    estimate,
    holm,
    jackknife,
    kendall_tau,
    pair_means,
    paired_difference,
    rank_agreement,
)

ROUNDS = 400

Spread = tuple[float, float, float]


def coverage(people: int, prompts: int, samples: int, spread: Spread) -> tuple[float, float]:
    """Share of 95 % intervals that contain the true mean 0: ours, and those for independent images."""
    rng = np.random.default_rng(11)
    pairs = [(i, p) for i in range(people) for p in range(prompts) for _ in range(samples)]
    ours = naive = 0
    for _ in range(ROUNDS):
        of_person = rng.normal(0, spread[0], people)[:, None, None]
        of_prompt = rng.normal(0, spread[1], prompts)[None, :, None]
        x = (of_person + of_prompt + rng.normal(0, spread[2], (people, prompts, samples))).ravel()
        found = estimate(x, pairs, seed=1, replicates=500)
        assert found.low is not None
        assert found.high is not None
        ours += found.low <= 0 <= found.high
        naive += bool(abs(x.mean()) <= 1.96 * x.std(ddof=1) / np.sqrt(len(x)))
    return ours / ROUNDS, naive / ROUNDS


@pytest.mark.parametrize(
    ("people", "prompts", "samples"), [(10, 10, 4), (6, 10, 2)], ids=["as measured", "as the tiny suite"]
)
def test_intervals_cover_clustered_images_where_the_naive_one_does_not(
    people: int, prompts: int, samples: int
) -> None:
    ours, naive = coverage(people, prompts, samples, (0.12, 0.08, 0.08))
    assert 0.92 <= ours <= 0.98
    assert naive < 0.5


def test_intervals_cover_when_only_people_or_only_prompts_differ() -> None:
    assert 0.92 <= coverage(8, 8, 2, (0.1, 0.0, 0.05))[0] <= 0.98
    assert 0.92 <= coverage(8, 8, 2, (0.0, 0.1, 0.05))[0] <= 0.98


PAIRS = [(person, prompt) for person in "abcdef" for prompt in "xyz"]


def test_same_seed_gives_the_same_interval_in_any_order() -> None:
    x = list(np.random.default_rng(0).normal(size=len(PAIRS)))
    assert estimate(x, PAIRS, seed=1) == estimate(x, PAIRS, seed=1)
    reverse = estimate(x[::-1], PAIRS[::-1], seed=1)
    forward = estimate(x, PAIRS, seed=1)
    assert reverse.mean == pytest.approx(forward.mean)
    assert reverse.high - reverse.low == pytest.approx(forward.high - forward.low, rel=0.1)  # type: ignore[operator]


def test_one_person_has_no_interval() -> None:
    found = estimate([0.1, 0.2, 0.3], [("a", p) for p in "xyz"], seed=0)
    assert (found.mean, found.low, found.high) == (pytest.approx(0.2), None, None)


def test_interval_of_a_share_stays_between_0_and_1() -> None:
    found = estimate([1.0] * 17 + [0.0], PAIRS, seed=0)
    assert found.high == 1.0
    assert 0 < found.low < found.mean  # type: ignore[operator]


def test_constant_values_have_an_interval_of_zero_width() -> None:
    found = estimate([0.5] * len(PAIRS), PAIRS, seed=0)
    assert (found.low, found.high, found.p) == (0.5, 0.5, 0.0)


def test_paired_difference_is_more_precise_than_two_intervals() -> None:
    rng = np.random.default_rng(2)
    hard = {pair: float(rng.normal()) for pair in PAIRS}
    one = {pair: hard[pair] + 0.1 + float(rng.normal(0, 0.02)) for pair in PAIRS}
    found = paired_difference(one, hard, seed=0)
    assert found is not None
    assert found.low is not None
    assert 0 < found.low < 0.1 < found.high  # type: ignore[operator]
    assert found.p is not None
    assert found.p < 0.01
    alone = estimate(list(one.values()), PAIRS, seed=0)
    assert alone.low < 0 < alone.high  # type: ignore[operator]


def test_paired_difference_changes_sign_with_its_arguments() -> None:
    one = {pair: float(i) for i, pair in enumerate(PAIRS)}
    other = {pair: float(i % 5) for i, pair in enumerate(PAIRS)}
    forward, reverse = paired_difference(one, other, seed=0), paired_difference(other, one, seed=0)
    assert forward is not None
    assert reverse is not None
    assert forward.mean == pytest.approx(-reverse.mean)
    assert forward.p == pytest.approx(reverse.p)


def test_only_shared_pairs_are_compared() -> None:
    found = paired_difference({("a", "x"): 1.0, ("b", "x"): 2.0}, {("b", "x"): 1.5}, seed=0)
    assert found is not None
    assert (found.mean, found.n) == (0.5, 1)
    assert paired_difference({("a", "x"): 1.0}, {("b", "x"): 1.5}, seed=0) is None


def test_samples_of_one_prompt_are_averaged() -> None:
    assert pair_means([1.0, 3.0, 5.0], [("a", "x"), ("a", "x"), ("b", "x")]) == {
        ("a", "x"): 2.0,
        ("b", "x"): 5.0,
    }


def test_holm_equals_hand_computed_values() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, 0.9]) == pytest.approx([1.0, 1.0])
    assert holm([]) == []


def test_jackknife_of_a_mean_is_the_t_interval() -> None:
    x = np.array([0.1, 0.4, 0.35, 0.8])
    without = [float(np.delete(x, i).mean()) for i in range(4)]
    found = jackknife(float(x.mean()), without)
    assert found is not None
    half = 3.182446 * x.std(ddof=1) / 2
    assert found == pytest.approx((x.mean() - half, x.mean() + half), rel=1e-5)
    assert jackknife(1.0, [1.0, 2.0]) is None


def by_person(values: np.ndarray) -> list[dict[str, list[float]]]:
    """Methods x people x images, as each method's scores by person."""
    return [{f"p{i}": list(person) for i, person in enumerate(method)} for method in values]


def test_kendalls_tau_equals_scipy_with_and_without_ties() -> None:
    rng = np.random.default_rng(0)
    x, y = (rng.integers(0, 4, (200, 6)).astype(float) for _ in range(2))
    x[0], y[1] = 1.0, 2.0
    expected = np.array([kendalltau(*rows).statistic for rows in zip(x, y, strict=True)])
    assert np.isnan(expected[:2]).all()
    np.testing.assert_allclose(kendall_tau(x, y), expected, atol=1e-12)


def test_same_order_has_tau_1_reverse_order_minus_1_and_half_reversed_0() -> None:
    means = np.arange(4.0)[:, None, None] + np.zeros((4, 3, 2))
    same = rank_agreement(by_person(means), by_person(10 * means), seed=0)
    assert (same.tau, same.low, same.high, same.methods, same.people) == (1.0, 1.0, 1.0, 4, 3)
    reverse = rank_agreement(by_person(means), by_person(-means), seed=0)
    assert (reverse.tau, reverse.low, reverse.high) == (-1.0, -1.0, -1.0)
    crossed = rank_agreement(by_person(means), by_person(means[[1, 3, 0, 2]]), seed=0)
    assert crossed.tau == pytest.approx(0.0)


def test_agreement_is_over_all_images_and_not_over_means_of_people() -> None:
    first = {"a": [0.9], "b": [0.1] * 9}
    second = {"a": [0.3], "b": [0.3] * 9}
    assert rank_agreement([first, second], [{"a": [0.0]}, {"a": [1.0]}], seed=0).tau == pytest.approx(1.0)


def test_interval_of_agreement_is_clustered_by_person() -> None:
    """More images of the same people do not narrow the interval."""
    rng = np.random.default_rng(4)
    of_person = rng.normal(0, 0.1, (2, 5, 6, 1))
    widths = []
    for images in (1, 50):
        scores = 0.05 * np.arange(5)[:, None, None] + of_person + rng.normal(0, 1e-3, (2, 5, 6, images))
        found = rank_agreement(by_person(scores[0]), by_person(scores[1]), seed=1)
        assert found.low is not None
        assert found.high is not None
        assert found.tau is not None
        assert found.low <= found.tau <= found.high
        widths.append(found.high - found.low)
    assert widths[1] > 0.8 * widths[0] > 0


def test_agreement_depends_on_seed_and_not_on_order_of_arguments() -> None:
    rng = np.random.default_rng(5)
    one, other = (by_person(rng.normal(size=(4, 6, 2))) for _ in range(2))
    found = rank_agreement(one, other, seed=3)
    assert found == rank_agreement(one, other, seed=3)
    assert (
        found.tau
        == rank_agreement(one[::-1], other[::-1], seed=3).tau
        == rank_agreement(other, one, seed=3).tau
    )


def test_agreement_without_two_ranked_methods_is_none() -> None:
    one = [{"a": [0.1], "b": [0.2]}, {"a": [0.3], "b": [0.4]}]
    assert rank_agreement(one[:1], one[:1], seed=0).tau is None
    assert rank_agreement(one, [one[0], one[0]], seed=0).tau is None
    assert rank_agreement([one[0], {}], one, seed=0).tau is None
    alone = rank_agreement([{"a": [0.1]}, {"a": [0.3]}], [{"a": [0.1]}, {"a": [0.3]}], seed=0)
    assert (alone.tau, alone.low, alone.high) == (1.0, None, None)
    with pytest.raises(ValueError, match="2 and 1 methods"):
        rank_agreement(one, one[:1], seed=0)
