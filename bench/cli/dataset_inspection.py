"""`bench data`: the identities, photographs and captions that a run would use, and their problems."""

import json
import statistics
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.markup import escape as rich_escape
from rich.table import Table

from bench.datasets.registry import choose, open_dataset, others_of
from bench.errors import DatasetError, ExitStatus, SuiteError
from bench.markdown import printable
from bench.subjects.identity import Identity
from bench.subjects.photo_checks import (
    IdentitySignatures,
    copies_across,
    copies_within,
    crops_of_people,
    signatures_of,
    unusable,
)
from bench.suite.suite import DatasetSettings, open_suite
from bench.suite.toml_schema import read_table

SAMPLING_SECONDS: Final = 0.3
"""Time limit for opening photographs without --check."""
TABLE_ROWS: Final = 10
"""Maximum number of identities in the table."""


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
    """The part of a dataset that a run would use."""

    kind: str
    available: int
    """Number of usable identities."""
    used: tuple[IdentitySummary, ...]
    opened: int
    """Number of identities whose photographs were opened and compared."""
    others: int
    """Number of photographs of unselected identities, which metrics of sets use."""
    others_opened: int
    """Number of these that were opened."""
    remarks: tuple[str, ...]
    """Irregularities that a run would report without stopping."""
    refusals: tuple[str, ...]
    """Errors that would stop a run."""

    @property
    def status(self) -> ExitStatus:
        """DONE if a run would start."""
        return ExitStatus.SOME_FAILED if self.refusals else ExitStatus.DONE


def requested_dataset(
    name: str | None, suite: str | None, root: Path | None, options: Mapping[str, object]
) -> tuple[DatasetSettings, Path]:
    """Settings of the dataset or suite on the command line, and the base of relative paths.

    `options` that are not None override the suite's. Raises SuiteError unless exactly one of `name` and
    `suite` is given.
    """
    if (name is None) == (suite is None):
        raise SuiteError("bench data: expected either a dataset (`bench list datasets`) or --suite")
    changes = {key: value for key, value in options.items() if value is not None}
    if root is not None:
        changes["path"] = str(root.absolute())
    if suite is None:
        return read_table({"kind": name, **changes}, DatasetSettings, "bench data"), Path()
    file = open_suite(suite)
    defaults = {key: value for key, value in asdict(file.suite.dataset).items() if value is not None}
    return read_table({**defaults, **changes}, DatasetSettings, "bench data"), file.base


def inspect_dataset(settings: DatasetSettings, base: Path, *, open_all: bool) -> DatasetSummary:
    """Read a dataset as a run would; open all photographs, or as many as `SAMPLING_SECONDS` permit.

    Raises DatasetError if the identities cannot be listed.
    """
    dataset = open_dataset(settings, base)
    identities: list[Identity] = []
    refusals: list[str] = []
    names = dataset.names()
    chosen = choose(names, settings)
    for name in chosen:
        try:
            identities.append(dataset.identity(name))
        except DatasetError as error:
            refusals.append(str(error))
    others = others_of(dataset, chosen, settings, lambda error: refusals.append(str(error)))
    copies, opened = _find_copies(identities, refusals, open_all=open_all)
    if open_all:
        refusals += map(str, unusable(others))
    remarks = (*dataset.remarks, *copies, *_caption_remarks(identities))
    return DatasetSummary(
        settings.kind,
        len(names),
        tuple(map(_identity_summary, identities)),
        opened,
        len(others),
        len(others) if open_all else 0,
        remarks,
        tuple(refusals),
    )


def _find_copies(
    identities: Sequence[Identity], refusals: list[str], *, open_all: bool
) -> tuple[list[str], int]:
    """Lines about copies, and the number of identities checked; adds errors to `refusals`.

    Crops are searched with `open_all` only: it takes longer than a run should wait.
    """
    deadline = None if open_all else time.monotonic() + SAMPLING_SECONDS
    copies: list[str] = []
    opened: list[IdentitySignatures] = []
    checked = 0
    for identity in identities:
        if deadline is not None and time.monotonic() > deadline:
            break
        checked += 1
        try:
            opened.append(signatures_of(identity))
            copies += copies_within(opened[-1])
        except DatasetError as error:
            refusals.append(str(error))
    try:
        copies += copies_across(opened)
    except DatasetError as error:
        refusals.append(str(error))
    return [*copies, *(crops_of_people(opened) if open_all else ())], checked


def _caption_remarks(identities: Sequence[Identity]) -> Iterator[str]:
    photos = (photo for identity in identities for photo in (*identity.references, *identity.held_out))
    captions = Counter(photo.caption for photo in photos)
    if sum(captions.values()) > 1 and len(captions) == 1:
        yield (
            f"all photographs share the caption {next(iter(captions))!r}: "
            "methods cannot separate the prompt from the face"
        )


def _identity_summary(identity: Identity) -> IdentitySummary:
    photos = (*identity.references, *identity.held_out)
    return IdentitySummary(
        identity.id,
        identity.noun,
        len(identity.references),
        len(identity.held_out),
        ", ".join(f"{key} {value}" for key, value in identity.attributes.items()),
        tuple(photo.caption for photo in photos),
    )


def as_json(summary: DatasetSummary) -> str:
    """The summary as JSON."""
    return json.dumps(asdict(summary), indent=2)


def show(summary: DatasetSummary, settings: DatasetSettings, console: Console) -> None:
    """Print the summary as text."""
    console.print(escape(_headline(summary, settings)), soft_wrap=True)
    console.print()
    table = Table(
        "identity", "noun", "refs", "held out", "attributes", "first caption", box=None, pad_edge=False
    )
    for used in summary.used[:TABLE_ROWS]:
        row = (used.id, used.noun, str(used.references), str(used.held_out), used.attributes)
        table.add_row(*map(escape, (*row, used.captions[0] if used.captions else "")))
    console.print(table)
    if len(summary.used) > TABLE_ROWS:
        console.print(f"... and {len(summary.used) - TABLE_ROWS} more")
    console.print()
    for line in _problems(summary):
        console.print(escape(line), soft_wrap=True)


def escape(text: str) -> str:
    """The text without rich's markup and control characters."""
    return rich_escape(printable(text))


def _headline(summary: DatasetSummary, settings: DatasetSettings) -> str:
    held_out = sorted(used.held_out for used in summary.used) or [0]
    captions = {caption for used in summary.used for caption in used.captions}
    photos = sum(used.references + used.held_out for used in summary.used)
    low, high = held_out[0], held_out[-1]
    spread = str(low) if low == high else f"{low} to {high} ({statistics.median(held_out):g})"
    folder = f" in {settings.path}" if settings.path else ""
    return (
        f"{summary.kind}{folder}: {len(summary.used)} of {summary.available} identities "
        f"(seed {settings.seed}), {settings.references} references and {spread} held-out photos each; "
        f"{photos} photos, {len(captions)} different captions"
    )


def _problems(summary: DatasetSummary) -> Iterator[str]:
    yield from (f"refused: {line}" for line in summary.refusals)
    yield from (f"note: {line}" for line in summary.remarks)
    if summary.opened < len(summary.used) or summary.others_opened < summary.others:
        yield (
            f"photographs of {summary.opened} of {len(summary.used)} identities were opened and compared, "
            f"and {summary.others_opened} of {summary.others} of other identities; --check opens all"
        )
    elif not summary.refusals and not summary.remarks:
        yield "no problems found; every photograph was opened"
