import warnings

import numpy as np
import pytest

from metrics.statistics.verification import (
    PhotoPairs,
    area_under_curve,
    cosine,
    false_accepts,
    has_direction,
    match_rates,
    photo_pairs,
    threshold_at,
    wilson_interval,
)


def test_the_cosine_depends_on_the_angle_and_not_on_the_length() -> None:
    angle = 0.7
    turned = np.array([[np.cos(angle), np.sin(angle)]]) * 5
    assert cosine(np.array([[3.0, 0.0]]), turned)[0, 0] == pytest.approx(np.cos(angle))


def test_vectors_without_a_direction_have_no_cosine() -> None:
    undirected = np.array([[0.0, 0.0], [np.inf, 1.0], [np.nan, np.nan], [1e200, 1e200]])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert not has_direction(undirected[:3]).any()
        assert np.isnan(cosine(undirected[:3], np.array([[1.0, 0.0]]))).all()
    assert has_direction(np.array([[1.0, 0.0], [0.0, 1e-9]])).all()


def test_each_pair_of_photographs_is_compared_once() -> None:
    vectors = np.array([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]])
    found = photo_pairs(vectors, np.array(["ada", "ada", "bob"]))
    assert found.genuine.tolist() == [0.0]
    assert found.impostor.tolist() == [-1.0, 0.0]
    assert found.people.tolist() == [[0, 1], [0, 1]]


def test_photographs_without_a_face_make_no_pairs() -> None:
    vectors = np.array([[1.0, 0.0], [np.nan, np.nan], [0.0, 1.0]])
    found = photo_pairs(vectors, np.array(["ada", "ada", "bob"]))
    assert len(found.genuine) == 0
    assert found.impostor.tolist() == [0.0]


def some_people(people: int, each: int, rng: np.random.Generator) -> PhotoPairs:
    """People whose vectors differ by person much more than by photograph."""
    centres = rng.normal(size=(people, 16))
    vectors = np.repeat(centres, each, axis=0) + 0.5 * rng.normal(size=(people * each, 16))
    return photo_pairs(vectors, np.repeat([f"p{i:02}" for i in range(people)], each))


def test_genuine_pairs_are_closer_than_impostor_pairs() -> None:
    found = some_people(6, 5, np.random.default_rng(1))
    assert len(found.genuine) == 6 * 10
    assert len(found.impostor) == 15 * 25
    area = area_under_curve(found.genuine, found.impostor)
    assert area > 0.95
    assert area_under_curve(found.impostor, found.genuine) == pytest.approx(1 - area)


def test_the_false_accept_rate_is_that_of_people_left_out() -> None:
    """Two of eight people are look-alikes: without either, no other pair predicts that they are confused."""
    centres = np.eye(8)
    centres[1] = centres[0]
    vectors = np.repeat(centres, 4, axis=0) + 0.05 * np.random.default_rng(0).normal(size=(32, 8))
    pairs = photo_pairs(vectors, np.repeat(list("abcdefgh"), 4))
    found = false_accepts(pairs, 0.01)
    assert (found.people, found.people_pairs, found.photo_pairs) == (8, 28, 28 * 16)
    assert (pairs.impostor > found.threshold).mean() <= 0.01
    # Each of the two is confused with the other, one of seven people; for the six others about 1 % remains.
    assert found.rate == pytest.approx(2 * (1 / 7) / 8 + 0.01, abs=0.01)


def test_the_interval_of_the_false_accept_rate_covers_that_of_other_people() -> None:
    rng = np.random.default_rng(2)
    population = some_people(120, 2, rng)
    covered = []
    for _ in range(60):
        found = false_accepts(some_people(8, 8, rng), 0.01)
        assert found.low is not None
        assert found.high is not None
        covered.append(found.low <= (population.impostor > found.threshold).mean() <= found.high)
    assert np.mean(covered) >= 0.9


def test_few_people_have_no_interval_and_two_no_rate() -> None:
    rng = np.random.default_rng(3)
    few = false_accepts(some_people(4, 6, rng), 0.01)
    assert (few.rate is not None, few.low, few.high) == (True, None, None)
    assert false_accepts(some_people(2, 11, rng), 0.01).rate is None


def test_the_wilson_interval_agrees_with_published_values() -> None:
    """Newcombe (1998), Statistics in Medicine 17, table I, method 3."""
    assert wilson_interval(81 / 263, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert wilson_interval(0 / 20, 20) == pytest.approx((0.0, 0.1611), abs=5e-5)
    assert wilson_interval(1 / 29, 29) == pytest.approx((0.0061, 0.1718), abs=5e-5)


def test_the_match_rate_curve_counts_similarities_above_each_threshold() -> None:
    impostor = np.arange(100) / 100
    similarities = np.array([0.5, 0.955, 0.985, 0.995, np.nan])
    assert match_rates(similarities, impostor, [0.01, 0.05, 0.6]) == pytest.approx([0.2, 0.6, 0.8])
    assert np.isnan(match_rates(np.empty(0), impostor, [0.05])).all()
    with pytest.raises(ValueError, match="expected at least 1000"):
        match_rates(similarities, impostor, [0.001])


def test_no_more_impostors_exceed_the_threshold_than_allowed() -> None:
    impostor = np.random.default_rng(0).normal(size=1234)
    threshold = threshold_at(impostor, 0.01)
    assert 0.005 < (impostor > threshold).mean() <= 0.01


def test_too_few_pairs_give_no_threshold() -> None:
    with pytest.raises(ValueError, match="99 pairs of different people, expected at least 100"):
        threshold_at(np.zeros(99), 0.01)


def test_the_area_counts_ordered_pairs_and_half_of_ties() -> None:
    assert area_under_curve(np.array([3.0, 4.0]), np.array([1.0, 2.0])) == 1
    assert area_under_curve(np.array([1.0]), np.array([0.0, 1.0, 2.0])) == pytest.approx(0.5)
    with pytest.raises(ValueError, match="0 same"):
        area_under_curve(np.array([]), np.array([1.0]))
