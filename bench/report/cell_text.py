"""Text of a table's cells: means with intervals, coverage, marks; a dash where there is no number."""

from collections.abc import Mapping
from typing import Final

from bench.analysis.columns import Share
from bench.analysis.contrasts import Contrast
from bench.analysis.scored_rows import TableEntry
from bench.analysis.set_columns import SetEntry
from bench.analysis.statistics import Estimate
from bench.markdown import dash, number
from bench.runs.finished_run import OverlapKind

MARKS: Final[Mapping[OverlapKind, str]] = {
    "conditioned": "†",
    "optimised": "§",
    "trained": "‡",
    "judge trained": "‡",
}


def marked(text: str, overlap: OverlapKind | None) -> str:
    """A number with the mark of its overlap."""
    return f"{text} {MARKS[overlap]}" if overlap else text


def entry_text(entry: TableEntry, *, with_count: bool = False) -> str:
    """`0.482 [0.443, 0.521] (15 of 18) †`; `with_count` adds the number of scores to every entry."""
    if entry.of == 0:
        return dash()
    if entry.estimate is None:
        return f"none of {entry.of}"
    complete = entry.n == entry.of
    if with_count:
        coverage = f" n={entry.n}" if complete else f" n={entry.n} of {entry.of}"
    else:
        coverage = "" if complete else f" ({entry.n} of {entry.of})"
    return marked(estimate_text(entry.estimate) + coverage, entry.overlap)


def set_entry_text(entry: SetEntry | None) -> str:
    """Value and interval of a set metric."""
    if entry is None:
        return dash()
    if entry.value is None:
        return "not computed"
    return marked(number(entry.value, *(entry.interval or (None, None))), entry.overlap)


def estimate_text(estimate: Estimate) -> str:
    """`0.482 [0.443, 0.521]`."""
    return number(estimate.mean, estimate.low, estimate.high)


def share_text(share: Share | None) -> str:
    """`61 % [49, 72]`."""
    if share is None:
        return dash()
    text = f"{100 * share.value:.0f} %"
    if share.interval is None:
        return text
    low, high = (f"{100 * end:.0f}" for end in share.interval)
    return f"{text} [{low}, {high}]"


def contrast_text(contrast: Contrast | None) -> str:
    """`0.301 [0.275, 0.327] above`."""
    if contrast is None:
        return dash()
    return f"{estimate_text(contrast.difference)} {contrast.verdict}"


def value_text(value: float | None, form: str) -> str:
    """A number in a format such as `.2f`."""
    return dash() if value is None else format(value, form)
