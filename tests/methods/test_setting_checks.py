"""Checks of a method's settings against the types of its fields."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Annotated, Any, ClassVar, Literal

import pytest

from methods.errors import MethodError
from methods.setting_checks import Bounds, check_settings


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
    steps: Annotated[int, Bounds(1, 1000)] = 1
    share: Annotated[float, Bounds(0, 1)] | None = None


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"number": "many"}, "number is 'many'; expected a finite number"),
        ({"count": 1.5}, "count is 1.5; expected a whole number"),
        ({"count": True}, "count is True; expected a whole number"),
        ({"word": 3}, "word is 3; expected a text"),
        ({"choice": "c"}, "choice is 'c'; expected one of 'a', 'b'"),
        ({"maybe": "no"}, "maybe is 'no'; expected a finite number or nothing"),
        ({"several": "to_k"}, "several is 'to_k'; expected a list, each item a text"),
        ({"really": 1}, "really is 1; expected true or false"),
        ({"number": math.nan}, "number is nan; expected a finite number"),
        ({"maybe": math.inf}, "maybe is inf; expected a finite number or nothing"),
        ({"steps": 0}, "steps is 0; expected a whole number from 1 to 1,000"),
        ({"steps": 1001}, "steps is 1001; expected a whole number from 1 to 1,000"),
        ({"steps": True}, "steps is True; expected a whole number from 1 to 1,000"),
        ({"share": 1.5}, "share is 1.5; expected a number from 0 to 1 or nothing"),
        ({"share": math.nan}, "share is nan; expected a number from 0 to 1 or nothing"),
    ],
)
def test_setting_of_the_wrong_type_is_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(MethodError, match=message):
        check_settings(replace(Settings(), **settings))


def test_settings_of_the_right_types_are_accepted() -> None:
    check_settings(Settings(number=3, maybe=2, steps=1000, share=0, several=["a", "b"]))  # type: ignore[arg-type]  # as in a suite file
