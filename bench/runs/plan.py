"""The plan: which pictures there will be, each with a name and a seed of its own."""

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from itertools import groupby

from bench.errors import SuiteError
from bench.subjects.identity import Identity
from bench.suite.prompts import PRIOR, Prompt


@dataclass(frozen=True)
class Cell:
    """One picture to be: a method, a person, a prompt, and which of the samples."""

    method: str
    identity: str
    prompt: Prompt
    sample: int
    seed: int

    @property
    def id(self) -> str:
        """`dreambooth-lora/ada/red-hat/s1`."""
        return f"{self.method}/{self.identity}/{self.prompt.id}/s{self.sample}"


@dataclass(frozen=True)
class Group:
    """All pictures of one person by one method: fitted once, drawn in batches."""

    method: str
    identity: str
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class Plan:
    """Every cell of a run, and which of them are to be drawn now."""

    groups: tuple[Group, ...]
    wanted: frozenset[str]
    """Ids of the chosen cells."""

    @property
    def cells(self) -> list[Cell]:
        """Every cell, chosen or not, in drawing order."""
        return [cell for group in self.groups for cell in group.cells]

    @property
    def chosen(self) -> list[Cell]:
        """The cells to be drawn now, in drawing order."""
        return [cell for cell in self.cells if cell.id in self.wanted]

    def only(self, pattern: str) -> "Plan":
        """The same plan with only those cells chosen whose id matches the glob.

        Raises SuiteError where nothing matches.
        """
        matching = frozenset(id for id in self.wanted if fnmatchcase(id, pattern))
        if not matching:
            example = self.chosen[0].id if self.wanted else "none"
            raise SuiteError(
                f"--only {pattern!r} matches none of {len(self.wanted)} cells; a cell is called {example}"
            )
        return Plan(self.groups, matching)


def make_plan(
    methods: Sequence[str],
    identities: Sequence[Identity],
    prompts: Sequence[Prompt],
    *,
    recaptions: int,
    samples: int,
    seed: int,
    priors: int = 0,
    no_priors: Collection[str] = (),
) -> Plan:
    """Every method x identity x prompt x sample, all of them chosen.

    Last come `priors` pictures of somebody else; none of them by the methods in `no_priors`.
    """
    cells = [
        Cell(method, who.id, prompt, sample, picture_seed(seed, who.id, prompt.id, sample))
        for method in methods
        for who in identities
        for prompt, count in [
            *(
                (prompt, samples)
                for prompt in (*_suiting(prompts, who), *who.own_prompts, *who.recaptions(recaptions))
            ),
            (who.prior, priors),
        ]
        if prompt.category != PRIOR or method not in no_priors
        for sample in range(1, count + 1)
    ]
    groups = tuple(
        Group(method, identity, tuple(members))
        for (method, identity), members in groupby(cells, key=lambda cell: (cell.method, cell.identity))
    )
    return Plan(groups, frozenset(cell.id for cell in cells))


def _suiting(prompts: Sequence[Prompt], who: Identity) -> list[Prompt]:
    """Without the prompts for another kind of subject."""
    kind = who.attributes.get("kind", "")
    suiting = [prompt for prompt in prompts if prompt.suits in ("", kind)]
    if prompts and not suiting:
        kinds = ", ".join(sorted({prompt.suits for prompt in prompts}))
        raise SuiteError(f"{who.id}: its kind is {kind!r}, the prompts suit {kinds}; choose another set")
    return suiting


def picture_seed(run_seed: int, identity: str, prompt: str, sample: int) -> int:
    """The seed of a picture's noise, 32 bits: never the method's, so that all start from the same noise."""
    return _seed(f"{run_seed}/{identity}/{prompt}/{sample}")


def fit_seed(run_seed: int, identity: str) -> int:
    """The seed of one person's fitting; the same for every method."""
    return _seed(f"{run_seed}/{identity}/*/*")


def _seed(name: str) -> int:
    # 32 bits, because `np.random.seed` and what is built on it take no more.
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big")
