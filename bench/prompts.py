"""Prompt cards: what the methods are asked to draw, and which visible attributes that asks for."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from bench.errors import SuiteError, nearest

SLOT: Final = "{subject}"


@dataclass(frozen=True)
class PromptCard:
    """One prompt. The method fills the slot with its own words, the metric with the plain noun phrase."""

    id: str
    template: str
    category: str = "free"
    """`recaption` where the template is a held-out photograph's caption; else what the prompt varies."""
    asks: Mapping[str, str] = field(default_factory=dict)
    """Visible attributes the prompt asks for, in the words of the dataset's labels."""

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*", self.id):
            raise SuiteError(f"prompt id {self.id!r}: letters, digits, '-', '_' and '.' make an id")
        if self.template.count(SLOT) != 1:
            raise SuiteError(f"prompt {self.id!r}: {self.template!r} must hold the slot {SLOT} once")

    def text(self, phrase: str) -> str:
        """The prompt with a noun phrase in the subject's place."""
        return self.template.replace(SLOT, phrase)


def _card(id: str, category: str, clauses: str, **asks: str) -> PromptCard:
    return PromptCard(id, f"a photo of {SLOT}" + (f", {clauses}" if clauses else ""), category, asks)


PORTRAIT: Final = (
    _card("blue-background", "background", "blue background", background="blue"),
    _card("red-shirt", "shirt", "wearing a red shirt", shirt="red"),
    _card("black-glasses", "glasses", "wearing black glasses", glasses="black"),
    _card("laughing", "expression", "laughing", expression="laughing"),
    _card("turned-left", "pose", "turned left", pose="left"),
    _card("yellow-hat", "hat", "wearing a yellow hat", hat="yellow"),
    _card(
        "smiling-pink",
        "joined",
        "smiling, facing the camera, pink background",
        expression="smiling",
        pose="front",
        background="pink",
    ),
    _card(
        "green-shirt-grey",
        "joined",
        "wearing a green shirt, grey background",
        shirt="green",
        background="grey",
    ),
    _card("surprised", "expression", "surprised", expression="surprised"),
    _card("red-hat-white", "joined", "wearing a red hat, white background", hat="red", background="white"),
    _card("turned-right", "pose", "turned right", pose="right"),
    _card(
        "glasses-yellow",
        "joined",
        "smiling, wearing red glasses, yellow background",
        expression="smiling",
        glasses="red",
        background="yellow",
    ),
)
"""Portraits in the words of the rendered people's captions; the first cards cover every kind of attribute."""

PROMPT_SETS: Final[Mapping[str, tuple[PromptCard, ...]]] = {"portrait": PORTRAIT, "none": ()}


def choose_cards(name: str, *, count: int | None, ids: Sequence[str]) -> tuple[PromptCard, ...]:
    """The cards of a built-in set: those named by `ids`, else the first `count`, else all."""
    if name not in PROMPT_SETS:
        raise SuiteError(f"unknown prompt set {name!r}; {nearest(name, PROMPT_SETS)}")
    cards = {card.id: card for card in PROMPT_SETS[name]}
    for id in ids:
        if id not in cards:
            raise SuiteError(f"unknown prompt {id!r} in the set {name!r}; {nearest(id, cards)}")
    if ids:
        return tuple(cards[id] for id in ids)
    if count is not None and not 0 <= count <= len(cards):
        raise SuiteError(f"prompts: count = {count}, the set {name!r} holds {len(cards)}")
    return tuple(cards.values())[:count]


def recaption(number: int, template: str, asks: Mapping[str, str]) -> PromptCard:
    """A held-out photograph's caption as a prompt: a real picture stands beside each drawn one."""
    return PromptCard(f"recaption-{number}", template, "recaption", asks)
