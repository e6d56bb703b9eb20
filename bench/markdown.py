"""Markdown formatting: padded tables, lists, numbers."""

import re
from collections.abc import Sequence


def table(header: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """A Markdown table with padded cells, so that columns are aligned in plain text."""
    cells = [[_cell(text) for text in line] for line in (header, *lines)]
    widths = [max(len(line[i]) for line in cells) for i in range(len(header))]
    rows = [
        "| " + " | ".join(text.ljust(w) for text, w in zip(line, widths, strict=True)) + " |"
        for line in cells
    ]
    rule = "|" + "|".join("-" * (width + 2) for width in widths) + "|"
    return "\n".join([rows[0], rule, *rows[1:]])


def bullets(lines: Sequence[str]) -> str:
    """A bullet list."""
    return "\n".join(f"* {plain(line)}" for line in lines)


def number(value: float, low: float | None = None, high: float | None = None) -> str:
    """Three decimals below 10, one below 1000, none above; with its interval if both bounds are given."""
    decimals = 0 if abs(value) >= 1000 else 1 if abs(value) >= 10 else 3
    text = f"{value:.{decimals}f}"
    if low is None or high is None:
        return text
    return f"{text} [{low:.{decimals}f}, {high:.{decimals}f}]"


def counted(count: int, noun: str, plural: str = "") -> str:
    """`1 cell`, `2 cells`."""
    return f"{count} {noun if count == 1 else plural or f'{noun}s'}"


def dash() -> str:
    """Placeholder for a missing number."""
    return "-"


def plain(text: str) -> str:
    """Names, captions and reasons as text: without control characters, HTML tags and pictures."""
    return printable(re.sub(r"<(?=[A-Za-z/!?])", "&lt;", text).replace("![", "!\\["))


def printable(text: str) -> str:
    """The text with a blank for every character that a terminal does not print, such as escape sequences."""
    return "".join(c if c.isprintable() else " " for c in text)


def _cell(text: str) -> str:
    return plain(text).replace("|", "\\|")
