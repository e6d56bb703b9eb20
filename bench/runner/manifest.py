"""What a run leaves beside its pictures: the suite, who made what with which versions, cells, costs."""

import shlex
import sys
from collections.abc import Iterable, Mapping

from bench.runner.provenance import commit, machine, versions
from bench.runner.session import Studio
from bench.runs.atomic_io import read_json, write_json, write_text
from bench.runs.fingerprint import digest_of
from bench.runs.run_folder import RunFolder
from methods.interface import trained_on

ACCOUNT = "run.json"


def earlier_methods(folder: RunFolder) -> list[str]:
    """Methods that drew in this folder before."""
    methods = read_json(folder.path / ACCOUNT).get("methods", {})
    return list(methods) if isinstance(methods, dict) else []


def write_account(
    studio: Studio, metrics: Iterable[Mapping[str, str]], folder: RunFolder, seconds: float
) -> None:
    """Write suite.toml and run.json; `metrics` are the fingerprint parts of every metric."""
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
            **{digest_of(parts): dict(parts) for parts in metrics},
        },
        "seconds": round(seconds, 1),
    }
    write_json(folder.path / ACCOUNT, account)
