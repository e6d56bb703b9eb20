import numpy as np
import pytest

from metrics.statistics.pairwise_distance import mean_to_others, squared_distances


def test_distances_are_squared_lengths() -> None:
    assert squared_distances(np.array([[0.0, 0.0], [3.0, 4.0]])).tolist() == [[0, 25], [25, 0]]


def test_the_mean_over_images_is_the_mean_over_pairs() -> None:
    x = np.random.default_rng(0).normal(size=(6, 9))
    pairs = [np.square(x[i] - x[j]).sum() for i in range(6) for j in range(i)]
    assert mean_to_others(x).mean() == pytest.approx(np.mean(pairs))


def test_similar_images_far_from_the_origin_keep_their_digits() -> None:
    x = np.full((2, 1000), 100.0, np.float32)
    x[1, 0] += 0.25
    assert mean_to_others(x) == pytest.approx(np.full(2, 0.0625), rel=1e-6)


def test_equal_images_have_no_distance_and_non_finite_ones_are_rejected() -> None:
    assert mean_to_others(np.ones((4, 3))).tolist() == [0, 0, 0, 0]
    with pytest.raises(ValueError, match="not finite"):
        mean_to_others(np.array([[1.0], [np.inf]]))
