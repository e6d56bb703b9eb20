"""`bench data`: whose photographs a run would use, under which captions, and what is wrong with them."""

import json
import statistics
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from bench.datasets.registry import choose, open_dataset
from bench.errors import DatasetError, ExitStatus, SuiteError
from bench.subjects.identity import Identity
from bench.suite.suite import DatasetSettings, open_suite
from bench.suite.toml_schema import read_table

QUICK: Final = 0.3
"""Seconds that opening photographs may take where not all are asked for."""
SHOWN: Final = 10
"""Identities in the table."""


@dataclass(frozen=True)
class IdentitySummary:
    """One identity as a run would use it."""

    id: str
    noun: str
    references: int
    held_out: int
    attributes: str
    captions: tuple[str, ...]


@dataclass(frozen=True)
class DatasetSummary:
    """What a run would take from a dataset."""

    kind: str
    available: int
    """Identities that could be used."""
    used: tuple[IdentitySummary, ...]
    opened: int
    """Identities whose photographs were opened and compared."""
    remarks: tuple[str, ...]
    """What is missing or doubtful; a run would say it too and go on."""
    refusals: tuple[str, ...]
    """Why a run would stop."""

    @property
    def status(self) -> ExitStatus:
        """DONE where a run would start."""
        return ExitStatus.SOME_FAILED if self.refusals else ExitStatus.DONE


def asked(
    name: str | None, suite: str | None, root: Path | None, given: Mapping[str, object]
) -> tuple[DatasetSettings, Path]:
    """The dataset that the command names, or its suite; options that were `given` go before the suite's.

    The path is where relative ones start. Raises SuiteError where neither or both are named.
    """
    if (name is None) == (suite is None):
        raise SuiteError("bench data: name a dataset (`bench list datasets`) or give --suite, one of them")
    changes = {key: value for key, value in given.items() if value is not None}
    if root is not None:
        changes["path"] = str(root.absolute())
    if suite is None:
        return read_table({"kind": name, **changes}, DatasetSettings, "bench data"), Path()
    file = open_suite(suite)
    of_suite = {key: value for key, value in asdict(file.suite.dataset).items() if value is not None}
    return read_table({**of_suite, **changes}, DatasetSettings, "bench data"), file.base


def inspect_dataset(settings: DatasetSettings, base: Path, *, thorough: bool) -> DatasetSummary:
    """Look at a dataset as a run would; open all photographs if `thorough`, else as many as are quickly open.

    Raises DatasetError where not even the identities can be told.
    """
    dataset = open_dataset(settings, base)
    people, refusals = [], []
    names = dataset.names()
    for name in choose(names, settings):
        try:
            people.append(dataset.identity(name))
        except DatasetError as error:
            refusals.append(str(error))
    near, opened = _compared(people, refusals, QUICK if not thorough else None)
    remarks = (*dataset.remarks, *near, *_captions_in_doubt(people))
    used = tuple(map(_used, people))
    return DatasetSummary(settings.kind, len(names), used, opened, remarks, tuple(refusals))


def _compared(
    people: Sequence[Identity], refusals: list[str], seconds: float | None
) -> tuple[list[str], int]:
    """Near copies across the split, and of how many people that was looked at."""
    until = None if seconds is None else time.monotonic() + seconds
    found: list[str] = []
    for opened, who in enumerate(people):
        if until is not None and time.monotonic() > until:
            return found, opened
        try:
            found += who.check()
        except DatasetError as error:
            refusals.append(str(error))
    return found, len(people)


def _captions_in_doubt(people: Sequence[Identity]) -> Iterator[str]:
    captions = Counter(photo.caption for who in people for photo in (*who.references, *who.held_out))
    if sum(captions.values()) > 1 and len(captions) == 1:
        yield f"all photographs share the caption {next(iter(captions))!r}: prompts cannot be told from faces"


def _used(who: Identity) -> IdentitySummary:
    attributes = ", ".join(f"{key} {value}" for key, value in who.attributes.items())
    captions = tuple(photo.caption for photo in (*who.references, *who.held_out))
    return IdentitySummary(who.id, who.noun, len(who.references), len(who.held_out), attributes, captions)


def as_json(stock: DatasetSummary) -> str:
    """Everything, for programs."""
    return json.dumps(asdict(stock), indent=2)


def show(stock: DatasetSummary, settings: DatasetSettings, console: Console) -> None:
    """Tables and lines for people."""
    console.print(escape(_summary(stock, settings)), soft_wrap=True)
    console.print()
    table = Table("identity", "noun", "refs", "held out", "attributes", "a caption", box=None, pad_edge=False)
    for used in stock.used[:SHOWN]:
        row = (used.id, used.noun, str(used.references), str(used.held_out), used.attributes)
        table.add_row(*map(escape, (*row, used.captions[0] if used.captions else "")))
    console.print(table)
    if len(stock.used) > SHOWN:
        console.print(f"... and {len(stock.used) - SHOWN} more")
    console.print()
    for line in _problems(stock):
        console.print(escape(line), soft_wrap=True)


def _summary(stock: DatasetSummary, settings: DatasetSettings) -> str:
    held = sorted(used.held_out for used in stock.used) or [0]
    captions = {caption for used in stock.used for caption in used.captions}
    photos = sum(used.references + used.held_out for used in stock.used)
    spread = str(held[0]) if held[0] == held[-1] else f"{held[0]} to {held[-1]} ({statistics.median(held):g})"
    where = f" in {settings.path}" if settings.path else ""
    return (
        f"{stock.kind}{where}: {len(stock.used)} of {stock.available} identities (seed {settings.seed}), "
        f"{settings.references} references and {spread} held-out photos each; "
        f"{photos} photos, {len(captions)} different captions"
    )


def _problems(stock: DatasetSummary) -> Iterator[str]:
    yield from (f"refused: {line}" for line in stock.refusals)
    yield from (f"note: {line}" for line in stock.remarks)
    if stock.opened < len(stock.used):
        yield (
            f"photographs of {stock.opened} of {len(stock.used)} identities were opened and compared; "
            "--check opens all"
        )
    elif not stock.refusals and not stock.remarks:
        yield "no problems found; every photograph was opened"
