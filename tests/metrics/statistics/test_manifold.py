import numpy as np
import pytest
from numpy.typing import NDArray

from metrics.statistics.manifold import manifold


def cloud(n: int, seed: int, scale: float = 1.0, shift: float = 0.0) -> NDArray[np.float64]:
    return np.random.default_rng(seed).normal(size=(n, 4)) * scale + shift


def test_a_collapsed_set_has_high_precision_and_low_recall() -> None:
    found = manifold(cloud(100, 0, scale=0.05), cloud(100, 1), k=3)
    assert found.precision > 0.95
    assert found.recall < 0.15
    assert found.coverage < 0.5


def test_a_set_that_is_too_wide_has_high_recall_and_low_precision() -> None:
    found = manifold(cloud(100, 2), cloud(100, 3, scale=0.05), k=3)
    assert found.precision < 0.15
    assert found.recall > 0.95


def test_equal_distributions_score_high_and_distant_ones_zero() -> None:
    same = manifold(cloud(300, 4), cloud(300, 5), k=5)
    assert min(same.precision, same.recall, same.coverage) > 0.8
    assert same.density == pytest.approx(1, abs=0.2)
    far = manifold(cloud(50, 6, shift=100.0), cloud(50, 7), k=5)
    assert (far.precision, far.recall, far.density, far.coverage) == (0, 0, 0, 0)


def test_shares_equal_a_case_counted_by_hand() -> None:
    """Real balls with k = 1 reach from 0 to 1, from 1 to 0 and from 5 to 1 (radius 4)."""
    found = manifold(np.array([[0.5], [20.0]]), np.array([[0.0], [1.0], [5.0]]), k=1)
    assert found.precision == 0.5
    assert found.recall == 1.0
    assert found.density == 2 / 2
    assert found.coverage == 2 / 3


def test_shares_equal_the_published_definitions() -> None:
    x, y, k = cloud(25, 10), cloud(20, 11, shift=0.5), 4

    def far(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
        return float(np.linalg.norm(a - b))

    def radius(rows: NDArray[np.float64], i: int) -> float:
        return sorted(far(rows[i], rows[j]) for j in range(len(rows)) if j != i)[k - 1]

    balls_x, balls_y = [radius(x, i) for i in range(25)], [radius(y, j) for j in range(20)]
    found = manifold(x, y, k=k)
    around_x = list(zip(x, balls_x, strict=True))
    around_y = list(zip(y, balls_y, strict=True))
    assert found.precision == np.mean([any(far(a, b) <= r for b, r in around_y) for a in x])
    assert found.recall == np.mean([any(far(a, b) <= r for a, r in around_x) for b in y])
    inside = [sum(far(a, b) <= r for b, r in around_y) for a in x]
    assert found.density == pytest.approx(np.mean(inside) / k)
    assert found.coverage == np.mean([min(far(a, b) for a in x) <= r for b, r in around_y])


def test_swapping_the_sets_swaps_only_precision_and_recall() -> None:
    x, y = cloud(60, 12, scale=0.3), cloud(80, 13)
    one, other = manifold(x, y, k=3), manifold(y, x, k=3)
    assert (one.precision, one.recall) == (other.recall, other.precision)
    assert (one.density, one.coverage) != (other.density, other.coverage)


def test_repeated_rows_are_inside_their_own_balls() -> None:
    """Photographs that occur five times have balls of radius 0, which contain their copies."""
    real = np.repeat(cloud(6, 14, shift=100.0), 5, axis=0)
    found = manifold(real, real, k=3)
    assert (found.precision, found.recall, found.coverage) == (1, 1, 1)
    assert found.density == pytest.approx(5 / 3)


def test_order_does_not_matter_and_too_few_rows_are_rejected() -> None:
    x, y = cloud(30, 8), cloud(30, 9)
    assert manifold(x[::-1], y[::-1], k=3) == manifold(x, y, k=3)
    with pytest.raises(ValueError, match="more than k = 3"):
        manifold(x[:3], y, k=3)
    with pytest.raises(ValueError, match="not finite"):
        manifold(np.where(x > 1, np.nan, x), y, k=3)
