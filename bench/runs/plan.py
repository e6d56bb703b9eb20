"""The plan of a run: all images to generate, each with an id and a seed."""

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from itertools import groupby
from typing import Final

from bench.errors import SuiteError
from bench.subjects.identity import Identity
from bench.suite.prompts import PRIOR, Prompt
from bench.suite.suite import Suite

MAX_IMAGES: Final = 2_000_000
"""Images of a plan, which takes 1.2 KB of memory for each."""


@dataclass(frozen=True)
class Cell:
    """One planned image: method, identity, prompt and sample number.

    The samples of a prompt are numbered through all fits: with two samples per fit, s3 is the second fit's
    first.
    """

    method: str
    identity: str
    prompt: Prompt
    sample: int
    seed: int
    fit: int = 1
    """Number of the fit that generates the image, from 1."""

    @property
    def id(self) -> str:
        """`dreambooth-lora/ada/red-hat/s1`."""
        return f"{self.method}/{self.identity}/{self.prompt.id}/s{self.sample}"


@dataclass(frozen=True)
class Group:
    """All images of one fit of one identity by one method: fitted once, generated in batches."""

    method: str
    identity: str
    cells: tuple[Cell, ...]
    fit: int = 1
    """Number of the fit, from 1."""


@dataclass(frozen=True)
class Plan:
    """All cells of a run, and the selection to generate now."""

    groups: tuple[Group, ...]
    selected_ids: frozenset[str]
    """Ids of the cells to generate now."""

    @property
    def cells(self) -> list[Cell]:
        """All cells, in the order of generation."""
        return [cell for group in self.groups for cell in group.cells]

    @property
    def selected(self) -> list[Cell]:
        """The selected cells, in the order of generation."""
        return [cell for cell in self.cells if cell.id in self.selected_ids]

    def only(self, pattern: str) -> "Plan":
        """Narrow the selection to cells whose id matches the glob. Raises SuiteError if none does."""
        matching = frozenset(id for id in self.selected_ids if fnmatchcase(id, pattern))
        if not matching:
            example = self.selected[0].id if self.selected_ids else "none"
            raise SuiteError(
                f"--only {pattern!r} matches none of {len(self.selected_ids)} cells; the first is {example}"
            )
        return Plan(self.groups, matching)


@dataclass(frozen=True)
class ImageCounts:
    """How many images there are of each identity by each method."""

    samples: int = 1
    """Images per fit and prompt."""
    fits: int = 1
    recaptions: int = 0
    """Captions of held-out photographs used as prompts."""
    priors: int = 0
    """Class images (of the noun, without the subject) per fit."""


def image_counts(suite: Suite) -> ImageCounts:
    """The numbers that a suite asks for."""
    return ImageCounts(suite.samples, suite.fits, suite.prompts.recaptions, suite.prompts.priors)


def make_plan(
    methods: Sequence[str],
    identities: Sequence[Identity],
    prompts: Sequence[Prompt],
    counts: ImageCounts,
    *,
    seed: int,
    no_priors: Collection[str] = (),
) -> Plan:
    """Plan every method x identity x fit x prompt x sample, and select all.

    Each group ends with its class images, except for the methods in `no_priors`. Raises SuiteError if no
    prompt suits an identity, or for more than MAX_IMAGES images.
    """
    numbers = {who.id: _images_per_fit(who, prompts, counts) for who in identities}
    total = len(methods) * counts.fits * sum(count for own in numbers.values() for _, count in own)
    if total > MAX_IMAGES:
        raise SuiteError(
            f"the suite asks for {total:,} images, at most {MAX_IMAGES:,} are planned; lower samples, fits, "
            "priors or identities"
        )
    cells = [
        Cell(method, who.id, prompt, sample, image_seed(seed, who.id, prompt.id, sample), fit)
        for method in methods
        for who in identities
        for fit in range(1, counts.fits + 1)
        for prompt, count in numbers[who.id]
        if prompt.category != PRIOR or method not in no_priors
        for sample in range((fit - 1) * count + 1, fit * count + 1)
    ]
    groups = tuple(
        Group(method, identity, tuple(members), fit)
        for (method, identity, fit), members in groupby(
            cells, key=lambda cell: (cell.method, cell.identity, cell.fit)
        )
    )
    return Plan(groups, frozenset(cell.id for cell in cells))


def _images_per_fit(
    who: Identity, prompts: Sequence[Prompt], counts: ImageCounts
) -> list[tuple[Prompt, int]]:
    """The identity's prompts, each with its number of images per fit."""
    with_subject = (*_suiting(prompts, who), *who.own_prompts, *who.recaptions(counts.recaptions))
    return [*((prompt, counts.samples) for prompt in with_subject), *_class_images(who, counts.priors)]


def _class_images(who: Identity, count: int) -> list[tuple[Prompt, int]]:
    """`count` class images, spread over the class prompts in turn."""
    prompts = who.class_prompts
    counts = [len(range(first, count, len(prompts))) for first in range(len(prompts))]
    return [(prompt, own) for prompt, own in zip(prompts, counts, strict=True) if own]


def _suiting(prompts: Sequence[Prompt], who: Identity) -> list[Prompt]:
    """The prompts that suit the identity's `kind`."""
    kind = who.attributes.get("kind", "")
    suiting = [prompt for prompt in prompts if prompt.suits in ("", kind)]
    if prompts and not suiting:
        kinds = ", ".join(sorted({prompt.suits for prompt in prompts}))
        raise SuiteError(f"{who.id}: its kind is {kind!r}, the prompts suit {kinds}; choose another set")
    return suiting


def image_seed(run_seed: int, identity: str, prompt: str, sample: int) -> int:
    """Seed of an image's noise, 32 bits; equal for all methods, which therefore start from the same noise."""
    return _seed(f"{run_seed}/{identity}/{prompt}/{sample}")


def fit_seed(run_seed: int, identity: str, fit: int = 1) -> int:
    """Seed of one fit of an identity; equal for all methods."""
    return _seed(f"{run_seed}/{identity}/*/*" + (f"/{fit}" if fit > 1 else ""))


def _seed(name: str) -> int:
    # `np.random.seed` accepts at most 32 bits.
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big")
