"""Checks of settings against the types of their fields and their `Bounds`."""

from __future__ import annotations

import dataclasses
import math
import types
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from methods.errors import MethodError

TYPE_NAMES = {
    int: "a whole number",
    float: "a finite number",
    str: "a text",
    bool: "true or false",
    type(None): "nothing",
}


@dataclass(frozen=True)
class Bounds:
    """The least and the greatest value of a number: `steps: Annotated[int, Bounds(1, 1000)]`."""

    low: float
    high: float

    def __str__(self) -> str:
        return f"from {self.low:,} to {self.high:,}"

    def contains(self, value: float) -> bool:
        """Whether a number is within the bounds; nan is not."""
        return self.low <= value <= self.high


Count = Annotated[int, Bounds(1, 1_000_000)]
"""A number of steps, photographs, vectors."""
CountOrZero = Annotated[int, Bounds(0, 1_000_000)]
Rate = Annotated[float, Bounds(0, 100)]
"""A learning rate, a weight decay, the weight of a loss."""
Beta = Annotated[float, Bounds(0, 0.999999)]
"""A decay rate of Adam's moments."""
Share = Annotated[float, Bounds(0, 1)]
Scale = Annotated[float, Bounds(-100, 100)]
"""The weight of an adapter or LoRA in sampling; a negative one removes what was learned."""
DetectorSize = Annotated[int, Bounds(32, 8192)]
"""Pixels of the side to which a photograph is scaled for face detection."""


def check_settings(method: Any) -> None:
    """Raise MethodError, naming the setting, where a field has a value of the wrong type or range."""
    hints = get_type_hints(type(method), include_extras=True)
    for field in dataclasses.fields(method):
        value, expected = getattr(method, field.name), hints[field.name]
        if not _fits(value, expected):
            raise MethodError(f"{method.name}: {field.name} is {value!r}; expected {_type_name(expected)}")


def _fits(value: Any, expected: Any) -> bool:
    origin = get_origin(expected)
    if origin is Annotated:
        plain, *bounds = get_args(expected)
        return _fits(value, plain) and all(one.contains(value) for one in bounds if isinstance(one, Bounds))
    if origin is Literal:
        return value in get_args(expected)
    if origin in (Union, types.UnionType):
        return any(_fits(value, option) for option in get_args(expected))
    if origin is tuple:
        item_type = get_args(expected)[0]
        is_list = isinstance(value, Sequence) and not isinstance(value, str)
        return is_list and all(_fits(item, item_type) for item in value)
    if origin is dict:
        return isinstance(value, dict)
    if isinstance(value, bool):
        return expected is bool
    if expected is float:
        return isinstance(value, (int, float)) and math.isfinite(value)
    return isinstance(value, expected)


def _type_name(expected: Any) -> str:
    origin = get_origin(expected)
    if origin is Annotated:
        plain, *bounds = get_args(expected)
        name = TYPE_NAMES[plain].replace("finite ", "")
        return " ".join([name, *(str(one) for one in bounds if isinstance(one, Bounds))])
    if origin is Literal:
        return f"one of {', '.join(map(repr, get_args(expected)))}"
    if origin in (Union, types.UnionType):
        return " or ".join(_type_name(option) for option in get_args(expected))
    if origin is tuple:
        return f"a list, each item {_type_name(get_args(expected)[0])}"
    return "a table" if origin is dict else TYPE_NAMES.get(expected, str(expected))
