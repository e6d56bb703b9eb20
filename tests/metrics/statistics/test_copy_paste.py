import numpy as np
import pytest

from metrics.statistics.copy_paste import copy_paste


def at(*degrees: float) -> np.ndarray:
    """Unit vectors in the plane."""
    angle = np.radians(degrees)
    return np.stack([np.cos(angle), np.sin(angle)], 1)


@pytest.mark.parametrize(
    ("image", "expected"),
    [(0, 1.0), (60, -1.0), (30, 0.0), (15, 0.5), (-20, 1.0), (80, -1.0), (45, -0.5)],
)
def test_one_reference_and_one_held_out_photograph_give_the_published_formula(
    image: float, expected: float
) -> None:
    """Reference at 0 degrees, target at 60: (angle to target - angle to reference) / 60."""
    assert copy_paste(at(image)[0] * 7, at(0), at(60)) == pytest.approx(expected)


@pytest.mark.parametrize("references", [1, 2, 4, 8])
def test_a_copy_of_any_reference_has_1(references: int) -> None:
    rng = np.random.default_rng(references)
    shown, unseen = rng.normal(size=(references, 16)), rng.normal(size=(8, 16))
    for row in shown:
        assert copy_paste(row, shown, unseen) == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("references", [1, 2, 4, 8])
def test_an_image_to_which_all_photographs_are_alike_has_0_on_average(references: int) -> None:
    rng = np.random.default_rng(10 + references)
    values = []
    for _ in range(1500):
        person = rng.normal(size=16)
        image, *photos = person + rng.normal(size=(1 + references + 8, 16))
        values.append(copy_paste(image, np.array(photos[:references]), np.array(photos[references:])))
    assert abs(np.mean(values)) < 3 * np.std(values) / np.sqrt(len(values))
    assert np.std(values) > 0.05


def test_a_held_out_photograph_that_equals_the_reference_has_0() -> None:
    assert copy_paste(at(20)[0], at(0), at(0)) == 0


def test_exchanging_references_and_held_out_photographs_inverts_the_sign() -> None:
    rng = np.random.default_rng(4)
    image, one, other = rng.normal(size=5), rng.normal(size=(1, 5)), rng.normal(size=(1, 5))
    assert copy_paste(image, one, other) == pytest.approx(-copy_paste(image, other, one))
