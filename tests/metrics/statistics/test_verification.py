import warnings

import numpy as np
import pytest

from metrics.statistics.verification import area_under_curve, cosine, mean_cosine, threshold_at, trials


def test_the_cosine_depends_on_the_angle_and_not_on_the_length() -> None:
    angle = 0.7
    turned = np.array([[np.cos(angle), np.sin(angle)]]) * 5
    assert cosine(np.array([[3.0, 0.0]]), turned)[0, 0] == pytest.approx(np.cos(angle))


def test_a_missing_face_has_no_cosine_and_does_not_affect_means() -> None:
    people = np.array([[1.0, 0.0], [np.nan, np.nan], [0.0, 1.0]])
    x = np.array([[1.0, 0.0], [np.nan, np.nan]])
    found = mean_cosine(x, people)
    assert found[0] == pytest.approx(0.5)
    assert np.isnan(found[1])
    assert np.isnan(mean_cosine(x[:1], people[1:2])).all()


def test_vectors_without_a_direction_have_no_cosine_and_do_not_affect_means() -> None:
    undirected = np.array([[0.0, 0.0], [np.inf, 1.0]])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert np.isnan(cosine(undirected, np.array([[1.0, 0.0]]))).all()
        found = mean_cosine(np.array([[1.0, 0.0]]), np.array([[np.inf, np.inf], [1.0, 0.0]]))
    assert found[0] == pytest.approx(1)


def test_swapping_genuine_and_impostor_trials_inverts_the_area() -> None:
    rng = np.random.default_rng(1)
    centres = np.eye(8)[:4]
    vectors = np.repeat(centres, 5, axis=0) + 0.2 * rng.normal(size=(20, 8))
    found = trials(vectors, np.repeat(["ada", "bob", "cleo", "dan"], 5))
    area = area_under_curve(found.genuine, found.impostor)
    assert area > 0.95
    assert area_under_curve(found.impostor, found.genuine) == pytest.approx(1 - area)
    order = rng.permutation(20)
    shuffled = trials(vectors[order], np.repeat(["ada", "bob", "cleo", "dan"], 5)[order])
    assert np.sort(shuffled.genuine) == pytest.approx(np.sort(found.genuine))
    assert np.sort(shuffled.impostor) == pytest.approx(np.sort(found.impostor))


def test_genuine_trials_exclude_the_photograph_itself() -> None:
    vectors = np.array([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]])
    found = trials(vectors, np.array(["ada", "ada", "bob"]))
    assert found.genuine.tolist() == [0.0, 0.0]
    assert sorted(found.impostor.tolist()) == pytest.approx([-1.0, -0.5, 0.0])


def test_trials_skip_photographs_without_a_face() -> None:
    vectors = np.array([[1.0, 0.0], [np.nan, np.nan], [0.0, 1.0]])
    found = trials(vectors, np.array(["ada", "ada", "bob"]))
    assert len(found.genuine) == 0
    assert found.impostor.tolist() == [0.0, 0.0]


def test_no_more_impostors_exceed_the_threshold_than_allowed() -> None:
    impostor = np.random.default_rng(0).normal(size=1234)
    threshold = threshold_at(impostor, 0.01)
    assert 0.005 < (impostor > threshold).mean() <= 0.01


def test_too_few_trials_give_no_threshold() -> None:
    with pytest.raises(ValueError, match="99 trials of different people, expected at least 100"):
        threshold_at(np.zeros(99), 0.01)


def test_the_area_counts_ordered_pairs_and_half_of_ties() -> None:
    assert area_under_curve(np.array([3.0, 4.0]), np.array([1.0, 2.0])) == 1
    assert area_under_curve(np.array([1.0]), np.array([0.0, 1.0, 2.0])) == pytest.approx(0.5)
    with pytest.raises(ValueError, match="0 same"):
        area_under_curve(np.array([]), np.array([1.0]))
