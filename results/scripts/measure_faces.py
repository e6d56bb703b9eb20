"""Measures how well the face networks tell people apart, and their time.

    python results/scripts/measure_faces.py --out results/reproduction/face-networks.md

AUC over all pairs of photographs: the ten synthetic people of the package openpeople, and the 32 rendered
people that ship. Intervals resample people.
"""

import argparse
import time
from pathlib import Path
from typing import Final

import numpy as np
from PIL import Image
from world.statistics import Measured, People, area

from bench.atomic_io import write_text
from bench.datasets.registry import open_dataset
from bench.markdown import table
from bench.suite.suite import DatasetSettings
from metrics.encoders.faces.face_rendered import FaceRendered
from metrics.encoders.faces.mobilefacenet import MobileFaceNet
from metrics.encoders.faces.sface import SFace
from metrics.encoders.faces.yunet import YuNet
from metrics.interface import Encoder

SEED: Final = 0
NETWORKS: Final = {
    "openpeople": (SFace, MobileFaceNet),
    # face-rendered expects images that are aligned by the eyes, as renders are.
    "rendered": (SFace, MobileFaceNet, FaceRendered),
}
HEAD: Final = ["photographs", "network", "AUC [95 % interval]", "people", "faces found", "ms per image"]
PAGE: Final = """# Face networks

Written by `python results/scripts/measure_faces.py`. AUC over all pairs of photographs: 1 if every pair of
one person is more similar than every pair of two people, 0.5 by chance. Intervals are percentile bootstraps
that resample people. `openpeople`: 16 expressions, three views (one or two of them profiles), a portrait and
a selfie of each person, from a generative model. `rendered`: twelve views of 64 pixels of each person.
Milliseconds are processor time for alignment and network, without face detection, on one thread.

{table}

No threshold and no input size was chosen on these photographs. Ten people are few: the intervals show it.
"""


def photographs(dataset: str) -> tuple[list[Image.Image], People]:
    """All photographs of a dataset, and the person of each."""
    source = open_dataset(DatasetSettings(dataset), Path())
    by_person = [[photo.load() for photo in source.photos(name)] for name in source.names()]
    people = [person for person, photos in enumerate(by_person) for _ in photos]
    return [photo for photos in by_person for photo in photos], np.array(people, np.int64)


def measure(dataset: str, yunet: YuNet) -> list[list[str]]:
    """One row per network."""
    images, people = photographs(dataset)
    yunet.find(images)
    rows = []
    for network in NETWORKS[dataset]:
        encoder: Encoder = network(yunet)
        start = time.process_time()
        vectors = encoder.encode(images)
        milliseconds = 1000 * (time.process_time() - start) / len(images)
        found = area(vectors, people, seed=SEED)
        faces = f"{found.n} of {len(images)}"
        cells = [interval(found), str(found.people), faces, f"{milliseconds:.0f}"]
        rows.append([dataset, encoder.name, *cells])
    return rows


def interval(found: Measured) -> str:
    """Value and interval."""
    return f"{found.value:.3f} [{found.low:.3f}, {found.high:.3f}]"


def main() -> None:
    """Measure and write the page."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True, help="output page")
    page = parser.parse_args().out
    yunet = YuNet()
    rows = [row for dataset in NETWORKS for row in measure(dataset, yunet)]
    write_text(page, PAGE.format(table=table(HEAD, rows)))


if __name__ == "__main__":
    main()
