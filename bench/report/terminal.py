"""Markdown for a terminal: wide tables are split into several, long lines are wrapped at words."""

import re
from collections.abc import Iterator, Sequence
from textwrap import wrap
from typing import Final

DEFAULT_WIDTH: Final = 100
NARROWEST: Final = 40
"""Columns of the narrowest terminal that tables are fitted to."""
CELL_BORDER: Final = re.compile(r"(?<!\\)\|")
Table = Sequence[Sequence[str]]
"""Lines of cells; the first line is the header."""


def fitted(markdown: str, width: int) -> str:
    """The text with no line longer than `width`, at least NARROWEST characters."""
    width = max(width, NARROWEST)
    text = markdown.rstrip("\n")
    blocks = ("\n".join(_block(block, width)) for block in text.split("\n\n"))
    return "\n\n".join(blocks) + markdown[len(text) :]


def _block(block: str, width: int) -> Iterator[str]:
    lines = block.split("\n")
    if lines[0].startswith("|"):
        yield from _tables(lines, width)
        return
    for line in lines:
        indent = "  " if line.startswith("* ") else ""
        yield from wrap(line, width, subsequent_indent=indent, break_on_hyphens=False) or [""]


def _tables(lines: Sequence[str], width: int) -> Iterator[str]:
    """The table if it fits; otherwise tables of some columns each, all with the first column."""
    if max(map(len, lines)) <= width:
        yield from lines
        return
    cells = [[cell.strip() for cell in CELL_BORDER.split(line)[1:-1]] for line in lines if line[1] != "-"]
    widths = [max(len(line[i]) for line in cells) for i in range(len(cells[0]))]
    first = min(widths[0], width * 2 // 5)
    room = width - first - len("|  |")
    widths = [first, *(min(own, room - len("  |")) for own in widths[1:])]
    for number, columns in enumerate(_groups(widths, room)):
        if number:
            yield ""
        yield from _table([[line[i] for i in columns] for line in cells], [widths[i] for i in columns])


def _groups(widths: Sequence[int], room: int) -> Iterator[list[int]]:
    """Numbers of the columns of each table, which take at most `room` characters beside the first."""
    group, taken = [0], 0
    for i, own in enumerate(widths[1:], start=1):
        if taken + own + len("  |") > room:
            yield group
            group, taken = [0], 0
        group.append(i)
        taken += own + len("  |")
    yield group


def _table(cells: Table, widths: Sequence[int]) -> Iterator[str]:
    """A table whose long cells take several lines."""
    for number, line in enumerate(cells):
        wrapped = [
            wrap(cell, width, break_on_hyphens=False) or [""]
            for cell, width in zip(line, widths, strict=True)
        ]
        for i in range(max(map(len, wrapped))):
            texts = [cell[i] if i < len(cell) else "" for cell in wrapped]
            yield "| " + " | ".join(t.ljust(w) for t, w in zip(texts, widths, strict=True)) + " |"
        if number == 0:
            yield "|" + "|".join("-" * (width + 2) for width in widths) + "|"
