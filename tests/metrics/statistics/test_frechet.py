import warnings

import numpy as np
import pytest
from numpy.typing import NDArray

from metrics.statistics.frechet import effective_dimension, frechet_distance, frechet_infinity

Cloud = NDArray[np.float64]


def cloud(n: int, d: int, seed: int, shift: float = 0.0) -> Cloud:
    rng = np.random.default_rng(seed)
    scale = 1 / np.sqrt(1 + np.arange(d))
    return (
        rng.normal(size=(n, d)) * scale @ np.linalg.qr(np.random.default_rng(99).normal(size=(d, d)))[0]
        + shift
    )


def test_the_distance_of_a_set_to_itself_is_zero() -> None:
    x = cloud(30, 50, 0)
    assert frechet_distance(x, x) == pytest.approx(0, abs=1e-9)
    assert frechet_distance(x, x) >= 0


def test_a_shift_adds_its_squared_length() -> None:
    x = cloud(40, 20, 0)
    assert frechet_distance(x, x + 0.5) == pytest.approx(20 * 0.25, rel=1e-9)


def test_scaling_gives_the_closed_form() -> None:
    """With Y = 3 X, tr(S + 9 S - 2 * 3 S) = 4 tr S, and the means differ by twice the mean."""
    x = cloud(25, 60, 1, shift=0.2)
    expected = 4 * np.trace(np.cov(x, rowvar=False)) + 4 * np.square(x.mean(0)).sum()
    assert frechet_distance(x, 3 * x) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(("n", "m", "d"), [(20, 30, 64), (200, 150, 64), (64, 65, 64), (40, 300, 64)])
def test_the_distance_equals_the_formula_with_the_root_of_the_product(n: int, m: int, d: int) -> None:
    x, y = cloud(n, d, 2), cloud(m, d, 3, shift=0.1)
    s, t = np.cov(x, rowvar=False), np.cov(y, rowvar=False)
    root = np.sqrt(np.linalg.eigvals(s @ t).astype(complex)).real.sum()
    expected = np.square(x.mean(0) - y.mean(0)).sum() + np.trace(s) + np.trace(t) - 2 * root
    assert frechet_distance(x, y) == pytest.approx(expected, rel=1e-5)


def test_the_distance_is_symmetric_and_independent_of_order() -> None:
    x, y = cloud(30, 40, 4), cloud(35, 40, 5)
    shuffled = x[np.random.default_rng(0).permutation(30)]
    assert frechet_distance(x, y) == pytest.approx(frechet_distance(y, x), rel=1e-10)
    assert frechet_distance(shuffled, y) == pytest.approx(frechet_distance(x, y), rel=1e-10)


def test_a_collapsed_set_is_more_distant_than_a_varied_one() -> None:
    real = cloud(200, 32, 6)
    collapsed = np.repeat(real[:1], 200, axis=0)
    assert frechet_distance(collapsed, real) > 3 * frechet_distance(cloud(200, 32, 7), real)


def degenerate() -> dict[str, Cloud]:
    """Sets with a singular, tiny or huge covariance."""
    x = cloud(40, 24, 8)
    return {
        "constant": np.full((40, 24), 3.0),
        "zero": np.zeros((40, 24)),
        "duplicated": np.repeat(x[:4], 10, axis=0),
        "two rows": x[:2],
        "of rank three": x[:, :3] @ np.random.default_rng(0).normal(size=(3, 24)),
        "one dead column": x * (np.arange(24) != 5),
        "tiny": x * 1e-150,
        "huge": x * 1e100,
        "single precision": x.astype(np.float32),
        "half precision": x.astype(np.float16),
        "whole": x,
    }


@pytest.mark.parametrize("one", degenerate())
@pytest.mark.parametrize("other", degenerate())
def test_degenerate_sets_give_a_finite_distance_of_at_least_zero(one: str, other: str) -> None:
    x, y = degenerate()[one], degenerate()[other]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        distance = frechet_distance(x, y)
    assert type(distance) is float
    assert np.isfinite(distance)
    assert distance >= 0
    if one == other:
        assert distance <= 1e-9 * (np.square(x, dtype=np.float64).sum() + 1e-300)


def test_the_distance_of_a_constant_set_equals_the_closed_form() -> None:
    """Without spread, the root of the product is 0: what remains is the other's spread and the shift."""
    x, point = cloud(40, 24, 8), np.full((5, 24), 3.0)
    expected = np.square(x.mean(0) - 3).sum() + np.trace(np.cov(x, rowvar=False))
    assert frechet_distance(x, point) == pytest.approx(expected, rel=1e-12)


def test_duplicating_every_row_changes_only_the_divisor() -> None:
    x, y = cloud(30, 50, 1), cloud(30, 50, 2)
    twice = np.repeat(x, 2, axis=0)
    narrowed = x.mean(0) + (x - x.mean(0)) * np.sqrt(2 * 29 / 59)
    assert frechet_distance(twice, y) == pytest.approx(frechet_distance(narrowed, y), rel=1e-10)


def test_single_precision_features_are_computed_in_double() -> None:
    x, y = cloud(300, 64, 9, shift=100.0), cloud(300, 64, 10, shift=100.0)
    assert frechet_distance(x.astype(np.float32), y.astype(np.float32)) == pytest.approx(
        frechet_distance(x, y), rel=1e-4
    )


def test_invalid_input_is_rejected() -> None:
    with pytest.raises(ValueError, match="at least two rows"):
        frechet_distance(np.ones((1, 4)), np.ones((5, 4)))
    with pytest.raises(ValueError, match="width 4 and 5"):
        frechet_distance(np.ones((3, 4)), np.ones((5, 5)))
    for number in (np.nan, np.inf):
        with pytest.raises(ValueError, match="not finite"):
            frechet_distance(np.full((3, 4), number), np.ones((5, 4)))
    with np.errstate(over="ignore", invalid="ignore"), pytest.raises(ValueError, match="squares are not"):
        frechet_distance(cloud(5, 4, 0) * 1e200, cloud(5, 4, 1))


def test_the_extrapolation_removes_most_of_the_small_sample_bias() -> None:
    d = 16
    real = cloud(20_000, d, 11)
    plain, infinite = [], []
    for seed in range(5):
        x = cloud(200, d, 100 + seed)
        plain.append(frechet_distance(x, real))
        infinite.append(frechet_infinity(x, real, rng=np.random.default_rng(seed)))
    assert abs(np.mean(infinite)) < 0.35 * np.mean(plain)


def test_the_extrapolation_is_over_the_size_of_the_first_set() -> None:
    """With swapped arguments, the few rows of the other set keep their bias."""
    few, many = cloud(100, 16, 14), cloud(3000, 16, 15)
    right = frechet_infinity(few, many, rng=np.random.default_rng(0))
    swapped = frechet_infinity(many, few, rng=np.random.default_rng(0))
    plain = frechet_distance(few, many)
    assert abs(right) < 0.4 * plain
    assert swapped == pytest.approx(plain, rel=0.1)


def test_the_extrapolation_recovers_a_known_distance() -> None:
    """Two large sets that differ by a shift: its squared length, for any number of rows."""
    real = cloud(20_000, 16, 16)
    found = [
        frechet_infinity(cloud(300, 16, 200 + seed, shift=0.3), real, rng=np.random.default_rng(seed))
        for seed in range(8)
    ]
    assert np.mean(found) == pytest.approx(16 * 0.09, rel=0.05)


def test_the_effective_dimension_counts_directions_of_variation() -> None:
    even = np.concatenate([np.eye(6), -np.eye(6)])
    assert effective_dimension(even) == pytest.approx(6)
    assert effective_dimension(even * [1, 1, 1, 0, 0, 0]) == pytest.approx(3)
    assert effective_dimension(np.ones((4, 3))) == 0
    # Deviations 1 and 1/3: (4/3)^2 / (10/9).
    assert effective_dimension(even[:, :2] * [1, 1 / 3]) == pytest.approx(1.6)


def test_too_few_rows_for_the_effective_dimension_are_not_extrapolated() -> None:
    """Most of the bias would remain: about four fifths with 60 rows of width 256."""
    x, real = cloud(60, 256, 17), cloud(1000, 256, 18)
    with pytest.raises(ValueError, match=r"60 rows, expected at least \d{3} to extrapolate"):
        frechet_infinity(x, real, rng=np.random.default_rng(0))


def test_the_extrapolation_is_seeded_and_rejects_few_rows() -> None:
    x, y = cloud(60, 8, 12), cloud(60, 8, 13)
    first, second = (frechet_infinity(x, y, rng=np.random.default_rng(3)) for _ in range(2))
    assert first == second
    with pytest.raises(ValueError, match="at least 25"):
        frechet_infinity(x[:24], y, rng=np.random.default_rng(0))


def test_leaving_rows_out_keeps_the_random_subsets() -> None:
    """New subsets for each set would make the spread of leave-one-out values several times too wide."""
    people, each = 16, 12
    x, y = cloud(people * each, 16, 17), cloud(1000, 16, 18)
    person = np.repeat(np.arange(people), each)
    whole = frechet_infinity(x, y, rng=np.random.default_rng(0))
    everything = np.ones(len(x), np.bool_)
    assert frechet_infinity(x, y, rng=np.random.default_rng(0), rest=everything) == whole
    kept = [frechet_infinity(x, y, rng=np.random.default_rng(0), rest=person != i) for i in range(people)]
    redrawn = [frechet_infinity(x[person != i], y, rng=np.random.default_rng(0)) for i in range(people)]
    assert np.std(kept) < 0.6 * np.std(redrawn)
    assert np.mean(kept) == pytest.approx(whole, abs=3 * np.std(kept))
