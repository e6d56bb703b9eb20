import numpy as np
import pytest
from numpy.typing import NDArray

from metrics.statistics.kernel import kernel_distance, squared_mmd


def normal(n: int, seed: int, shift: float = 0.0, d: int = 12) -> NDArray[np.float64]:
    return np.random.default_rng(seed).normal(size=(n, d)) + shift


def test_the_discrepancy_equals_the_published_formula() -> None:
    x, y = normal(5, 0), normal(7, 1)

    def k(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
        return float((a @ b / len(a) + 1) ** 3)

    xx = np.mean([k(x[i], x[j]) for i in range(5) for j in range(5) if i != j])
    yy = np.mean([k(y[i], y[j]) for i in range(7) for j in range(7) if i != j])
    xy = np.mean([k(a, b) for a in x for b in y])
    assert squared_mmd(x, y) == pytest.approx(xx + yy - 2 * xy)


def test_equal_sets_are_below_zero_and_samples_of_one_distribution_average_to_zero() -> None:
    x = normal(50, 2)
    assert squared_mmd(x, x) < 0
    values = [squared_mmd(normal(60, s), normal(60, 1000 + s)) for s in range(40)]
    assert abs(np.mean(values)) < 3 * np.std(values) / np.sqrt(40)


def test_the_discrepancy_grows_with_the_shift() -> None:
    near, far = (squared_mmd(normal(80, 3), normal(80, 4, shift)) for shift in (0.3, 1.0))
    assert 0 < near < far


def test_constant_sets_have_the_discrepancy_of_the_closed_form() -> None:
    """Two equal points per set: three values of the kernel."""
    x, y = np.tile([[1.0, 2.0]], (2, 1)), np.tile([[3.0, -1.0]], (2, 1))
    expected = (5 / 2 + 1) ** 3 + (10 / 2 + 1) ** 3 - 2 * (1 / 2 + 1) ** 3
    assert squared_mmd(x, y) == pytest.approx(expected)


def test_a_collapsed_set_is_more_distant_than_a_varied_one() -> None:
    real = normal(80, 11)
    assert squared_mmd(np.repeat(real[:1], 80, axis=0), real) > 5 * abs(squared_mmd(normal(80, 12), real))


def test_small_sets_are_compared_whole_for_any_seed() -> None:
    x, y = normal(40, 5), normal(50, 6)
    for seed in (0, 1):
        distance = kernel_distance(x, y, subset_size=100, rng=np.random.default_rng(seed))
        assert distance.value == pytest.approx(squared_mmd(x, y))
        assert distance.spread == 0


def test_subsets_are_seeded_and_average_to_the_whole_set() -> None:
    x, y = normal(200, 7), normal(200, 8, 0.2)
    first, second, other = (
        kernel_distance(x, y, subsets=60, subset_size=50, rng=np.random.default_rng(seed))
        for seed in (1, 1, 2)
    )
    assert first == second
    assert first.value != other.value
    assert first.value == pytest.approx(squared_mmd(x, y), abs=4 * first.spread / np.sqrt(60))


def test_the_discrepancy_is_symmetric_and_independent_of_order() -> None:
    x, y = normal(30, 9), normal(30, 10, 0.1)
    assert squared_mmd(x[::-1], y) == pytest.approx(squared_mmd(x, y), rel=1e-9)
    assert squared_mmd(y, x) == pytest.approx(squared_mmd(x, y), rel=1e-9)


def test_invalid_input_is_rejected() -> None:
    with pytest.raises(ValueError, match="two rows each"):
        kernel_distance(np.ones((1, 3)), np.ones((4, 3)), rng=np.random.default_rng(0))
    with pytest.raises(ValueError, match="not finite"):
        kernel_distance(np.full((4, 3), np.nan), np.ones((4, 3)), rng=np.random.default_rng(0))
    with pytest.raises(ValueError, match="one width"):
        kernel_distance(np.ones((4, 3)), np.ones((4, 2)), rng=np.random.default_rng(0))
