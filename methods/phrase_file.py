"""The file of a fit that contains the phrase for the subject in prompts."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from methods.errors import MethodError

PHRASE: Final = "phrase.txt"


def write_phrase(into: Path, phrase: str) -> None:
    """Write the phrase, such as `sks man`, to a fit's folder."""
    (into / PHRASE).write_text(phrase, encoding="utf-8")


def read_phrase(fitted: Path) -> str:
    """Return what `write_phrase` wrote; raises MethodError where it cannot be read."""
    try:
        return (fitted / PHRASE).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise MethodError(f"{fitted}: no readable {PHRASE}; fit the person again") from error
