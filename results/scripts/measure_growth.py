"""Measures how the time of a run grows with the number of images, and writes `results/growth.md`.

    python results/scripts/measure_growth.py [--folder DIR] [--sizes 1000,10000,100000]

The method writes noise and the metrics need no network, so that the harness itself is measured: plan, check
of the existing images, scoring, report. DIR receives the runs and must not exist.
"""

import argparse
import json
import os
import platform
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from PIL import Image

from bench.markdown import table
from metrics.interface import MetricBase, Score

PAGE = Path(__file__).parents[1] / "growth.md"
METHODS, PEOPLE, PROMPTS = 5, 20, 10
"""A run of 1000 images has one sample of each."""
PHASES = {
    "plan_run": "plan",
    "open_session": "check of existing images",
    "write_cell_tables": "tables of images",
    "_score": "scores",
    "_write_report": "report",
}
"""Functions of `bench.benchmark`, in the order of a run."""
SUITE = """
name = "growth"
samples = {samples}
metrics = ["measure_growth:Brightness", "measure_growth:Contrast", "measure_growth:Gap"]
rows = [{rows}]

[dataset]
kind = "folder"
path = "people"
references = 2
held_out = 2

[prompts]
set = "person"
count = {prompts}

[backbone]
path = "none"
batch = 100
"""


@dataclass(frozen=True)
class Noise:
    """A method: 16 x 16 pixels of noise by seed, a little brighter for each number."""

    name: ClassVar[str] = "noise"
    number: int = 0
    conditioning_encoders: ClassVar[frozenset[str]] = frozenset()
    weights: ClassVar[tuple[Path, ...]] = ()

    def unsupported_reason(self, subject: Any) -> None:
        return None

    def fit(self, subject: Any, into: Path, *, backbone: Any, seed: int) -> None:
        (into / "fitted").write_text(subject.id)

    def load(self, fitted: Path, *, backbone: Any) -> "Noise":
        return self

    def generate(self, requests: Sequence[Any]) -> list[Image.Image]:
        pixels = (np.random.default_rng(request.seed).integers(0, 200, (16, 16, 3)) for request in requests)
        return [Image.fromarray((noise + 10 * self.number).astype(np.uint8)) for noise in pixels]


@dataclass(frozen=True)
class Brightness(MetricBase):
    """A metric: the mean of the pixels."""

    name: ClassVar[str] = "brightness"
    encoder: ClassVar[str] = ""
    better: ClassVar[str] = "higher"
    fingerprint: ClassVar[Mapping[str, str]] = {"version": "1"}

    def score(self, samples: Sequence[Any], real: Sequence[Any]) -> list[Score]:
        return [Score(float(np.asarray(sample.image).mean() / 255)) for sample in samples]


@dataclass(frozen=True)
class Contrast(Brightness):
    """A metric: the spread of the pixels."""

    name: ClassVar[str] = "contrast"

    def score(self, samples: Sequence[Any], real: Sequence[Any]) -> list[Score]:
        return [Score(float(np.asarray(sample.image).std() / 255)) for sample in samples]


@dataclass(frozen=True)
class Gap(Brightness):
    """A metric of sets: distance of the mean colours."""

    name: ClassVar[str] = "gap"

    def features(self, images: Sequence[Image.Image]) -> np.ndarray:
        return np.array([np.asarray(image).mean((0, 1)) for image in images])

    def measure(self, generated: np.ndarray, real: np.ndarray) -> Score:
        return Score(float(np.abs(generated.mean(0) - real.mean(0)).sum()))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir(), "growth"))
    parser.add_argument("--sizes", default="1000,10000,100000")
    parser.add_argument("--child", nargs=argparse.REMAINDER)
    arguments = parser.parse_args()
    if arguments.child is not None:
        run_and_measure(arguments.child)
        return
    arguments.folder.mkdir(parents=True)
    write_people(arguments.folder / "people")
    found = [measure(arguments.folder, int(size)) for size in arguments.sizes.split(",")]
    PAGE.write_text(page(found), encoding="utf-8")
    shutil.rmtree(arguments.folder)


def write_people(folder: Path) -> None:
    rng = np.random.default_rng(0)
    for person in range(PEOPLE):
        place = folder / f"p{person:02d}"
        place.mkdir(parents=True)
        for photo in range(4):
            pixels = rng.integers(0, 255, (16, 16, 3), dtype=np.uint8)
            Image.fromarray(pixels).resize((64, 64)).save(place / f"{photo}.png")
            (place / f"{photo}.txt").write_text("a photo of {subject}")


def measure(folder: Path, size: int) -> dict[str, Any]:
    """Seconds of the parts of a first and of a second run, and of `bench report`."""
    rows = [f"noise-{number}" for number in range(METHODS)]
    suite = folder / f"{size}.toml"
    text = SUITE.format(
        samples=size // (METHODS * PEOPLE * PROMPTS),
        prompts=PROMPTS,
        rows=", ".join(f'"{row}"' for row in rows),
    )
    tables = (
        f'\n[methods.{row}]\nbase = "measure_growth:Noise"\nnumber = {i}\n' for i, row in enumerate(rows)
    )
    suite.write_text(text + "".join(tables))
    out = folder / f"run-{size}"
    run = ("run", "--suite", str(suite), "--methods", "all", "--out", str(out), "--no-cache")
    return {
        "size": size,
        "load": os.getloadavg()[0],
        "first": child(*run),
        "second": child(*run),
        "report": child("report", str(out)),
    }


def child(*arguments: str) -> dict[str, Any]:
    """What `run_and_measure` found in a process of its own."""
    paths = [str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]
    started = time.perf_counter()
    done = subprocess.run(
        [sys.executable, __file__, "--child", *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths)), "OMP_NUM_THREADS": "1"},
    )
    if done.returncode:
        sys.exit(done.stderr)
    found: dict[str, Any] = json.loads(done.stderr.splitlines()[-1])
    return {**found, "all": time.perf_counter() - started}


def run_and_measure(arguments: Sequence[str]) -> None:
    """Run `bench` in this process; the last line on stderr is the time of its parts, as JSON."""
    from bench import benchmark
    from bench.cli.main import main as bench

    seconds: dict[str, float] = {}
    for name, part in PHASES.items():
        setattr(benchmark, name, timed(getattr(benchmark, name), part, seconds))
    sys.argv = ["bench", *arguments]
    try:
        bench()
    except SystemExit as ended:
        if ended.code:
            raise
    usage = resource.getrusage(resource.RUSAGE_SELF)
    about = {"cpu": usage.ru_utime + usage.ru_stime, "megabytes": usage.ru_maxrss / 1024}
    sys.stderr.write(f"\n{json.dumps({'parts': seconds, **about})}\n")


def timed(function: Callable[..., Any], part: str, seconds: dict[str, float]) -> Callable[..., Any]:
    def measured(*arguments: Any, **options: Any) -> Any:
        started = time.perf_counter()
        try:
            return function(*arguments, **options)
        finally:
            seconds[part] = seconds.get(part, 0.0) + time.perf_counter() - started

    return measured


def page(found: Sequence[Mapping[str, Any]]) -> str:
    columns = ["", *(f"{one['size']:,} images" for one in found)]

    def row(title: str, value: Callable[[Mapping[str, Any]], float], digits: int = 2) -> list[str]:
        return [title, *(f"{value(one):,.{digits}f}" for one in found)]

    rows = [row("first run: scores, s", lambda one: one["first"]["parts"]["scores"])]
    for part in PHASES.values():
        rows.append(row(f"second run: {part}, s", lambda one, part=part: one["second"]["parts"][part]))  # type: ignore[misc]
    for run, title in (("second", "second run"), ("report", "`bench report`")):
        rows.append(row(f"{title}: whole command, s", lambda one, run=run: one[run]["all"], 1))  # type: ignore[misc]
        rows.append(row(f"{title}: CPU, s", lambda one, run=run: one[run]["cpu"], 1))  # type: ignore[misc]
        rows.append(row(f"{title}: memory, MB", lambda one, run=run: one[run]["megabytes"], 0))  # type: ignore[misc]
    rows.append(row("load of the machine before", lambda one: one["load"], 1))
    about = (
        f"{METHODS} methods, {PEOPLE} people, {PROMPTS} prompts; images of 16 pixels; two metrics of images "
        f"and one of sets, without networks. {platform.machine()}, {os.cpu_count()} cores, "
        f"Python {platform.python_version()}. The time of a whole first run is mostly its "
        "method's. A load above the number of cores lengthens wall times by their ratio, and CPU times by "
        "up to one half."
    )
    command = "Written by `python results/scripts/measure_growth.py`."
    return "\n\n".join(["# Time by the number of images", command, about, table(columns, rows)]) + "\n"


if __name__ == "__main__":
    main()
