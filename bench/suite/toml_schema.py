"""Convert TOML or JSON tables to frozen dataclasses; unknown keys, wrong types and values are refused.

A field's type may have bounds: `Annotated[int, Bounds(1, 1000)]`. Every number must be finite.
"""

import dataclasses
import math
import types
import typing
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, TypeVar

from bench.errors import SuiteError, nearest
from methods.setting_checks import Bounds

T = TypeVar("T")


def read_table(table: object, cls: type[T], where: str) -> T:
    """Build `cls` from `table`; `where` starts the message of a SuiteError."""
    if not isinstance(table, Mapping):
        raise SuiteError(f"{where}: {_short(table)} is not a table")
    hints = typing.get_type_hints(cls, include_extras=True)
    fields = {f.name: f for f in dataclasses.fields(cls)}  # type: ignore[arg-type]  # T is a dataclass
    refuse_unknown(table, fields, where)
    for name, f in fields.items():
        required = f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING
        if required and name not in table:
            raise SuiteError(f"{where}: the key {name!r} is missing")
    return cls(**{key: _typed(value, hints[key], f"{where}: {key}") for key, value in table.items()})


def refuse_unknown(table: Mapping[str, Any], known: Mapping[str, Any] | set[str], where: str) -> None:
    """Raise SuiteError for the first unknown key, naming the closest known one."""
    for key in table:
        if key not in known:
            raise SuiteError(f"{where}: unknown key {_short(key)}; {nearest(key, known)}")


def check_bounds(value: Any, hint: Any, where: str) -> None:
    """Raise SuiteError for a number outside the bounds of an annotated type."""
    for bounds in typing.get_args(hint)[1:]:
        if isinstance(bounds, Bounds) and not bounds.contains(value):
            raise SuiteError(f"{where} = {_short(value)}; expected a number {bounds}")


def _typed(value: Any, hint: Any, where: str) -> Any:
    origin = typing.get_origin(hint)
    if origin is Annotated:
        number = _typed(value, typing.get_args(hint)[0], where)
        check_bounds(number, hint, where)
        return number
    if origin in (types.UnionType, typing.Union):
        choices = [choice for choice in typing.get_args(hint) if choice is not type(None)]
        # JSON has null, TOML does not.
        return None if value is None else _typed(value, _choice(value, choices), where)
    if origin is tuple:
        return tuple(_typed(item, typing.get_args(hint)[0], where) for item in _list(value, where))
    if origin is typing.Literal:
        if value not in typing.get_args(hint):
            raise SuiteError(
                f"{where} = {_short(value)}; {nearest(str(value), map(str, typing.get_args(hint)))}"
            )
        return value
    if origin in (dict, Mapping):
        table = _plain(value, Mapping, where)
        return {
            key: _typed(inner, typing.get_args(hint)[1], f"{where}: {key}") for key, inner in table.items()
        }
    if dataclasses.is_dataclass(hint):
        return read_table(value, typing.cast("type[Any]", hint), where)
    if hint is Any or hint is object:
        return _finite(value, where)
    return _plain(value, hint, where)


def _choice(value: Any, choices: Sequence[Any]) -> Any:
    """The type of a union to check the value against: the named values for a text, else the first."""
    named = [choice for choice in choices if typing.get_origin(choice) is typing.Literal]
    return named[0] if named and isinstance(value, str) else choices[0]


def _plain(value: Any, expected: Any, where: str) -> Any:
    if expected is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value) if abs(value) < 1e300 else math.inf
    # bool is a subclass of int in Python, but `samples = true` is not a number.
    if not isinstance(value, expected) or (expected is int and isinstance(value, bool)):
        raise SuiteError(f"{where} = {_short(value)}; expected {_type_name(expected)}")
    if isinstance(value, str) and "\0" in value:
        raise SuiteError(f"{where} = {_short(value)}; expected a string without NUL characters")
    return _finite(value, where)


def _finite(value: Any, where: str) -> Any:
    """The value, if every number in it is finite."""
    if isinstance(value, float) and not math.isfinite(value):
        raise SuiteError(f"{where} = {value}; expected a finite number")
    for key, inner in value.items() if isinstance(value, Mapping) else ():
        _finite(inner, f"{where}: {key}")
    for inner in value if isinstance(value, list) else ():
        _finite(inner, where)
    return value


def _list(value: Any, where: str) -> list[Any]:
    if not isinstance(value, list):
        raise SuiteError(f"{where} = {_short(value)}; expected a list")
    return value


def _type_name(expected: Any) -> str:
    names = {str: "a string", int: "an integer", float: "a number", bool: "true or false"}
    return names.get(expected, "a table")


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
