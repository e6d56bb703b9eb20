"""The comparison table as LaTeX for a paper, with booktabs."""

import re
from collections.abc import Mapping, Sequence
from typing import Final

from bench.analysis.columns import ImageColumn
from bench.analysis.comparison_table import ComparisonTable
from bench.analysis.set_columns import SetColumn
from bench.analysis.statistics import LEVEL
from bench.markdown import number, printable
from bench.report.standings import Standing, standings
from bench.runs.finished_run import OverlapKind

WIDTH: Final = 3
"""Metrics per table; more would not fit a page."""
MARKS: Final[Mapping[OverlapKind, str]] = {
    "conditioned": r"$^{\dagger}$",
    "optimised": r"$^{\S}$",
    "trained": r"$^{\ddagger}$",
    "judge trained": r"$^{\ddagger}$",
}
SPECIAL: Final[Mapping[str, str]] = {
    **{c: f"\\{c}" for c in "&%$#_{}"},
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    # After a line's end, the bracket would begin a length, and the star would belong to the line's end.
    "[": "{[}",
    "*": "{*}",
    "↑": r"$\uparrow$",
    "↓": r"$\downarrow$",
}
LETTERS: Final = frozenset(map(chr, range(0xC0, 0x17F))) - set("ÐÞðþĄąĐđĘęĦħĮįĸĿŀŉŊŋŦŧŲų")
"""Letters that pdfLaTeX's default font encoding has; it stops at others."""
PUNCTUATION: Final = frozenset("–—‘’“”…·°×")
LIGATURE: Final = re.compile(r"(?<=[-'`!?,])(?=[-'`,])")
"""Between two characters that would become another one, such as `--`."""
LEGEND: Final = (
    r"Bold: the best ranked method and its ties; $\approx$: not separable from it. Not independent of the "
    r"metric, and not ranked: $\dagger$ conditioned on its encoder, $\S$ optimised against it, $\ddagger$ "
    r"trained on people of the run."
)


def as_latex(table: ComparisonTable) -> str:
    """One `table` for every three metrics; needs `\\usepackage{booktabs}`."""
    run = table.run
    kinds: Sequence[tuple[str, Sequence[ImageColumn | SetColumn], Sequence[str]]] = (
        ("Mean over images", table.image_columns, table.rows),
        ("Sets of images", [c for c in table.set_columns if c.entries], table.set_rows),
        ("Images without the subject", table.prior_columns, run.methods),
    )
    parts = [
        _table(columns[start : start + WIDTH], rows, f"{title} of the run {run.manifest.suite}")
        for title, columns, rows in kinds
        for start in range(0, len(columns), WIDTH)
    ]
    return "\n".join(["% needs \\usepackage{booktabs}", *parts]) + "\n"


def _table(columns: Sequence[ImageColumn | SetColumn], rows: Sequence[str], title: str) -> str:
    marks = [standings(column) for column in columns]
    headings = [column.column.heading.partition(f" ({column.column.encoder})") for column in columns]
    header = " & ".join(["method", *(escaped(name + arrow) for name, _, arrow in headings)])
    encoders = " & ".join(
        ["", *(rf"{{\scriptsize {escaped(encoder.strip())}}}" for _, encoder, _ in headings)]
    )
    lines = [
        " & ".join(
            [escaped(row), *(_cell(c, row, own.get(row)) for c, own in zip(columns, marks, strict=True))]
        )
        + r" \\"
        for row in rows
    ]
    interval = f"{100 * LEVEL:.0f}\\,\\% interval"
    return "\n".join(
        [
            r"\begin{table}",
            r"\footnotesize\setlength{\tabcolsep}{3pt}",
            rf"\caption{{{escaped(title)}, with its {interval}. {LEGEND}}}\vspace{{1ex}}",
            rf"\begin{{tabular}}{{l{'l' * len(columns)}}}",
            r"\toprule",
            rf"{header} \\",
            rf"{encoders} \\",
            r"\midrule",
            *lines,
            r"\bottomrule",
            r"\end{tabular}",
            r"\end{table}",
        ]
    )


def _cell(column: ImageColumn | SetColumn, row: str, standing: Standing | None) -> str:
    value, low, high, coverage, overlap = (
        _of_images(column, row) if isinstance(column, ImageColumn) else _of_set(column, row)
    )
    if value is None:
        return "--"
    mean, _, interval = number(value, low, high).replace("-", "$-$").partition(" ")
    parts = [
        rf"\textbf{{{mean}}}" if standing == "best" else mean,
        rf" {{\scriptsize {interval}}}" if interval else "",
        coverage,
        r" $\approx$" if standing == "not separable from the best" else "",
        MARKS[overlap] if overlap else "",
    ]
    return "".join(parts)


_Numbers = tuple[float | None, float | None, float | None, str, OverlapKind | None]
"""Value, ends of its interval, coverage where scores are missing, overlap."""


def _of_images(column: ImageColumn, row: str) -> _Numbers:
    entry = column.entry(row)
    if entry.estimate is None:
        return None, None, None, "", None
    coverage = "" if entry.n == entry.of else rf" {{\scriptsize ({entry.n} of {entry.of})}}"
    return entry.estimate.mean, entry.estimate.low, entry.estimate.high, coverage, entry.overlap


def _of_set(column: SetColumn, row: str) -> _Numbers:
    entry = column.entries.get(row)
    if entry is None:
        return None, None, None, "", None
    return entry.value, *(entry.interval or (None, None)), "", entry.overlap


def escaped(text: str) -> str:
    """Any name as LaTeX text; a character that pdfLaTeX's fonts lack becomes its code, such as `[U+4E2D]`."""
    return LIGATURE.sub("{}", "".join(map(_escaped_character, printable(text))))


def _escaped_character(character: str) -> str:
    if character in SPECIAL:
        return SPECIAL[character]
    if character.isascii() or character in LETTERS or character in PUNCTUATION:
        return character
    return f"{{[}}U+{ord(character):04X}]"
