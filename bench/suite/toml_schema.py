"""Convert TOML tables to frozen dataclasses; unknown keys and wrong types are refused."""

import dataclasses
import types
import typing
from collections.abc import Mapping
from typing import Any, TypeVar

from bench.errors import SuiteError, nearest

T = TypeVar("T")


def read_table(table: object, cls: type[T], where: str) -> T:
    """Build `cls` from `table`; `where` starts the message of a SuiteError."""
    if not isinstance(table, Mapping):
        raise SuiteError(f"{where}: {table!r} is not a table")
    hints = typing.get_type_hints(cls)
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
            raise SuiteError(f"{where}: unknown key {key!r}; {nearest(key, known)}")


def _typed(value: Any, hint: Any, where: str) -> Any:
    if isinstance(hint, types.UnionType):
        choices = [choice for choice in typing.get_args(hint) if choice is not type(None)]
        return _typed(value, choices[0], where)
    origin = typing.get_origin(hint)
    if origin is tuple:
        return tuple(_typed(item, typing.get_args(hint)[0], where) for item in _list(value, where))
    if origin is typing.Literal:
        if value not in typing.get_args(hint):
            raise SuiteError(f"{where} = {value!r}; {nearest(str(value), map(str, typing.get_args(hint)))}")
        return value
    if dataclasses.is_dataclass(hint):
        return read_table(value, typing.cast("type[Any]", hint), where)
    return _plain(value, origin or hint, where)


def _plain(value: Any, expected: Any, where: str) -> Any:
    if expected is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    # bool is a subclass of int in Python, but `samples = true` is not a number.
    if not isinstance(value, expected) or (expected is int and isinstance(value, bool)):
        raise SuiteError(f"{where} = {value!r}; expected {_type_name(expected)}")
    return value


def _list(value: Any, where: str) -> list[Any]:
    if not isinstance(value, list):
        raise SuiteError(f"{where} = {value!r}; expected a list")
    return value


def _type_name(expected: Any) -> str:
    names = {str: "a string", int: "an integer", float: "a number", bool: "true or false"}
    return names.get(expected, "a table")
