"""Colours and shapes of methods."""

from itertools import combinations

import numpy as np
import numpy.typing as npt
import pytest
from fake_run import cell, finished_run

from bench.report.drawing.method_styles import BASELINE_STYLE, PALETTE, method_styles

Rows = npt.NDArray[np.float64]
NORMAL = np.eye(3)
BLINDNESS = {
    # Machado, Oliveira and Fernandes (2009), severity 1.
    "protanopia": [[0.152, 1.053, -0.205], [0.115, 0.786, 0.099], [-0.004, -0.048, 1.052]],
    "deuteranopia": [[0.367, 0.861, -0.228], [0.280, 0.673, 0.047], [-0.012, 0.043, 0.969]],
    "tritanopia": [[1.256, -0.077, -0.179], [-0.078, 0.931, 0.148], [0.005, 0.691, 0.304]],
}
TO_XYZ = np.array([[0.4125, 0.3576, 0.1804], [0.2127, 0.7152, 0.0722], [0.0193, 0.1192, 0.9503]])


def linear(color: str) -> Rows:
    values = np.array([int(color[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return np.asarray(np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4))


def lab(rgb: Rows) -> Rows:
    xyz = TO_XYZ @ np.clip(rgb, 0, 1) / (TO_XYZ @ np.ones(3))
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


@pytest.mark.parametrize("background", ["#ffffff", "#15181c"])
def test_colours_stand_out_from_the_page(background: str) -> None:
    for color in PALETTE:
        darker, lighter = sorted(TO_XYZ[1] @ linear(c) for c in (color, background))
        assert (lighter + 0.05) / (darker + 0.05) >= 3, color


@pytest.mark.parametrize("kind", BLINDNESS)
def test_colours_differ_for_people_with_colour_blindness(kind: str) -> None:
    matrix = np.array(BLINDNESS[kind])
    for one, other in combinations((*PALETTE, BASELINE_STYLE.color), 2):
        assert np.linalg.norm(lab(matrix @ linear(one)) - lab(matrix @ linear(other))) > 14, (one, other)


@pytest.mark.parametrize("count", [1, 6, 12])
def test_methods_have_different_styles_and_rows_of_a_sweep_the_same(count: int) -> None:
    names = [f"m{i}" for i in range(count)]
    rows = ["text-only", *names, "m0@scale=0.5", "text-only@guidance=2.0"]
    styles = method_styles(finished_run((), [cell(name, "ada", "p0") for name in rows], []))
    assert len({styles[name] for name in names}) == count
    assert styles["m0@scale=0.5"] == styles["m0"]
    assert styles["text-only@guidance=2.0"] == styles["text-only"] == BASELINE_STYLE
