"""Prompts: what the methods are asked to draw, and which visible attributes that asks for."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from bench.errors import SuiteError

SLOT: Final = "{subject}"
PRIOR: Final = "prior"
"""The category of prompts without a slot: somebody else of the noun, drawn after fitting."""


@dataclass(frozen=True)
class Prompt:
    """One prompt. The method fills the slot with its own words, the metric with the plain noun phrase."""

    id: str
    template: str
    category: str = "free"
    """`recaption` where the template is a held-out photograph's caption, `prior` where it has no slot; else
    what the prompt varies."""
    expected_attributes: Mapping[str, str] = field(default_factory=dict)
    """Visible attributes the prompt asks for, in the words of the dataset's labels."""
    suits: str = ""
    """Only subjects whose attribute `kind` is this (`live`, `object`) get the prompt; empty for everybody."""

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*", self.id):
            raise SuiteError(f"prompt id {self.id!r}: letters, digits, '-', '_' and '.' make an id")
        if self.category == PRIOR and SLOT in self.template:
            raise SuiteError(f"prompt {self.id!r}: {self.template!r}: a {PRIOR} prompt has no slot {SLOT}")
        if self.category != PRIOR and self.template.count(SLOT) != 1:
            raise SuiteError(f"prompt {self.id!r}: {self.template!r} must hold the slot {SLOT} once")

    def text(self, phrase: str) -> str:
        """The prompt with a noun phrase in the subject's place."""
        return self.template.replace(SLOT, phrase)


def recaption(number: int, template: str, expected_attributes: Mapping[str, str]) -> Prompt:
    """A held-out photograph's caption as a prompt: a real picture stands beside each drawn one."""
    return Prompt(f"recaption-{number}", template, "recaption", expected_attributes)


def prior(phrase: str) -> Prompt:
    """Nobody in particular, such as `a photo of a man`: what has fitting done to everybody else?"""
    return Prompt("prior", f"a photo of {phrase}", PRIOR)
