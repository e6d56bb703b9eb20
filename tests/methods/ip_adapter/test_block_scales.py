"""Scales by block: what diffusers would ignore or refuse is refused in one line."""

from __future__ import annotations

from typing import Any

import pytest

from methods.errors import MethodError
from methods.ip_adapter.block_scales import check_block_scales
from methods.ip_adapter.method import IPAdapter

BLOCKS = {"down.block_1": 2, "mid": 1, "up.block_0": 3}


@pytest.mark.parametrize(
    "scale",
    [
        0.5,
        {},
        {"up": 1},
        {"up": [1, 0, 0.5]},
        {"mid": [1.0]},
        {"down": {"block_1": [0.0, 1.0]}, "up": {"block_0": 0.5}},
        {"up": {"block_0": [1.0]}},
    ],
)
def test_forms_of_diffusers_are_accepted(scale: Any) -> None:
    check_block_scales("x", scale, BLOCKS)


@pytest.mark.parametrize(
    ("scale", "message"),
    [
        ({"left": 1.0}, r"x: scale of left is 1\.0; expected numbers from -100 to 100"),
        ({"up": "all"}, "scale of up is 'all'"),
        ({"up": {"block_0": True}}, r"scale of up\.block_0 is True"),
        ({"up": {"block_0": []}}, r"scale of up\.block_0 is \[\]"),
        ({"up": {"block_0": [1.0, float("nan")]}}, "nan"),
        ({"up": {"block_0": 101}}, "101"),
        ({"up": {"block_0": {"0": 1.0}}}, r"scale of up\.block_0 is {"),
        (
            {"up": {"block_1": 1.0}},
            r"scale of up\.block_1; this backbone has down\.block_1, mid, up\.block_0",
        ),
        ({"mid": {"block_0": 1.0}}, r"scale of mid\.block_0; this backbone has"),
        ({"down": {"block_1": [1, 2, 3]}}, r"has 3 numbers; down\.block_1 has 2 transformers"),
        ({"up": [1, 2]}, r"scale of up has 2 numbers; up\.block_0 has 3 transformers"),
        ({"mid": [1, 2]}, "scale of mid has 2 numbers; mid has 1 transformers"),
    ],
)
def test_other_scales_are_refused(scale: Any, message: str) -> None:
    with pytest.raises(MethodError, match=message) as caught:
        check_block_scales("x", scale, BLOCKS)
    assert "\n" not in str(caught.value)


def test_scales_without_a_backbone_are_checked_with_the_settings() -> None:
    IPAdapter(scale={"up": {"block_7": 1.0}})
    with pytest.raises(MethodError, match="ip-adapter: scale of left"):
        IPAdapter(scale={"left": 1.0})
    with pytest.raises(MethodError, match="scale is 'high'; expected a number from -100 to 100 or a table"):
        IPAdapter(scale="high")  # type: ignore[arg-type]
