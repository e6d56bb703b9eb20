"""The page of `bench compare`: differences of two runs, and their images side by side."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from bench.analysis.across_runs.comparability import CommonGround, common_ground
from bench.atomic_io import write_text
from bench.report.drawing.method_styles import method_styles
from bench.report.html.document import document
from bench.report.html.gallery import GallerySource, gallery_rows, run_data
from bench.report.html.markdown_sections import as_html, heading_of, without_heading
from bench.report.html.page import SCRIPTS, body
from bench.report.html.table_data import overlap_note
from bench.report.html.thumbnails import Thumbnails
from bench.report.run_comparison import comparison_head, comparison_sections
from bench.runs.finished_run import FinishedRun
from bench.subjects.identity import Identity

RUNS: Final = ("first", "second")


def write_comparison_page(
    one: FinishedRun,
    other: FinishedRun,
    people: Sequence[Identity],
    path: Path,
    *,
    embed: bool = False,
    remark: str = "",
) -> None:
    """Write the page, and its thumbnails to `<name>_images` beside it; `embed` puts them into the page.

    `people` have the photographs of the gallery; `remark` is the reason if there are none. Raises ReportError
    where nothing may be compared, and StoreError.
    """
    ground = common_ground(one, other)
    thumbnails = Thumbnails(path.with_name(f"{path.stem}_images"), embed)
    # Run folders are beside one another.
    root = path.resolve().parent.parent
    source = GallerySource({who.id: who for who in people}, thumbnails, path, remark, root)
    data = {
        "folder": thumbnails.address,
        "methods": list(_methods(one, ground)),
        "floor": "",
        "table": None,
        "gallery": _gallery(one, other, ground, source),
    }
    parts = [
        (
            f"part-{i}",
            heading_of(section),
            f'<div class="columns">{as_html(without_heading(section), level=3)}</div>',
        )
        for i, section in enumerate(comparison_sections(one, other, ground), start=1)
    ]
    parts.append(("gallery", "Images side by side", '<div id="images"></div>'))
    title = f"{one.path.name} and {other.path.name}"
    write_text(path, document(title, body(comparison_head(one, other, ground), parts), data, SCRIPTS))
    thumbnails.remove_unused()


def _methods(one: FinishedRun, ground: CommonGround) -> Iterator[dict[str, Any]]:
    """Every common method twice, once for each run; `twin` is the place of the other."""
    styles = method_styles(one)
    for place, label in enumerate(ground.methods):
        for i, run in enumerate(RUNS):
            about = {"label": f"{label}, {run} run", "baseline": one.is_baseline(label)}
            yield {**about, **asdict(styles[label]), "twin": 2 * place + 1 - i}


def _gallery(
    one: FinishedRun, other: FinishedRun, ground: CommonGround, source: GallerySource
) -> dict[str, Any]:
    """The common images, with the scores by metrics that may be compared."""
    columns = [list(found) for found in zip(*ground.columns, strict=True)]
    rows = [gallery_rows(run, own, source) for run, own in zip((one, other), columns, strict=True)]
    places = [place for place in rows[0] if place in rows[1] and place in ground.places]
    paired = [
        {
            **rows[0][place],
            "cells": [
                _cell_of(run, own[place], label)
                for label in ground.methods
                for run, own in zip((one, other), rows, strict=True)
            ],
        }
        for place in places
    ]
    metrics = [
        {
            "title": first.title,
            "better": first.better,
            "overlap": [
                overlap_note(run.overlap(label, column))
                for label in ground.methods
                for run, column in ((one, first), (other, second))
            ],
        }
        for first, second in ground.columns
    ]
    return {**run_data(one, paired, source), "metrics": metrics, "faces": False}


def _cell_of(run: FinishedRun, row: Mapping[str, Any], label: str) -> dict[str, Any] | None:
    found: dict[str, Any] | None = row["cells"][run.methods.index(label)]
    return found
