"""Array functions of the renderer."""

import numpy as np

from bench.synthetic.geometry.array_math import blend, bump, linear, smoothstep, unit, vector


def test_smoothstep_is_0_before_and_1_after_the_step_in_both_directions() -> None:
    assert smoothstep(1, 3, [0, 1, 2, 3, 4]).tolist() == [0, 0, 0.5, 1, 1]
    assert smoothstep(3, 1, [0, 2, 4]).tolist() == [1, 0.5, 0]


def test_unit_vectors_have_length_1_and_a_zero_vector_stays_zero() -> None:
    assert unit(np.array([[3.0, 4.0], [0.0, 0.0]])).tolist() == [[np.float32(0.6), np.float32(0.8)], [0, 0]]


def test_bump_has_height_1_at_its_centre() -> None:
    assert bump(2.0, 2.0, 0.5) == 1
    assert np.isclose(bump(2.5, 2.0, 0.5), np.exp(-1))


def test_linear_light_keeps_black_and_white() -> None:
    assert linear([0, 1]).tolist() == [0, 1]
    assert np.isclose(linear(0.5), 0.5**2.2)


def test_blend_is_linear_in_the_amount() -> None:
    under = np.zeros((2, 3), np.float32)
    assert blend(under, vector(1, 2, 4), np.array([0, 0.5], np.float32)).tolist() == [[0, 0, 0], [0.5, 1, 2]]
