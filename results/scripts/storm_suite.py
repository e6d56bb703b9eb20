"""A suite of two rows and two people that needs neither a backbone nor a network, for `kill_storm.py`."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from PIL import Image

from bench.atomic_io import folder_digest
from methods.interface import MethodBase
from methods.subject import Request, Subject
from metrics.interface import RealPhoto, Sample, Score

METHODS = "storm_suite:Stamp,storm_suite:OtherStamp"
SUITE = f"""
name = "storm"
samples = 2
metrics = ["storm_suite:Brightness"]
rows = ["{METHODS.replace(",", '", "')}"]
[dataset]
kind = "folder"
path = "people"
references = 2
held_out = 2
[prompts]
set = "portrait"
count = 3
[backbone]
path = "none"
batch = 4
"""


@dataclass(frozen=True)
class Stamp(MethodBase):
    """Fits files in two folders; an image depends on them and, for the worst case, on its whole batch."""

    name: ClassVar[str] = "stamp"

    def fit(self, subject: Subject, into: Path, *, backbone: Any, seed: int) -> None:
        for number in range(4):
            file = into / f"part-{number % 2}" / str(number)
            file.parent.mkdir(exist_ok=True)
            file.write_bytes(random.Random(f"{seed} {number}").randbytes(5000))

    def load(self, fitted: Path, *, backbone: Any) -> "FittedStamp":
        return FittedStamp(folder_digest(fitted))


class OtherStamp(Stamp):
    """A second row."""


@dataclass(frozen=True)
class FittedStamp:
    """A fitted method."""

    digest: str

    def generate(self, requests: Sequence[Request]) -> list[Image.Image]:
        batch = " ".join(str(request.seed) for request in requests)
        texts = [f"{self.digest} {request.template} {request.seed} {batch}" for request in requests]
        return [Image.frombytes("RGB", (64, 64), random.Random(t).randbytes(64 * 64 * 3)) for t in texts]


class Brightness:
    """The mean of an image's values."""

    name, encoder, better = "brightness", "", "higher"
    fingerprint: ClassVar[dict[str, str]] = {"version": "1"}

    def score(self, samples: Sequence[Sample], real: Sequence[RealPhoto]) -> list[Score]:
        return [Score(sum(s.image.tobytes()) / len(s.image.tobytes())) for s in samples]


def write_inputs(folder: Path) -> None:
    """Write a suite and two people."""
    (folder / "suite.toml").write_text(SUITE)
    for who in ("ada", "bob"):
        (folder / "people" / who).mkdir(parents=True)
        for number in range(4):
            pixels = random.Random(f"{who} {number}").randbytes(48 * 48 * 3)
            Image.frombytes("RGB", (48, 48), pixels).save(folder / "people" / who / f"{number}.png")
