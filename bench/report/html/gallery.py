"""The gallery of the page: one row per person, prompt and seed, with an image of every method."""

import os
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final
from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray

from bench.analysis.columns import ImageColumn
from bench.analysis.comparison_table import ComparisonTable
from bench.analysis.scored_rows import scored
from bench.analysis.subgroups import groupings
from bench.report.html.table_data import overlap_note
from bench.report.html.thumbnails import Thumbnails
from bench.runs.finished_run import Column, FinishedRun
from bench.runs.records.tables import CellRow, ScoreRow
from bench.runs.run_folder import RunFolder
from bench.subjects.identity import Identity

RowPlace = tuple[str, str, int]
"""Person, prompt and sample of a row."""
Place = tuple[str, str, str, int]
"""Method, person, prompt and sample of an image."""
DIGITS: Final = 6
NO_IMAGES: Final = "The run folder has no images; its tables are above and below."


@dataclass(frozen=True)
class GallerySource:
    """Where the images of a gallery come from."""

    people: Mapping[str, Identity]
    """By id; without those whose dataset cannot be opened."""
    thumbnails: Thumbnails
    page: Path
    """The file of the page, to which the addresses of the stored images are relative."""
    remark: str = ""
    """Why photographs are missing."""
    root: Path | None = None
    """The folder below which stored images are linked; by default that of the page."""


def gallery_data(table: ComparisonTable, source: GallerySource) -> dict[str, Any]:
    """People with their photographs, metrics, and rows of cells in the order of the methods."""
    run, columns = table.run, [column.column for column in (*table.image_columns, *table.prior_columns)]
    disagreement = face_disagreement(run, table.image_columns)
    return {
        **run_data(run, gallery_rows(run, columns, source, disagreement).values(), source),
        "metrics": [
            {
                "title": column.title,
                "better": column.better,
                "overlap": [overlap_note(run.overlap(label, column)) for label in run.methods],
            }
            for column in columns
        ],
        "faces": bool(disagreement),
    }


def run_data(run: FinishedRun, rows: Collection[Mapping[str, Any]], source: GallerySource) -> dict[str, Any]:
    """Rows, and the photographs and groups of their people; only the reason in a run without images."""
    if not any(cell and cell["image"] for row in rows for cell in row["cells"]):
        return {"people": {}, "groups": [], "rows": [], "remark": NO_IMAGES}
    return {
        "people": {who: _photos(source, who) for who in dict.fromkeys(row["person"] for row in rows)},
        "groups": [
            {"name": f"{attribute}: {value}", "people": people}
            for attribute, groups in groupings(run).items()
            for value, people in groups.items()
        ],
        "rows": list(rows),
        "remark": source.remark,
    }


def gallery_rows(
    run: FinishedRun,
    columns: Sequence[Column],
    source: GallerySource,
    disagreement: Mapping[Place, float] = MappingProxyType({}),
) -> dict[RowPlace, dict[str, Any]]:
    """By person, prompt and sample, a row with one cell per method of the run; None where it has none."""
    scores = _scores(run, columns)
    rows: dict[RowPlace, dict[str, CellRow]] = defaultdict(dict)
    for cell in run.cells:
        rows[cell.identity, cell.prompt, cell.sample][cell.method] = cell
    return {
        place: {
            **_about(cells),
            "cells": [
                _cell(cells[method], run, source, scores, disagreement) if method in cells else None
                for method in run.methods
            ],
        }
        for place, cells in rows.items()
    }


def face_disagreement(run: FinishedRun, columns: Sequence[ImageColumn]) -> dict[Place, float]:
    """By image, the largest difference of its rank between two face networks; ranks are from 0 to 1.

    Ranks are over the images of all methods that both networks score. Empty for fewer than two networks.
    """
    faces = [column.column for column in columns if column.column.name == "identity"]
    found: dict[Place, float] = {}
    for one, other in combinations(faces, 2):
        values = [
            {_place(row): value for label in run.methods for row, value in scored(run.scores_of(label, face))}
            for face in (one, other)
        ]
        shared = [place for place in values[0] if place in values[1]]
        if not shared:
            continue
        first, second = (mean_ranks([own[place] for place in shared]) / len(shared) for own in values)
        for place, difference in zip(shared, abs(first - second), strict=True):
            found[place] = max(found.get(place, 0.0), float(difference))
    return found


def mean_ranks(values: Sequence[float]) -> NDArray[np.float64]:
    """The rank of each value, from 1; equal values share the mean of their ranks."""
    _, which, counts = np.unique(values, return_inverse=True, return_counts=True)
    ranks: NDArray[np.float64] = np.cumsum(counts) - (counts - 1) / 2
    return ranks[which]


def _about(cells: Mapping[str, CellRow]) -> dict[str, Any]:
    first = next(iter(cells.values()))
    return {
        "person": first.identity,
        "prompt": first.prompt,
        "category": first.category,
        "text": first.template,
        "sample": first.sample,
    }


def _cell(
    cell: CellRow,
    run: FinishedRun,
    source: GallerySource,
    scores: Mapping[Place, Mapping[int, ScoreRow]],
    disagreement: Mapping[Place, float],
) -> dict[str, Any]:
    place = (cell.method, cell.identity, cell.prompt, cell.sample)
    own = scores.get(place, {})
    path = RunFolder(run.path).image_of(cell)
    image = source.thumbnails.of_image(path) if cell.status == "generated" else ""
    return {
        "image": image,
        "full": _address(path, source) if image else "",
        "problem": cell.no_score_reason or ("" if image else "the image is not in the run folder"),
        "seed": cell.seed,
        "fit": cell.fit,
        "fingerprint": cell.picture,
        "seconds": cell.seconds,
        "scores": {i: _rounded(row.value) for i, row in own.items() if row.value is not None},
        "reasons": {i: row.reason for i, row in own.items() if row.value is None},
        "disagreement": _rounded(disagreement.get(place)),
    }


def _address(path: Path, source: GallerySource) -> str:
    """The stored image relative to the page; empty where it is elsewhere, or the page embeds its images."""
    folder = None if source.thumbnails.embed else _folder_address(path.parent, source.page, source.root)
    return "" if folder is None else f"{folder}/{quote(path.name, errors='surrogateescape')}"


@lru_cache
def _folder_address(images: Path, page: Path, root: Path | None) -> str | None:
    """The folder of stored images relative to the page; None where it is elsewhere."""
    folder, full = page.resolve().parent, images.resolve()
    if not full.is_relative_to(root or folder):
        return None
    return quote(Path(os.path.relpath(full, folder)).as_posix(), errors="surrogateescape")


def _photos(source: GallerySource, who: str) -> dict[str, list[str]]:
    identity = source.people.get(who)
    if identity is None:
        return {"references": [], "held_out": []}
    kinds = {"references": identity.references, "held_out": identity.held_out}
    found = {kind: [source.thumbnails.of_photo(photo) for photo in own] for kind, own in kinds.items()}
    return {kind: [address for address in own if address] for kind, own in found.items()}


def _scores(run: FinishedRun, columns: Sequence[Column]) -> dict[Place, dict[int, ScoreRow]]:
    found: dict[Place, dict[int, ScoreRow]] = defaultdict(dict)
    for i, column in enumerate(columns):
        for label in run.methods:
            for row in run.scores_of(label, column):
                found[_place(row)][i] = row
    return found


def _place(row: ScoreRow) -> Place:
    return row.method, row.identity, row.prompt, row.sample


def _rounded(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.{DIGITS}g}")
