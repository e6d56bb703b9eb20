"""The report as one HTML page that needs no network, with a folder of thumbnails beside it."""

import base64
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

from bench.analysis.comparison_table import ComparisonTable
from bench.atomic_io import write_text
from bench.report.html.gallery import GallerySource, gallery_data
from bench.report.html.markdown_sections import as_html, heading_of
from bench.report.html.method_styles import method_styles
from bench.report.html.plots import plots
from bench.report.html.table_data import table_data
from bench.report.html.thumbnails import Thumbnails
from bench.report.markdown_report import head, report_sections
from bench.report.sections.caveats import notes
from bench.report.sections.rankings import ranking_section
from bench.subjects.identity import Identity

ESCAPES: Final = str.maketrans(
    {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"}
)
"""Characters of JSON that HTML or JavaScript would read as their own."""
OPEN: Final = ("Scores", "Missing scores", "Failures")
"""Sections of the Markdown report that are unfolded."""


def write_page(
    table: ComparisonTable,
    people: Sequence[Identity],
    path: Path,
    *,
    embed: bool = False,
    remark: str = "",
) -> None:
    """Write the page, and its thumbnails to `<name>_images` beside it; `embed` puts them into the page.

    `people` have the photographs of the gallery; `remark` is the reason if there are none. Raises StoreError.
    """
    folder = path.with_name(f"{path.stem}_images")
    thumbnails = Thumbnails(folder, embed)
    source = GallerySource({who.id: who for who in people}, thumbnails, path, remark)
    data = page_data(table, source)
    data["folder"] = "" if embed else folder.name
    write_text(path, page(table, data))
    # Only now does no page show the others any more.
    thumbnails.remove_unused()


def page_data(table: ComparisonTable, source: GallerySource) -> dict[str, Any]:
    """Everything that the page's script shows, as one JSON object."""
    styles = method_styles(table.run)
    return {
        "methods": [
            {"label": label, "baseline": table.run.is_baseline(label), **asdict(styles[label])}
            for label in table.run.methods
        ],
        "floor": table.run.floor,
        "table": table_data(table),
        "gallery": gallery_data(table, source),
    }


def page(table: ComparisonTable, data: Mapping[str, Any]) -> str:
    """The text of the page."""
    own = files("bench.report.html")
    style, script = (own.joinpath(f"page.{kind}").read_text(encoding="utf-8") for kind in ("css", "js"))
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    # The script of the page, and no other, may run.
    policy = (
        f"default-src 'none'; img-src 'self' file: data:; style-src 'unsafe-inline'; "
        f"script-src 'sha256-{digest}'"
    )
    title = escape(table.run.manifest.suite or table.run.path.name)
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{title}</title>\n<style>\n{style}</style>\n</head>\n<body>\n"
        f"{_body(table)}\n"
        f'<script type="application/json" id="data">{json_text(data)}</script>\n'
        f"<script>{script}</script>\n</body>\n</html>\n"
    )


def json_text(content: Mapping[str, Any]) -> str:
    """JSON that can stand in a script element, whatever the names and captions contain."""
    text = json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.translate(ESCAPES)


def _body(table: ComparisonTable) -> str:
    parts = [
        ("comparison", "Comparison", '<div id="table"></div>' + as_html("\n\n".join(notes(table.run)))),
        ("ranking", "Ranking", as_html(_without_heading(ranking_section(table)))),
        ("plots", "Plots", f'<div class="plots">{drawn}</div>' if (drawn := plots(table)) else ""),
        ("gallery", "Gallery", '<div id="images"></div>'),
        ("details", "All tables and caveats", "\n".join(_folded(table))),
    ]
    shown = [part for part in parts if part[2]]
    links = " ".join(f'<a href="#{name}">{title}</a>' for name, title, _ in shown)
    sections = "\n".join(
        f'<section id="{name}" aria-labelledby="{name}-title"><h2 id="{name}-title">{title}</h2>\n{content}'
        "</section>"
        for name, title, content in shown
    )
    return (
        f'<header>{as_html(head(table.run), level=1)}<nav aria-label="sections">{links}</nav></header>\n'
        "<noscript><p>The table and the gallery need JavaScript; all numbers are in the tables below.</p>"
        f"</noscript>\n<main>\n{sections}\n</main>\n"
        '<dialog id="viewer" aria-label="image"></dialog>'
    )


def _folded(table: ComparisonTable) -> Iterator[str]:
    """Every section of the Markdown report, folded but for those that a reader must not miss."""
    for section in report_sections(table):
        title = heading_of(section)
        if title == "Ranking":
            continue
        unfolded = " open" if title in OPEN else ""
        yield (
            f"<details{unfolded}><summary>{escape(title)}</summary>"
            f"{as_html(_without_heading(section), level=3)}</details>"
        )


def _without_heading(section: str) -> str:
    return section.partition("\n\n")[2] if section.startswith("#") else section
