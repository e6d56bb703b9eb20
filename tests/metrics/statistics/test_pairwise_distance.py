import numpy as np
import pytest

from metrics.statistics.pairwise_distance import mean_pairwise, mean_to_others, pairwise


def test_distances_are_squared_lengths() -> None:
    assert pairwise(np.array([[0.0, 0.0], [3.0, 4.0]])).tolist() == [[0, 25], [25, 0]]


def test_the_mean_over_pictures_is_the_mean_over_pairs() -> None:
    x = np.random.default_rng(0).normal(size=(6, 9))
    pairs = [np.square(x[i] - x[j]).sum() for i in range(6) for j in range(i)]
    assert mean_pairwise(x) == pytest.approx(np.mean(pairs))
    assert mean_to_others(x).mean() == pytest.approx(np.mean(pairs))


def test_like_pictures_far_from_the_origin_keep_their_digits() -> None:
    x = np.full((2, 1000), 100.0, np.float32)
    x[1, 0] += 0.25
    assert mean_pairwise(x) == pytest.approx(0.0625, rel=1e-6)


def test_equal_pictures_have_no_distance_and_one_has_no_pair() -> None:
    assert mean_pairwise(np.ones((4, 3))) == 0
    with pytest.raises(ValueError, match="not finite"):
        mean_pairwise(np.array([[1.0], [np.inf]]))
    with pytest.raises(ValueError, match="1 pictures make no pair"):
        mean_pairwise(np.ones((1, 3)))
