"""TOML tables are converted to dataclasses; unknown keys and wrong types are refused."""

from dataclasses import dataclass
from typing import Any, Literal

import pytest

from bench.errors import SuiteError
from bench.suite.toml_schema import read_table


@dataclass(frozen=True)
class Inner:
    id: str


@dataclass(frozen=True)
class Outer:
    count: int
    scale: float = 1.0
    limit: int | None = None
    mode: Literal["fast", "exact"] = "fast"
    items: tuple[Inner, ...] = ()
    offload: bool | Literal["model", "sequential"] = False


def test_nested_tables_lists_and_numbers_are_converted() -> None:
    table = {"count": 2, "scale": 3, "limit": 4, "mode": "exact", "items": [{"id": "a"}]}
    found = read_table(table, Outer, "x.toml")
    assert found == Outer(2, 3.0, 4, "exact", (Inner("a"),))
    assert isinstance(found.scale, float)


@pytest.mark.parametrize("value", [True, False, "model", "sequential"])
def test_switch_with_named_values_accepts_both(value: object) -> None:
    assert read_table({"count": 1, "offload": value}, Outer, "x.toml").offload == value


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({}, "x.toml: the key 'count' is missing"),
        ({"count": 1, "scael": 2}, "x.toml: unknown key 'scael'; did you mean 'scale'?"),
        ({"count": True}, "x.toml: count = True; expected an integer"),
        ({"count": 1, "scale": "2"}, "x.toml: scale = '2'; expected a number"),
        ({"count": 1, "mode": "slow"}, "x.toml: mode = 'slow'; known: exact, fast"),
        ({"count": 1, "offload": "sequental"}, "x.toml: offload = 'sequental'; did you mean 'sequential'?"),
        ({"count": 1, "offload": 1}, "x.toml: offload = 1; expected true or false"),
        ({"count": 1, "items": {}}, "x.toml: items = {}; expected a list"),
        ({"count": 1, "items": ["a"]}, "x.toml: items: 'a' is not a table"),
        ([], r"x.toml: \[\] is not a table"),
    ],
)
def test_invalid_table_is_refused_with_its_place(table: Any, message: str) -> None:
    with pytest.raises(SuiteError, match=message.replace("?", r"\?")):
        read_table(table, Outer, "x.toml")
