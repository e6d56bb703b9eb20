"""Suites: which dataset, prompts, backbone, sampling, method settings and metrics a run compares."""

import re
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from bench.errors import SuiteError, nearest
from bench.suite.prompt_sets import choose_prompts
from bench.suite.prompts import SLOT, Prompt
from bench.suite.renamed_keys import with_present_names
from bench.suite.toml_schema import read_table
from bench.text_files import parse_toml, read_text, shortened
from bench.working_folder import working_folder
from methods.backbone.spec import BackboneSpec
from methods.setting_checks import Bounds, Count, CountOrZero

BUILT_IN: Final = Path(__file__).parent / "builtin"
Seed = Annotated[int, Bounds(0, 2**63 - 1)]
NO_BACKBONE: Final = "none"
"""Value of `backbone.path` that opens no backbone, for methods that need none."""


@dataclass(frozen=True)
class DatasetSettings:
    """`[dataset]`: which identities, and how their photographs are split."""

    kind: str
    """A name listed by `bench list datasets`."""
    path: str = ""
    """Folder of the dataset, relative to the suite file."""
    identities: Count | None = None
    """Number of identities to sample with the seed (default: all)."""
    references: CountOrZero = 4
    """Photographs per identity given to each method."""
    held_out: Count | None = None
    """Photographs per identity used for evaluation (default: all remaining)."""
    seed: Seed = 0
    """Samples the identities and splits their photographs."""
    noun: str = "person"
    """Class noun of a folder's subjects; other datasets provide their own."""
    caption: str = f"a photo of {SLOT}"
    """Caption of photographs without one."""
    partition: Literal["train", "valid", "test", "all"] = "test"
    """CelebA's partition; networks trained on `train` have not seen the people of `test`."""
    pictures: Literal["aligned", "in-the-wild"] = "aligned"
    """CelebA's image version; `in-the-wild` images are cropped to a square around the face."""
    min_photos: Count | None = None
    """Minimum number of photographs per person in CelebA (default: as many as the split needs)."""
    others: Annotated[int, Bounds(0, 10**9)] = 5000
    """Maximum number of photographs of unselected identities, used as real images by set metrics."""
    own_prompts: bool = False
    """Whether to add the prompts that the dataset provides (dreambench)."""

    @property
    def split_needs(self) -> int:
        """Minimum number of photographs for one split."""
        return self.references + (self.held_out or 1)

    @property
    def least_photos(self) -> int:
        """Minimum number of photographs of an identity that can be sampled."""
        return max(self.split_needs, self.min_photos or 0)


@dataclass(frozen=True)
class PromptSettings:
    """`[prompts]`: a built-in set or a part of it, and custom prompts."""

    set: str = "portrait"
    count: CountOrZero | None = None
    """Use only the first `count` prompts of the set."""
    ids: tuple[str, ...] = ()
    """Use only these prompts of the set."""
    recaptions: CountOrZero = 0
    """Number of captions of held-out photographs used as prompts, per identity."""
    priors: CountOrZero = 0
    """Number of class images without the subject per fit, for drift and bleed: the class prompts in turn."""
    custom: tuple[Prompt, ...] = ()
    """`[[prompts.custom]]`: prompts defined in the suite file."""


@dataclass(frozen=True)
class Sweep:
    """`[[sweep]]`: additional rows in which one setting takes each of several values."""

    methods: tuple[str, ...]
    """Methods of the catalogue or of `[methods]` to vary."""
    setting: str
    """A setting of the method, or `references`, `corruption`, `guidance` or `checkpoint` of the runner."""
    values: tuple[object, ...]
    """Numbers, strings or booleans."""

    def label(self, method: str, value: object) -> str:
        """`ip-adapter@scale=0.5`."""
        return f"{method}@{self.setting}={value}"


@dataclass(frozen=True)
class Needs:
    """`[needs]`: resources of a run, for `bench doctor` and readers; no image depends on them."""

    time: str = ""
    """Duration, hardware, and how the duration was determined."""
    disk: Annotated[float, Bounds(0, 10**9)] = 0.0
    """Final size of the run folder and of the cached features of its trained networks, in gigabytes."""
    gpu_memory: Annotated[float, Bounds(0, 10**6)] = 0.0
    """Required CUDA memory in gigabytes; 0 if a CPU is sufficient."""
    sources: dict[str, str] = field(default_factory=dict)
    """How to obtain a file, as a command or instruction, by a path in the suite or a hub id."""


@dataclass(frozen=True)
class Suite:
    """A parsed and checked suite file. `methods` and `encoders` stay dicts; other packages check them."""

    name: str
    dataset: DatasetSettings
    metrics: tuple[str, ...]
    about: str = ""
    seed: Seed = 0
    samples: Count = 1
    """Images per fit and prompt, each with its own noise."""
    fits: Count = 1
    """Fits of each identity by each method, each with its own seed."""
    prompts: PromptSettings = field(default_factory=PromptSettings)
    backbone: BackboneSpec = field(default_factory=BackboneSpec)
    methods: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Settings by method; `base = "loo-mean"` defines an additional row of a known method.

    `references = 2` gives the method only the first 2 photographs, `corruption = "blurred"` (or `occluded`,
    `wrong-person`) corrupts the last one, `guidance = 5.0` sets the guidance scale of the row, and
    `checkpoint = 100` generates with the state of the fit after 100 of its steps.
    """
    sweep: tuple[Sweep, ...] = ()
    rows: tuple[str, ...] | None = None
    """Rows selected by `--methods all` (default: the whole catalogue and all rows of this file)."""
    encoders: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Settings by encoder, such as the path of its weights."""
    needs: Needs = field(default_factory=Needs)

    @cached_property
    def settings(self) -> dict[str, dict[str, Any]]:
        """Settings by row, including the rows that the sweeps add."""
        rows = dict(self.methods)
        for sweep in self.sweep:
            for method in sweep.methods:
                base = {"base": method, **self.methods.get(method, {})}
                for value in sweep.values:
                    rows[sweep.label(method, value)] = {**base, sweep.setting: value}
        return rows

    @property
    def shared_prompts(self) -> tuple[Prompt, ...]:
        """The prompts used for all identities."""
        chosen = choose_prompts(self.prompts.set, count=self.prompts.count, ids=self.prompts.ids)
        return chosen + self.prompts.custom


@dataclass(frozen=True)
class SuiteFile:
    """A suite with its source text, which is copied into the run folder."""

    suite: Suite
    path: Path
    text: str
    start: Path | None = None
    """Where relative paths start, for a copy of a suite."""

    @property
    def base(self) -> Path:
        """Base of `dataset.path`: the working folder for a built-in suite, else the file's folder."""
        if self.start is not None:
            return self.start
        return working_folder() or Path() if self.path.parent == BUILT_IN else self.path.parent


def suite_names() -> list[str]:
    """Names of the suites that ship with the package."""
    return sorted(path.stem for path in BUILT_IN.glob("*.toml"))


def open_suite(name: str) -> SuiteFile:
    """Read a built-in suite by name, or a suite file by its path ending in `.toml`."""
    path = Path(name) if name.endswith(".toml") else BUILT_IN / f"{name}.toml"
    if path.parent == BUILT_IN and not path.exists():
        raise SuiteError(
            f"unknown suite {name!r}; {nearest(name, suite_names())}; a suite file ends in .toml"
        )
    text = read_text(path, SuiteError)
    return SuiteFile(read_suite(text, path), path, text)


def read_suite(text: str, path: Path) -> Suite:
    """Parse and check a suite's text; `path` starts every error message."""
    table = parse_toml(text, str(path), SuiteError)
    suite = read_table(with_present_names(table, str(path)), Suite, str(path))
    _check(suite, path)
    return suite


def _check(suite: Suite, path: Path) -> None:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}", suite.name):
        raise SuiteError(
            f"{path}: name = {shortened(suite.name)}; expected at most 128 letters, digits, '-', '_' and '.'"
        )
    noun = suite.dataset.noun
    if not noun.strip() or not noun.isprintable() or SLOT in noun:
        raise SuiteError(f"{path}: dataset: noun = {noun!r}; expected a noun such as 'woman'")
    if (suite.backbone.resolution or 0) % 8:
        raise SuiteError(
            f"{path}: backbone: resolution = {suite.backbone.resolution}; expected a multiple of 8"
        )
    for metric in suite.metrics:
        if suite.metrics.count(metric) > 1:
            raise SuiteError(f"{path}: metrics: {metric!r} is named twice; name it once")
    _check_sweeps(suite, path)
    ids = [prompt.id for prompt in suite.shared_prompts]
    for id in ids:
        if ids.count(id) > 1:
            raise SuiteError(f"{path}: two prompts have the id {id!r}; rename one")
    if not ids and not suite.prompts.recaptions and not suite.dataset.own_prompts:
        raise SuiteError(f"{path}: no prompts; choose a set, add custom prompts, or set recaptions")


def _check_sweeps(suite: Suite, path: Path) -> None:
    for sweep in suite.sweep:
        if nested := [value for value in sweep.values if isinstance(value, list | dict)]:
            raise SuiteError(
                f"{path}: sweep: values: {nested[0]!r}; expected a number, a string, true or false"
            )
