"""Sections of the Markdown report as HTML: headings, paragraphs, bullets, tables, code in backticks."""

import re
from collections.abc import Sequence
from html import escape
from itertools import groupby
from typing import Final

ESCAPED_BAR: Final = "\\|"
CELL_BORDER: Final = re.compile(r"(?<!\\)\|")


def as_html(markdown: str, *, level: int = 2) -> str:
    """HTML of the Markdown that the report's sections write; every character of a name stays text.

    `level` is that of the headings.
    """
    return "\n".join(
        _block(kind, list(block), level)
        for part in re.split(r"\n{2,}", markdown.strip())
        for kind, block in groupby(part.splitlines(), key=_kind)
    )


def heading_of(markdown: str) -> str:
    """The text of the first heading; empty where a section has none."""
    first = markdown.partition("\n")[0]
    return first.lstrip("# ") if first.startswith("#") else ""


def without_heading(section: str) -> str:
    """A section below its heading."""
    return section.partition("\n\n")[2] if section.startswith("#") else section


def _kind(line: str) -> str:
    return {"#": "heading", "|": "table", "*": "bullets"}.get(line[:1], "paragraph")


def _block(kind: str, lines: Sequence[str], level: int) -> str:
    if kind == "heading":
        return "\n".join(f"<h{level}>{_text(line.lstrip('# '))}</h{level}>" for line in lines)
    if kind == "bullets":
        items = "".join(f"<li>{_text(line.removeprefix('*').strip())}</li>" for line in lines)
        return f"<ul>{items}</ul>"
    if kind == "table":
        return _table(lines)
    return "\n".join(f"<p>{_text(line)}</p>" for line in lines)


def _table(lines: Sequence[str]) -> str:
    header, *rows = [_cells(line) for line in lines if not line.startswith("|--")]
    head = "".join(f'<th scope="col">{_text(cell)}</th>' for cell in header)
    body = "".join(f"<tr>{_row(row)}</tr>" for row in rows)
    scroll = '<div class="scroll" tabindex="0" role="group" aria-label="table">'
    return f"{scroll}<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"


def _row(cells: Sequence[str]) -> str:
    first, *others = cells
    return f'<th scope="row">{_text(first)}</th>' + "".join(f"<td>{_text(cell)}</td>" for cell in others)


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in CELL_BORDER.split(line)[1:-1]]


def _text(markdown: str) -> str:
    """The text without the escapes of `bench.markdown`, with those of HTML."""
    text = markdown.replace(ESCAPED_BAR, "|").replace("!\\[", "![").replace("&lt;", "<")
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(text))
