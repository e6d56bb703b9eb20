"""A suite says what is compared: dataset, prompts, backbone and sampling, methods' settings, metrics."""

import re
import tomllib
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Final, Literal

from bench.errors import SuiteError, nearest
from bench.suite.prompt_sets import choose_prompts
from bench.suite.prompts import SLOT, Prompt
from bench.suite.renamed_keys import with_present_names
from bench.suite.toml_schema import read_table
from methods.backbone.spec import BackboneSpec

BUILT_IN: Final = Path(__file__).parent / "builtin"
DEFAULT: Final = "tiny"
NO_BACKBONE: Final = "none"
"""As `backbone.path`: no backbone is opened, for methods that need none."""


@dataclass(frozen=True)
class DatasetSettings:
    """`[dataset]`: whose photographs, and how many of them a method may see."""

    kind: str
    """A name of `bench list datasets`."""
    path: str = ""
    """The dataset's folder; relative to the suite file."""
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
    """For photographs without captions."""
    partition: Literal["train", "valid", "test", "all"] = "test"
    """CelebA's; what is trained on `train` has not seen who is tested."""
    pictures: Literal["aligned", "in-the-wild"] = "aligned"
    """CelebA's; in the wild, a square around the face is cut out."""
    min_photos: int | None = None
    """Of CelebA, only people with so many photographs; as many as the split needs without it."""
    others: int = 5000
    """So many photographs at most of everybody who is not chosen, as the real side of set metrics."""
    own_prompts: bool = False
    """Also the prompts that come with the dataset, where it brings some (dreambench)."""

    @property
    def split_needs(self) -> int:
        """Photographs that a person must have."""
        return self.references + (self.held_out or 1)

    @property
    def least_photos(self) -> int:
        """Photographs that a person must have to be among those that are drawn."""
        return max(self.split_needs, self.min_photos or 0)


@dataclass(frozen=True)
class CustomPrompt:
    """`[[prompts.custom]]`: a prompt of the suite's own."""

    id: str
    template: str
    category: str = "free"
    expected_attributes: dict[str, str] = field(default_factory=dict)
    suits: str = ""


@dataclass(frozen=True)
class PromptSettings:
    """`[prompts]`: a built-in set, or a part of it, and prompts of the suite's own."""

    set: str = "portrait"
    count: int | None = None
    """The first so many prompts of the set."""
    ids: tuple[str, ...] = ()
    """Or these prompts of the set."""
    recaptions: int = 0
    """So many captions of held-out photographs of each person."""
    priors: int = 0
    """So many pictures of somebody else per method and person, for prior drift and identity bleed."""
    custom: tuple[CustomPrompt, ...] = ()


@dataclass(frozen=True)
class Sweep:
    """`[[sweep]]`: for each of some rows, further ones in which one setting takes each of some values."""

    methods: tuple[str, ...]
    """Rows of the catalogue or of `[methods]`."""
    setting: str
    """A method's own, or the harness's `references`, `spoil` and `guidance`."""
    values: tuple[object, ...]
    """Numbers, texts, or true and false."""

    def label(self, method: str, value: object) -> str:
        """`ip-adapter@scale=0.5`."""
        return f"{method}@{self.setting}={value}"


@dataclass(frozen=True)
class Needs:
    """`[needs]`: what a run takes, for `bench doctor` and for people; no picture depends on it."""

    time: str = ""
    """How long it takes, on what, and how that is known."""
    disk: float = 0.0
    """Gigabytes that the run folder grows to."""
    gpu_memory: float = 0.0
    """Gigabytes of a CUDA device; 0 where a CPU will do."""
    sources: dict[str, str] = field(default_factory=dict)
    """By a path that the suite names or a hub id: the command or the words by which it is got."""


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
    """Settings by method; `like = "loo-mean"` makes a further row of a known method.

    `references = 2` shows it only the first so many photographs, `spoil = "blurred"` (or `occluded`,
    `wrong-person`) makes the last of them a bad one, `guidance = 5.0` draws by another guidance scale.
    """
    sweep: tuple[Sweep, ...] = ()
    rows: tuple[str, ...] | None = None
    """What `--methods all` stands for; the whole catalogue and all rows of this file without it."""
    encoders: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Settings by encoder, such as the path of its weights."""
    needs: Needs = field(default_factory=Needs)

    @cached_property
    def settings(self) -> dict[str, dict[str, Any]]:
        """Settings by row: those of `methods`, and the rows that the sweeps make of them."""
        rows = dict(self.methods)
        for sweep in self.sweep:
            for method in sweep.methods:
                base = {"base": method, **self.methods.get(method, {})}
                for value in sweep.values:
                    rows[sweep.label(method, value)] = {**base, sweep.setting: value}
        return rows

    @property
    def shared_prompts(self) -> tuple[Prompt, ...]:
        """The prompts that are the same for everybody."""
        chosen = choose_prompts(self.prompts.set, count=self.prompts.count, ids=self.prompts.ids)
        own = tuple(
            Prompt(c.id, c.template, c.category, c.expected_attributes, c.suits) for c in self.prompts.custom
        )
        return chosen + own


@dataclass(frozen=True)
class SuiteFile:
    """A suite beside the text it was read from, which is copied into the run folder."""

    suite: Suite
    path: Path
    text: str
    start: Path | None = None
    """Where relative paths start, for a copy of a suite."""

    @property
    def base(self) -> Path:
        """Where `dataset.path` starts: the working folder for a built-in suite, else the file's own."""
        if self.start is not None:
            return self.start
        return Path.cwd() if self.path.parent == BUILT_IN else self.path.parent


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
    suite = read_table(with_present_names(table, str(path)), Suite, str(path))
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
        "dataset: at_least": (suite.dataset.min_photos, 1),
        "dataset: others": (suite.dataset.others, 0),
        "prompts: recaptions": (suite.prompts.recaptions, 0),
        "prompts: priors": (suite.prompts.priors, 0),
    }
    for key, (value, minimum) in least.items():
        if value is not None and value < minimum:
            raise SuiteError(f"{path}: {key} = {value}; wanted is at least {minimum}")
    _check_rows(suite, path)
    ids = [prompt.id for prompt in suite.shared_prompts]
    for id in ids:
        if ids.count(id) > 1:
            raise SuiteError(f"{path}: two prompts are called {id!r}")
    if not ids and not suite.prompts.recaptions and not suite.dataset.own_prompts:
        raise SuiteError(f"{path}: no prompts; name a set, add prompts, or ask for recaptions")


def _check_rows(suite: Suite, path: Path) -> None:
    for sweep in suite.sweep:
        if odd := [value for value in sweep.values if isinstance(value, list | dict)]:
            raise SuiteError(f"{path}: sweep: values: {odd[0]!r}; wanted is a number, a text, true or false")
    for kind in ("methods", "encoders"):
        for name, settings in getattr(suite, kind).items():
            if not isinstance(settings, dict):
                raise SuiteError(f"{path}: {kind}: {name} = {settings!r}; wanted is a table [{kind}.{name}]")
