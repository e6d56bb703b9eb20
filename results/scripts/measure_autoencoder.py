"""Measures an autoencoder on renders of people on whom no network was trained.

    python results/scripts/measure_autoencoder.py --autoencoder FOLDER --data DIR --out FILE

FOLDER is a `vae` folder in diffusers' layout; DIR is the output of `bench train people --data DIR`. Renders
are encoded (the posterior's mode) and decoded; FILE gets the numbers as JSON. FIDs are to the renders of the
first test people: of the same renders restored, and of renders of as many other people, restored and as they
are. A perfect denoiser would have the FID of other people, restored.
"""

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace

from bench.torchvision_compat import ensure_torchvision_imports

# The imports below load torchvision.
ensure_torchvision_imports()

import numpy as np
import torch
from diffusers import AutoencoderKL
from diffusers.image_processor import VaeImageProcessor
from measure_backbone import through_autoencoder
from world.people import Images, RenderedPeople, Rows
from world.statistics import Measured, People, distance, mean

from bench.atomic_io import write_text
from bench.training.workspace import TrainingPaths
from metrics.encoders.efficientnet import EfficientNet
from metrics.encoders.faces.sface import SFace
from metrics.interface import Encoder
from metrics.statistics.frechet import frechet_distance
from metrics.statistics.verification import cosine


def main() -> None:
    """Restore the renders, measure, and write `--out`."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--autoencoder", type=Path, required=True, help="folder of the autoencoder")
    parser.add_argument("--data", type=Path, required=True, help="output folder of `bench train people`")
    parser.add_argument("--people", type=int, default=40, help="number of test people, and of other people")
    parser.add_argument("--out", type=Path, required=True, help="output file")
    args = parser.parse_args()
    torch.set_num_threads(1)
    sample = RenderedPeople.open(TrainingPaths(args.data).photos("test"), 2 * args.people, "twice --people")
    autoencoder = AutoencoderKL.from_pretrained(args.autoencoder).eval()
    measured = measure(sample, args.people, autoencoder)
    report = {
        "people": args.people,
        "measured": {name: asdict(value) for name, value in measured.items()},
    }
    write_text(args.out, json.dumps(report, indent=1) + "\n")


def measure(sample: RenderedPeople, people: int, autoencoder: AutoencoderKL) -> dict[str, Measured]:
    """PSNR in dB, cosine of the faces by SFace, and FIDs, of a sample of twice as many people as measured."""
    pipeline = SimpleNamespace(vae=autoencoder, image_processor=VaeImageProcessor())
    is_other = sample.people(sample.rows) >= people
    rows, other_rows = sample.rows[~is_other], sample.rows[is_other]
    renders, others = sample.images(rows), sample.images(other_rows)
    restored, others_restored = (through_autoencoder(pipeline, images) for images in (renders, others))
    network = EfficientNet()
    against = network.encode(renders)

    def fid(images: Images, of: Rows) -> Measured:
        return distance(frechet_distance, network.encode(images), against, sample.people(of))

    return {
        "psnr": mean(psnr(restored, renders), sample.people(rows)),
        "cosine of the faces (sface)": face_similarity(
            SFace(sample.yunet), restored, renders, sample.people(rows)
        ),
        "fid": fid(restored, rows),
        "fid of other people": fid(others_restored, other_rows),
        "fid of other people, not encoded": fid(others, other_rows),
    }


def psnr(images: Images, references: Images) -> list[float]:
    """Peak signal-to-noise ratio of each image in dB."""
    errors = [
        np.square((np.asarray(one, float) - np.asarray(other, float)) / 255).mean()
        for one, other in zip(images, references, strict=True)
    ]
    return [float(-10 * np.log10(error)) for error in errors]


def face_similarity(network: Encoder, images: Images, references: Images, people: People) -> Measured:
    """Mean cosine of the faces of each pair of images; pairs without a face in both are left out."""
    faces, expected = network.encode(images), network.encode(references)
    found = np.isfinite(faces).all(1) & np.isfinite(expected).all(1)
    return mean(cosine(faces[found], expected[found]).diagonal().tolist(), people[found])


if __name__ == "__main__":
    main()
