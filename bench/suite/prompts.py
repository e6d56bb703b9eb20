"""Prompts: templates with a slot for the subject, and the visible attributes they request."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from bench.errors import SuiteError
from bench.text_files import shortened

SLOT: Final = "{subject}"
PRIOR: Final = "prior"
"""Category of prompts without a slot: the class noun without the subject, generated after fitting."""
CLASS_TEMPLATES: Final = {
    "prior": "a photo of {class}",
    "prior-green": "a photo of {class}, green background",
    "prior-close-up": "a close-up photo of {class}, blue background",
}
"""Class prompts by id. Methods with prior preservation train on the first, and on none of the others."""


@dataclass(frozen=True)
class Prompt:
    """One prompt. The method fills the slot with its own words, a metric with the plain noun phrase."""

    id: str
    template: str
    category: str = "free"
    """`recaption` if the template is a held-out photograph's caption, `prior` if it has no slot; otherwise
    the aspect that the prompt varies."""
    expected_attributes: Mapping[str, str] = field(default_factory=dict)
    """Visible attributes that the prompt requests, in the words of the dataset's labels."""
    suits: Literal["", "live", "object"] = ""
    """The attribute `kind` (`live`, `object`) of the subjects that get the prompt; empty for all subjects."""

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,149}", self.id):
            raise SuiteError(
                f"prompt id {shortened(self.id)}: expected at most 150 letters, digits, '-', '_' and '.'"
            )
        if self.category == PRIOR and SLOT in self.template:
            raise SuiteError(
                f"prompt {self.id!r}: {shortened(self.template)}: a {PRIOR} prompt must not contain {SLOT}"
            )
        if self.category != PRIOR and self.template.count(SLOT) != 1:
            raise SuiteError(
                f"prompt {self.id!r}: {shortened(self.template)} must contain the slot {SLOT} once"
            )

    def text(self, phrase: str) -> str:
        """The template with `phrase` in the slot."""
        return self.template.replace(SLOT, phrase)


def recaption(number: int, template: str, expected_attributes: Mapping[str, str]) -> Prompt:
    """A held-out photograph's caption as a prompt, so that a real photograph exists for the same caption."""
    return Prompt(f"recaption-{number}", template, "recaption", expected_attributes)


def class_prompts(phrase: str) -> tuple[Prompt, ...]:
    """The prompts of a class without the subject, such as `a photo of a man`, for drift and bleed."""
    return tuple(
        Prompt(id, template.replace("{class}", phrase), PRIOR) for id, template in CLASS_TEMPLATES.items()
    )
