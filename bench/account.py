"""What a run leaves beside its pictures: the suite, who made what with which versions, cells, costs."""

import shlex
import sys

from bench.ledger import CELLS, FITS, CellRow, FitRow, cell_row, fit_row, write_rows
from bench.provenance import commit, digest_of, machine, versions
from bench.run import Studio
from bench.score import Metrics, fingerprint_of
from bench.store import RunFolder, read_json, write_json, write_text
from methods.interface import trained_on

ACCOUNT = "run.json"


def earlier_methods(folder: RunFolder) -> list[str]:
    """Methods that drew in this folder before."""
    methods = read_json(folder.path / ACCOUNT).get("methods", {})
    return list(methods) if isinstance(methods, dict) else []


def write_ledger(studio: Studio, folder: RunFolder) -> list[CellRow]:
    """cells.csv and fits.csv for the whole plan."""
    shared = digest_of(studio.shared)
    cells = [cell_row(cell, work, folder, shared) for work in studio.works for cell in work.group.cells]
    fits = [row for work in studio.works if (row := fit_row(work, folder)) is not None]
    write_rows(folder.path / CELLS, cells, CellRow)
    write_rows(folder.path / FITS, fits, FitRow)
    return cells


def write_account(studio: Studio, metrics: Metrics, folder: RunFolder, seconds: float) -> None:
    """suite.toml and run.json: what was run, by what, on what."""
    options = studio.prepared.options
    made = {work.group.method: dict(work.recipe.method) for work in studio.works}
    write_text(folder.path / "suite.toml", options.file.text)
    account = {
        "suite": options.file.suite.name,
        "seed": options.seed,
        "command": shlex.join(["bench", *sys.argv[1:]]),
        "commit": commit(),
        "libraries": versions(),
        "machine": machine(),
        "people": {
            who.id: {"noun": who.noun, "origin": who.origin, "attributes": dict(who.attributes)}
            for who in studio.prepared.people.chosen
        },
        "dataset": list(studio.remarks),
        "methods": {
            label: {
                "sees": sorted(studio.methods[label].sees),
                "trained_on": sorted(trained_on(studio.methods[label])),
                "made": parts,
            }
            for label, parts in made.items()
        },
        "fingerprints": {
            digest_of(studio.shared): dict(studio.shared),
            **{fingerprint_of(metric): dict(metric.fingerprint) for metric in metrics.all},
        },
        "seconds": round(seconds, 1),
    }
    write_json(folder.path / ACCOUNT, account)
