"""Measures the embedded world as it ships: the numbers, a page about them, two sheets of pictures.

    bench run --suite personalisation --methods all --out results/personalisation
    python results/scripts/measure_world.py --data DIR

DIR is what `bench train people --data DIR` wrote. Only its test people count, whom no network was trained on.
"""

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

from bench.torchvision_compat import ensure_torchvision_imports

# The imports below load torchvision.
ensure_torchvision_imports()

import numpy as np
import torch
from PIL import Image
from world.methods import of_methods
from world.page import render
from world.people import SEED, Pictures, Rows, World
from world.provenance import RESTORED_EACH, SUITE, account, strange
from world.statistics import Floats, Measured, area, distance, mean, share

from bench.atomic_io import write_text
from bench.errors import BenchError
from bench.progress import reporting
from bench.runs.finished_run import read_run
from bench.suite.suite import open_suite
from bench.training.workspace import ROOT, TrainingPaths
from methods.backbone.backbone import Backbone
from methods.backbone.images import pictures_of
from methods.backbone.sampling import decode
from metrics.encoders.attributes import AttributeClassifier
from metrics.encoders.efficientnet import EfficientNet
from metrics.interface import Features
from metrics.statistics.frechet import frechet_distance
from metrics.statistics.kernel import kernel_distance

SAID: Final = ("background", "shirt", "glasses", "hat", "expression", "pose")
"""What captions say of the picture; nothing of glasses or a hat that are not there."""
AT_ONCE: Final = 50
Found = dict[str, Measured]


@dataclass(frozen=True)
class Generated:
    """What the backbone drew, and what each full batch took."""

    images: Pictures
    wall: list[float]
    """Seconds a picture."""
    processor: list[float]
    """Seconds a picture of all threads together."""


def main(words: Sequence[str] | None = None) -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data", type=Path, default=ROOT / "people", help="what `bench train people` wrote")
    parser.add_argument(
        "--run",
        type=Path,
        default=Path(__file__).parents[1] / "personalisation",
        help="a run of suite personalisation by the same weights",
    )
    parser.add_argument("--people", type=int, default=100, help="test people, the first so many")
    parser.add_argument("--captions", type=int, default=500, help="pictures to draw")
    parser.add_argument("--threads", type=int, default=2, help="of torch")
    parser.add_argument("--out", type=Path, default=Path(__file__).parents[1] / "world")
    given = parser.parse_args(words)
    torch.set_num_threads(given.threads)
    try:
        photos = TrainingPaths(given.data, checkpoints=given.data, out=given.out).photos("test")
        world = World.open(photos, given.people)
        halves = world.halves(given.captions)
        study = read_run(given.run)
    except BenchError as error:
        parser.error(str(error))
    # The bar is one for CPUs.
    backbone = Backbone.open(replace(open_suite(SUITE).suite.backbone, device="cpu"))
    before = account(world, backbone, given.data / "test", study)
    if other := strange(before):
        parser.error(f"{given.run}: drawn with another {other[0]}; run suite {study.manifest.suite} again")
    drawn = draw(backbone, [world.caption(row) for row in halves[0]])
    measured = {
        **of_renders(world),
        **of_autoencoder(world, backbone),
        **of_captions(world, drawn.images, halves[0]),
        **of_distribution(world, drawn.images, halves),
        **of_speed(drawn),
        **of_methods(study),
    }
    found = {name: asdict(number) for name, number in measured.items()}
    write(given.out, {**before, "captions": given.captions, "measured": found})
    write_sheet(given.out / "sheet.webp", drawn.images[:36], across=6, side=140)
    write_sheet(given.out / "renders.webp", world.pictures(world.first_of_each(1)[:64]), across=8, side=96)


def draw(backbone: Backbone, captions: Sequence[str]) -> Generated:
    """One picture for each caption, from the noise of its place in the list; the clock holds the drawing."""
    size = backbone.spec.batch
    drawn = Generated([], [], [])
    backbone.generate(captions[:size], range(size))
    with reporting("drawing") as report:
        for start in range(0, len(captions), size):
            part = captions[start : start + size]
            wall, processor = time.perf_counter(), time.process_time()
            drawn.images.extend(backbone.generate(part, range(start, start + len(part))))
            wall, processor = time.perf_counter() - wall, time.process_time() - processor
            if len(part) == size:
                drawn.wall.append(wall / size)
                drawn.processor.append(processor / size)
            report(start + len(part), len(captions), f"{wall / size:.3f} s a picture")
    return drawn


def of_renders(world: World) -> Found:
    """How well face networks tell the test people apart by all their photographs."""
    return _areas(world, world.pictures(world.rows), world.rows, "renders")


def of_autoencoder(world: World, backbone: Backbone) -> Found:
    """What encoding and decoding leaves of photographs and of who is in them."""
    rows = world.first_of_each(RESTORED_EACH)
    pictures = world.pictures(rows)
    pixels = restore(backbone, pictures)
    error = np.square(pixels - np.stack([np.asarray(picture) for picture in pictures]) / 255).mean((1, 2, 3))
    return {
        "psnr": mean(-10 * np.log10(error), world.people(rows), seed=SEED),
        **_areas(world, pictures, rows, "same, before"),
        **_areas(world, pictures_of(pixels), rows, "restored"),
    }


def restore(backbone: Backbone, pictures: Pictures) -> Floats:
    """N x H x W x 3 in 0..1: each picture encoded to the posterior's mode, and decoded."""
    parts = [pictures[start : start + AT_ONCE] for start in range(0, len(pictures), AT_ONCE)]
    return np.concatenate([decode(backbone.pipe, backbone.encode_images(part)) for part in parts]).astype(
        float
    )


def of_captions(world: World, drawn: Pictures, rows: Rows) -> Found:
    """How often a picture shows what its caption says, and how often the classifier reads renders rightly."""
    classifier = AttributeClassifier()
    found = _shares(classifier, world, drawn, rows, "drawn")
    found |= _shares(classifier, world, world.pictures(world.rows), world.rows, "real")
    faces = [bool(boxes) for boxes in world.yunet.boxes(drawn)]
    found |= _chances(world, rows)
    return {**found, "face found, drawn": share(faces, world.people(rows))}


def of_distribution(world: World, drawn: Pictures, halves: tuple[Rows, Rows]) -> Found:
    """FID and KID of drawn pictures, and of renders with the same captions, to renders of other people."""
    network = EfficientNet()
    held_out = network.encode(world.pictures(halves[1]))
    found = {}
    for side, pictures in (("drawn", drawn), ("real", world.pictures(halves[0]))):
        features = network.encode(pictures)
        for name, kind in (("fid", frechet_distance), ("kid", _kid)):
            found[f"{name}, {side}"] = distance(kind, features, held_out, world.people(halves[0]))
    return found


def of_speed(drawn: Generated) -> Found:
    """Seconds a picture, over full batches."""
    times = {"seconds": drawn.wall, "processor seconds": drawn.processor}
    return {
        name: replace(mean(found, np.arange(len(found)), seed=SEED), people=None)
        for name, found in times.items()
    }


def write(out: Path, numbers: dict[str, Any]) -> None:
    """numbers.json, and the page made from it."""
    out.mkdir(parents=True, exist_ok=True)
    write_text(out / "numbers.json", json.dumps(numbers, indent=1) + "\n")
    write_text(out / "README.md", render(numbers))


def write_sheet(path: Path, pictures: Pictures, *, across: int, side: int) -> None:
    """The pictures in rows of `across`, each `side` pixels wide."""
    sheet = Image.new("RGB", (across * side, -(-len(pictures) // across) * side))
    for place, picture in enumerate(pictures):
        shown = picture.resize((side, side), Image.Resampling.BICUBIC)
        sheet.paste(shown, (place % across * side, place // across * side))
    beside = path.with_name(f".{path.name}")
    sheet.save(beside, "WEBP", quality=85)
    beside.replace(path)


def _areas(world: World, pictures: Pictures, rows: Rows, side: str) -> Found:
    people = world.people(rows)
    return {f"auc@{e.name}, {side}": area(e.encode(pictures), people, seed=SEED) for e in world.faces}


def _shares(
    classifier: AttributeClassifier, world: World, pictures: Pictures, rows: Rows, side: str
) -> Found:
    seen = classifier.describe(pictures)
    found = {}
    for name in SAID:
        truth = np.array(world.photos.labels(name))[rows]
        right = np.array([picture.get(name) for picture in seen]) == truth
        for words, judged in ((name, truth != "none"), (f"no {name}", truth == "none")):
            if judged.any():
                found[f"{words}, {side}"] = share(right[judged], world.people(rows[judged]))
    return found


def _chances(world: World, rows: Rows) -> Found:
    """How often two captions that name an attribute name the same."""
    found = {}
    for name in SAID:
        truth = np.array(world.photos.labels(name))[rows]
        named = truth[truth != "none"]
        _, counts = np.unique(named, return_counts=True)
        if len(named):
            chance = float(np.square(counts / len(named)).sum())
            found[f"{name}, chance"] = Measured(chance, None, None, len(named))
    return found


def _kid(x: Features, y: Features) -> float:
    return kernel_distance(x, y, rng=np.random.default_rng(SEED)).value


if __name__ == "__main__":
    main()
