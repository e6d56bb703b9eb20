"""Checks of a method's settings against the types and bounds of its fields."""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Mapping, Sequence
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from methods.errors import MethodError

TYPE_NAMES = {
    int: "a whole number",
    float: "a number",
    str: "a text",
    bool: "true or false",
    type(None): "nothing",
}


def check_settings(method: Any) -> None:
    """Raise MethodError, naming the setting, where a dataclass field has a value of the wrong type."""
    hints = get_type_hints(type(method))
    for field in dataclasses.fields(method):
        value, expected = getattr(method, field.name), hints[field.name]
        if not _has_type(value, expected):
            raise MethodError(f"{method.name}: {field.name} is {value!r}; expected {_type_name(expected)}")


def check_bounds(method: Any, minima: Mapping[str, float]) -> None:
    """Raise MethodError, naming the setting, where a number is below its minimum."""
    for setting, minimum in minima.items():
        value = getattr(method, setting)
        if value is not None and not value >= minimum:
            raise MethodError(f"{method.name}: {setting} is {value}; expected at least {minimum:g}")


def _has_type(value: Any, expected: Any) -> bool:
    origin = get_origin(expected)
    if origin is Literal:
        return value in get_args(expected)
    if origin in (Union, types.UnionType):
        return any(_has_type(value, option) for option in get_args(expected))
    if origin is tuple:
        item_type = get_args(expected)[0]
        is_list = isinstance(value, Sequence) and not isinstance(value, str)
        return is_list and all(_has_type(item, item_type) for item in value)
    if isinstance(value, bool):
        return expected is bool
    return isinstance(value, (int, float) if expected is float else expected)


def _type_name(expected: Any) -> str:
    origin = get_origin(expected)
    if origin is Literal:
        return f"one of {', '.join(map(repr, get_args(expected)))}"
    if origin in (Union, types.UnionType):
        return " or ".join(_type_name(option) for option in get_args(expected))
    if origin is tuple:
        return f"a list, each item {_type_name(get_args(expected)[0])}"
    return TYPE_NAMES.get(expected, str(expected))
