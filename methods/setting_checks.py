"""A method's settings as a suite file gives them, checked against the types of their fields."""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Mapping, Sequence
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from methods.errors import MethodError

WORDS = {
    int: "a whole number",
    float: "a number",
    str: "a text",
    bool: "true or false",
    type(None): "nothing",
}


def check_settings(method: Any) -> None:
    """Raise MethodError, naming the setting, where a dataclass's field holds what its type does not allow."""
    hints = get_type_hints(type(method))
    for field in dataclasses.fields(method):
        value, wanted = getattr(method, field.name), hints[field.name]
        if not _fits(value, wanted):
            raise MethodError(f"{method.name}: {field.name} is {value!r}; wanted is {_words(wanted)}")


def check_bounds(method: Any, least: Mapping[str, float]) -> None:
    """Raise MethodError, naming the setting, where a number is below its least value."""
    for setting, bound in least.items():
        value = getattr(method, setting)
        if value is not None and not value >= bound:
            raise MethodError(f"{method.name}: {setting} is {value}; wanted at least {bound:g}")


def _fits(value: Any, wanted: Any) -> bool:
    origin = get_origin(wanted)
    if origin is Literal:
        return value in get_args(wanted)
    if origin in (Union, types.UnionType):
        return any(_fits(value, kind) for kind in get_args(wanted))
    if origin is tuple:
        one = get_args(wanted)[0]
        several = isinstance(value, Sequence) and not isinstance(value, str)
        return several and all(_fits(each, one) for each in value)
    if isinstance(value, bool):
        return wanted is bool
    return isinstance(value, (int, float) if wanted is float else wanted)


def _words(wanted: Any) -> str:
    origin = get_origin(wanted)
    if origin is Literal:
        return f"one of {', '.join(map(repr, get_args(wanted)))}"
    if origin in (Union, types.UnionType):
        return " or ".join(_words(kind) for kind in get_args(wanted))
    if origin is tuple:
        return f"a list, each of it {_words(get_args(wanted)[0])}"
    return WORDS.get(wanted, str(wanted))
