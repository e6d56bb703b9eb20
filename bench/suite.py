"""A suite says what is compared: dataset, prompts, backbone and sampling, methods' settings, metrics."""

import re
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from bench.errors import SuiteError, nearest
from bench.prompts import SLOT, PromptCard, choose_cards
from bench.tables import read_table
from methods.interface import BackboneSpec

BUILT_IN: Final = Path(__file__).parent / "suites"
DEFAULT: Final = "tiny"
NO_BACKBONE: Final = "none"
"""As `backbone.path`: no backbone is opened, for methods that need none."""


@dataclass(frozen=True)
class DatasetSettings:
    """`[dataset]`: whose photographs, and how many of them a method may see."""

    kind: str
    """A name of `bench list datasets`."""
    path: str = ""
    """The folder of one directory per identity; relative to the suite file."""
    identities: int | None = None
    """How many people, drawn by the seed; all without it."""
    references: int = 4
    """Photographs each method sees."""
    held_out: int | None = None
    """Photographs it is judged by; all the others without it."""
    seed: int = 0
    """Draws the people, and splits their photographs."""
    noun: str = "person"
    """What a folder's subjects are; a rendered person knows its own."""
    caption: str = f"a photo of {SLOT}"
    """For a folder without captions."""


@dataclass(frozen=True)
class CardSettings:
    """`[[prompts.cards]]`: a prompt of the suite's own."""

    id: str
    template: str
    category: str = "free"
    asks: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class PromptSettings:
    """`[prompts]`: a built-in set, or a part of it, and cards of the suite's own."""

    set: str = "portrait"
    count: int | None = None
    """The first so many cards of the set."""
    ids: tuple[str, ...] = ()
    """Or these cards of the set."""
    recaptions: int = 0
    """So many captions of held-out photographs of each person."""
    cards: tuple[CardSettings, ...] = ()


@dataclass(frozen=True)
class Suite:
    """A suite file, read and checked. Tables that other rooms understand stay tables."""

    name: str
    dataset: DatasetSettings
    metrics: tuple[str, ...]
    about: str = ""
    seed: int = 0
    samples: int = 1
    """Pictures per person and prompt, each from its own noise."""
    prompts: PromptSettings = field(default_factory=PromptSettings)
    backbone: BackboneSpec = field(default_factory=BackboneSpec)
    methods: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Settings by method; `like = "loo-mean"` makes a further row of a known method."""
    encoders: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Settings by encoder, such as the path of its weights."""

    @property
    def cards(self) -> tuple[PromptCard, ...]:
        """The prompts that are the same for everybody."""
        chosen = choose_cards(self.prompts.set, count=self.prompts.count, ids=self.prompts.ids)
        own = tuple(PromptCard(c.id, c.template, c.category, c.asks) for c in self.prompts.cards)
        return chosen + own


@dataclass(frozen=True)
class SuiteFile:
    """A suite beside the text it was read from, which is copied into the run folder."""

    suite: Suite
    path: Path
    text: str


def suite_names() -> list[str]:
    """Names of the suites that ship with the package."""
    return sorted(path.stem for path in BUILT_IN.glob("*.toml"))


def open_suite(name: str) -> SuiteFile:
    """Read a built-in suite by its name or any other by its path."""
    path = Path(name) if name.endswith(".toml") else BUILT_IN / f"{name}.toml"
    if path.parent == BUILT_IN and not path.exists():
        raise SuiteError(
            f"unknown suite {name!r}; {nearest(name, suite_names())}; a suite file ends in .toml"
        )
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SuiteError(f"{path}: the suite file cannot be read ({error})") from error
    return SuiteFile(read_suite(text, path), path, text)


def read_suite(text: str, path: Path) -> Suite:
    """Parse and check a suite's text; `path` opens every message."""
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SuiteError(f"{path}: not TOML: {error}") from error
    suite = read_table(table, Suite, str(path))
    _check(suite, path)
    return suite


def _check(suite: Suite, path: Path) -> None:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*", suite.name):
        raise SuiteError(f"{path}: name = {suite.name!r}; wanted are letters, digits, '-', '_' and '.'")
    least: dict[str, tuple[int | None, int]] = {
        "samples": (suite.samples, 1),
        "dataset: references": (suite.dataset.references, 0),
        "dataset: held_out": (suite.dataset.held_out, 1),
        "dataset: identities": (suite.dataset.identities, 1),
        "prompts: recaptions": (suite.prompts.recaptions, 0),
    }
    for key, (value, minimum) in least.items():
        if value is not None and value < minimum:
            raise SuiteError(f"{path}: {key} = {value}; wanted is at least {minimum}")
    for kind in ("methods", "encoders"):
        for name, settings in getattr(suite, kind).items():
            if not isinstance(settings, dict):
                raise SuiteError(f"{path}: {kind}: {name} = {settings!r}; wanted is a table [{kind}.{name}]")
    ids = [card.id for card in suite.cards]
    for id in ids:
        if ids.count(id) > 1:
            raise SuiteError(f"{path}: two prompts are called {id!r}")
    if not ids and not suite.prompts.recaptions:
        raise SuiteError(f"{path}: no prompts; name a set, add cards, or ask for recaptions")
