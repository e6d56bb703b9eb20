"""Rows that differ in `checkpoint` only are states of one fit."""

from __future__ import annotations

from typing import Any

import pytest
from fake_method import FakeMethod, FakeWithCheckpoints

from bench.errors import SuiteError
from bench.runs.shared_fits import check_checkpoint, longest_rows
from methods.errors import MethodError

SETTINGS: dict[str, dict[str, Any]] = {
    "lora": {"rank": 4},
    "lora@checkpoint=20": {"base": "lora", "rank": 4, "checkpoint": 20},
    "lora@checkpoint=40": {"base": "lora", "rank": 4, "checkpoint": 40},
    "other": {"base": "lora", "rank": 8, "checkpoint": 30},
    "two": {"base": "lora", "rank": 4, "references": 2},
    "plain@checkpoint=5": {"base": "plain", "checkpoint": 5},
}


def test_the_row_with_the_most_steps_of_a_fit_is_found() -> None:
    assert longest_rows([*SETTINGS, "plain"], SETTINGS) == {
        "lora": "lora",
        "lora@checkpoint=20": "lora",
        "lora@checkpoint=40": "lora",
        "other": "other",
        "two": "two",
        "plain": "plain",
        "plain@checkpoint=5": "plain",
    }


def test_only_the_given_rows_count() -> None:
    rows = ["lora@checkpoint=20", "lora@checkpoint=40"]
    assert longest_rows(rows, SETTINGS) == dict.fromkeys(rows, "lora@checkpoint=40")


@pytest.mark.parametrize("value", [0, -1, 2.5, "20", True])
def test_checkpoint_is_a_number_of_steps(value: object) -> None:
    with pytest.raises(SuiteError, match=r"methods: x: checkpoint = .* expected a number of steps"):
        longest_rows(["x"], {"x": {"checkpoint": value}})


def test_checkpoint_without_a_state_is_refused() -> None:
    check_checkpoint("x", 4, FakeWithCheckpoints())
    with pytest.raises(MethodError, match="x: checkpoint = 5, the fit has steps = 4"):
        check_checkpoint("x", 5, FakeWithCheckpoints())
    with pytest.raises(MethodError, match="x: fake has no checkpoints"):
        check_checkpoint("x", 1, FakeMethod())
