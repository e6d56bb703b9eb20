"""Checks of a method's settings against the types of its fields."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

import pytest

from methods.errors import MethodError
from methods.setting_checks import check_settings


@dataclass(frozen=True)
class Settings:
    name: ClassVar[str] = "settings"
    number: float = 1.0
    count: int = 1
    word: str = "x"
    choice: Literal["a", "b"] = "a"
    maybe: float | None = None
    several: tuple[str, ...] = ("x",)
    really: bool = False


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"number": "many"}, "number is 'many'; expected a number"),
        ({"count": 1.5}, "count is 1.5; expected a whole number"),
        ({"count": True}, "count is True; expected a whole number"),
        ({"word": 3}, "word is 3; expected a text"),
        ({"choice": "c"}, "choice is 'c'; expected one of 'a', 'b'"),
        ({"maybe": "no"}, "maybe is 'no'; expected a number or nothing"),
        ({"several": "to_k"}, "several is 'to_k'; expected a list, each item a text"),
        ({"really": 1}, "really is 1; expected true or false"),
    ],
)
def test_setting_of_the_wrong_type_is_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(MethodError, match=message):
        check_settings(replace(Settings(), **settings))


def test_settings_of_the_right_types_are_accepted() -> None:
    check_settings(Settings(number=3, maybe=2, several=["a", "b"]))  # type: ignore[arg-type]  # as in a suite file
