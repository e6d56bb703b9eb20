import numpy as np
import pytest
from numpy.typing import NDArray

from metrics.frechet import frechet_distance, frechet_infinity

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


def test_a_shift_costs_its_squared_length() -> None:
    x = cloud(40, 20, 0)
    assert frechet_distance(x, x + 0.5) == pytest.approx(20 * 0.25, rel=1e-9)


def test_scaling_gives_the_closed_form() -> None:
    """With Y = 3 X, tr(S + 9 S - 2 * 3 S) = 4 tr S, and the means differ by twice the mean."""
    x = cloud(25, 60, 1, shift=0.2)
    expected = 4 * np.trace(np.cov(x, rowvar=False)) + 4 * np.square(x.mean(0)).sum()
    assert frechet_distance(x, 3 * x) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(("n", "m", "d"), [(20, 30, 64), (200, 150, 64), (64, 65, 64), (40, 300, 64)])
def test_it_equals_the_formula_with_the_root_of_the_product(n: int, m: int, d: int) -> None:
    x, y = cloud(n, d, 2), cloud(m, d, 3, shift=0.1)
    s, t = np.cov(x, rowvar=False), np.cov(y, rowvar=False)
    root = np.sqrt(np.linalg.eigvals(s @ t).astype(complex)).real.sum()
    expected = np.square(x.mean(0) - y.mean(0)).sum() + np.trace(s) + np.trace(t) - 2 * root
    assert frechet_distance(x, y) == pytest.approx(expected, rel=1e-5)


def test_it_is_symmetric_and_blind_to_order() -> None:
    x, y = cloud(30, 40, 4), cloud(35, 40, 5)
    shuffled = x[np.random.default_rng(0).permutation(30)]
    assert frechet_distance(x, y) == pytest.approx(frechet_distance(y, x), rel=1e-10)
    assert frechet_distance(shuffled, y) == pytest.approx(frechet_distance(x, y), rel=1e-10)


def test_a_collapsed_set_is_farther_than_a_varied_one() -> None:
    real = cloud(200, 32, 6)
    collapsed = np.repeat(real[:1], 200, axis=0)
    assert frechet_distance(collapsed, real) > 3 * frechet_distance(cloud(200, 32, 7), real)


def test_degenerate_clouds_stay_finite() -> None:
    same = np.ones((5, 10))
    assert frechet_distance(same, same) == 0
    assert np.isfinite(frechet_distance(same, cloud(5, 10, 8)))


def test_single_precision_features_are_computed_in_double() -> None:
    x, y = cloud(300, 64, 9, shift=100.0), cloud(300, 64, 10, shift=100.0)
    assert frechet_distance(x.astype(np.float32), y.astype(np.float32)) == pytest.approx(
        frechet_distance(x, y), rel=1e-4
    )


def test_wrong_input_is_refused() -> None:
    with pytest.raises(ValueError, match="at least two rows"):
        frechet_distance(np.ones((1, 4)), np.ones((5, 4)))
    with pytest.raises(ValueError, match="width 4 and 5"):
        frechet_distance(np.ones((3, 4)), np.ones((5, 5)))
    with pytest.raises(ValueError, match="not finite"):
        frechet_distance(np.full((3, 4), np.nan), np.ones((5, 4)))


def test_the_extrapolation_takes_most_of_the_small_sample_bias_away() -> None:
    d = 16
    real = cloud(20_000, d, 11)
    plain, infinite = [], []
    for seed in range(5):
        x = cloud(200, d, 100 + seed)
        plain.append(frechet_distance(x, real))
        infinite.append(frechet_infinity(x, real, rng=np.random.default_rng(seed)))
    assert abs(np.mean(infinite)) < 0.35 * np.mean(plain)


def test_the_extrapolation_is_seeded_and_refuses_few_pictures() -> None:
    x, y = cloud(60, 8, 12), cloud(60, 8, 13)
    first, second = (frechet_infinity(x, y, rng=np.random.default_rng(3)) for _ in range(2))
    assert first == second
    with pytest.raises(ValueError, match="at least 25"):
        frechet_infinity(x[:24], y, rng=np.random.default_rng(0))
