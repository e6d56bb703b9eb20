"""The report as one HTML page that needs no network, with a folder of thumbnails beside it."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from html import escape
from pathlib import Path
from typing import Any, Final

from bench.analysis.comparison_table import ComparisonTable
from bench.atomic_io import write_text
from bench.report.drawing.method_styles import method_styles
from bench.report.html.document import document
from bench.report.html.gallery import GallerySource, gallery_data
from bench.report.html.markdown_sections import as_html, heading_of, without_heading
from bench.report.html.plots.all_plots import plots
from bench.report.html.table_data import table_data
from bench.report.html.thumbnails import Thumbnails
from bench.report.markdown_report import head, report_sections
from bench.report.sections.caveats import notes
from bench.report.sections.rankings import ranking_section
from bench.subjects.identity import Identity

SCRIPTS: Final = ("elements.js", "table.js", "gallery.js", "conditions.js", "viewer.js", "start.js")
OPEN: Final = ("Missing scores", "Failures")
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
    thumbnails = Thumbnails(path.with_name(f"{path.stem}_images"), embed)
    source = GallerySource({who.id: who for who in people}, thumbnails, path, remark)
    write_text(path, page(table, page_data(table, source)))
    # Only now does no page show the others any more.
    thumbnails.remove_unused()


def page_data(table: ComparisonTable, source: GallerySource) -> dict[str, Any]:
    """Everything that the page's scripts show, as one JSON object."""
    styles = method_styles(table.run)
    return {
        "folder": source.thumbnails.address,
        "methods": [
            {"label": label, "baseline": table.run.is_baseline(label), **asdict(styles[label])}
            for label in table.run.methods
        ],
        "floor": table.run.floor,
        "table": table_data(table),
        "gallery": gallery_data(table, source),
    }


def page(table: ComparisonTable, data: dict[str, Any]) -> str:
    """The text of the page."""
    parts = [
        ("comparison", "Comparison", '<div id="table"></div>' + as_html("\n\n".join(notes(table.run)))),
        ("ranking", "Ranking", as_html(without_heading(ranking_section(table)))),
        ("plots", "Plots", plots(table)),
        ("details", "All tables and caveats", "\n".join(_folded(table))),
        # Last, because its rows are added while it is scrolled.
        ("gallery", "Gallery", '<div id="images"></div>'),
    ]
    title = table.run.manifest.suite or table.run.path.name
    return document(title, body(head(table.run), parts), data, SCRIPTS)


def body(head: str, parts: Sequence[tuple[str, str, str]]) -> str:
    """Heading and sections, each an id, a title and HTML; sections without content are left out."""
    shown = [part for part in parts if part[2]]
    links = " ".join(f'<a href="#{name}">{title}</a>' for name, title, _ in shown)
    sections = "\n".join(
        f'<section id="{name}" aria-labelledby="{name}-title"><h2 id="{name}-title">{title}</h2>\n{content}'
        "</section>"
        for name, title, content in shown
    )
    return (
        f'<header>{as_html(head, level=1)}</header>\n<nav aria-label="sections">{links}</nav>\n'
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
            f"{as_html(without_heading(section), level=3)}</details>"
        )
