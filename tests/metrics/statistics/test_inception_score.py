import numpy as np
import pytest

from metrics.statistics.inception_score import inception_score, inception_score_uniform


def test_certain_and_varied_predictions_score_the_number_of_classes() -> None:
    p = np.tile(np.eye(10), (20, 1))
    assert inception_score(p).mean == pytest.approx(10)


def test_equal_predictions_score_one() -> None:
    p = np.tile(np.random.default_rng(0).dirichlet(np.ones(10)), (50, 1))
    assert inception_score(p).mean == pytest.approx(1)


def test_the_score_cannot_exceed_the_images_in_a_split() -> None:
    """With perfect predictions over 1000 classes, the maximum is N / splits."""
    p = np.eye(1000)[:100]
    for splits, expected in ((1, 100), (10, 10)):
        assert inception_score(p, splits).mean == pytest.approx(expected)


def test_splits_are_consecutive_and_their_spread_is_returned() -> None:
    p = np.concatenate([np.eye(4)[[0, 1, 2, 3]], np.eye(4)[[0, 0, 0, 0]]])
    score = inception_score(p, 2)
    assert score.mean == pytest.approx((4 + 1) / 2)
    assert score.std == pytest.approx(1.5)


def test_the_score_of_one_split_does_not_depend_on_order() -> None:
    p = np.random.default_rng(1).dirichlet(np.ones(7), 40)
    assert inception_score(p[::-1]).mean == pytest.approx(inception_score(p).mean)


def test_against_the_uniform_marginal_a_collapsed_set_scores_as_high_as_a_varied_one() -> None:
    varied, collapsed = np.tile(np.eye(5), (4, 1)), np.tile(np.eye(5)[:1], (20, 1))
    assert inception_score_uniform(varied) == pytest.approx(5)
    assert inception_score_uniform(collapsed) == pytest.approx(5)
    assert inception_score(collapsed).mean == pytest.approx(1)
    assert inception_score_uniform(np.full((3, 5), 0.2)) == pytest.approx(1)


def test_the_uniform_score_is_the_class_count_over_the_exponential_mean_entropy() -> None:
    p = np.random.default_rng(2).dirichlet(np.ones(6), 30)
    entropy = -(p * np.log(p)).sum(1).mean()
    assert inception_score_uniform(p) == pytest.approx(6 / np.exp(entropy))


def test_the_score_never_exceeds_the_uniform_score() -> None:
    p = np.random.default_rng(3).dirichlet(np.full(6, 0.3), 30)
    assert inception_score(p).mean <= inception_score_uniform(p)


def test_invalid_input_is_rejected() -> None:
    with pytest.raises(ValueError, match="9 images in 5 splits"):
        inception_score(np.eye(9), 5)
    with pytest.raises(ValueError, match="not probabilities"):
        inception_score(np.ones((10, 3)))
    with pytest.raises(ValueError, match="no images"):
        inception_score_uniform(np.empty((0, 3)))
