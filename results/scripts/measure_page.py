"""Measures how fast the page of a run opens and scrolls in Chromium, and writes `results/page.md`.

    python results/scripts/measure_page.py [--sizes 2000,10000]

The images are noise of 256 x 256 pixels, with 8 methods, 25 people and 10 metrics.
"""

import argparse
import os
import platform
import statistics
import tempfile
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from browser import address, browser_page
from PIL import Image

from bench.analysis.comparison_table import compare
from bench.markdown import table
from bench.report.html.page import write_page
from bench.runs.finished_run import Column, FinishedRun
from bench.runs.records.run_manifest import MethodRecord, PersonRecord, RunManifest
from bench.runs.records.tables import CellRow, ScoreRow
from bench.runs.run_folder import RunFolder

PAGE = Path(__file__).parents[1] / "page.md"
METHODS, PEOPLE, PROMPTS = 8, 25, 5
COLUMNS = tuple(Column("identity", f"network-{i}", "higher", "pictures", {}) for i in range(10))
STEP = 100
"""Pixels scrolled per frame: at 60 frames a second, about 30 rows of images a second."""
OPENED = """() => {
  const paint = performance.getEntriesByName('first-contentful-paint')[0];
  const [opened] = performance.getEntriesByType('navigation');
  return { view: paint.startTime, ready: opened.domContentLoadedEventEnd };
}"""
SCROLLED = """async (step) => {
  document.getElementById('gallery').scrollIntoView();
  await new Promise((done) => setTimeout(done, 1000));
  const frames = [];
  let before = performance.now();
  while (frames.length < 1500 && innerHeight + scrollY < document.documentElement.scrollHeight - 2) {
    scrollBy(0, step);
    const now = await new Promise(requestAnimationFrame);
    frames.push(now - before);
    before = now;
  }
  return { frames, rows: document.querySelectorAll('.row').length };
}"""
SORTED = """() => {
  const list = document.querySelector('[aria-label="sort by"]');
  const before = performance.now();
  list.value = 'worst';
  list.dispatchEvent(new Event('change'));
  return performance.now() - before;
}"""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sizes", default="2000,10000")
    sizes = [int(size) for size in parser.parse_args().sizes.split(",")]
    with tempfile.TemporaryDirectory() as folder:
        found = [measure(Path(folder) / str(size), size) for size in sizes]
    PAGE.write_text(page(found), encoding="utf-8")


def measure(folder: Path, size: int) -> dict[str, str]:
    """The lines of the table for a run of about `size` images."""
    run = write_run(folder, size)
    write_page(compare(run), (), folder / "report.html")
    load = os.getloadavg()[0]
    with browser_page(1400, 900) as opened:
        opened.goto(address(folder / "report.html"))
        first: dict[str, float] = opened.evaluate(OPENED)
        session = opened.context.new_cdp_session(opened)
        session.send("Performance.enable")
        before = work_of(session)
        scrolled: dict[str, Any] = opened.evaluate(SCROLLED, STEP)
        work = work_of(session) - before
        sort: float = opened.evaluate(SORTED)
    frames = sorted(scrolled["frames"])
    slow = sum(frame > 50 for frame in frames)
    return {
        "images": f"{len(run.cells):,}",
        "size of the page, MB": f"{(folder / 'report.html').stat().st_size / 1e6:.1f}",
        "time to the first view, ms": f"{first['view']:.0f}",
        "time until the table and the gallery respond, ms": f"{first['ready']:.0f}",
        "rows scrolled through": str(scrolled["rows"]),
        "frame while scrolling, median, ms": f"{statistics.median(frames):.0f}",
        "frame while scrolling, 95th percentile, ms": f"{frames[int(0.95 * len(frames))]:.0f}",
        "script, style and layout per frame, mean, ms": f"{1000 * work / len(frames):.1f}",
        "frames over 50 ms": f"{slow} of {len(frames)}",
        "sorting all rows, ms": f"{sort:.0f}",
        "load of the machine": f"{load:.1f}",
    }


def work_of(session: Any) -> float:
    """Seconds that the page's script, style and layout have taken so far."""
    found = {one["name"]: one["value"] for one in session.send("Performance.getMetrics")["metrics"]}
    return float(found["ScriptDuration"] + found["RecalcStyleDuration"] + found["LayoutDuration"])


def write_run(folder: Path, size: int) -> FinishedRun:
    """A run with images of noise."""
    rng = np.random.default_rng(0)
    people, samples = [f"p{i:02d}" for i in range(PEOPLE)], max(1, size // (METHODS * PEOPLE * PROMPTS))
    methods = ["text-only", *(f"method-{i}" for i in range(1, METHODS))]
    cells, scores = [], []
    for who, prompt, sample, method in product(people, range(PROMPTS), range(1, samples + 1), methods):
        place = (method, who, f"prompt-{prompt}", "free")
        name = f"{method}/{who}/{prompt}/s{sample}"
        cells.append(CellRow(name, *place, "{subject}", sample, seed=1, status="generated"))
        scores += [
            ScoreRow(*place, sample, column.name, column.encoder, float(rng.random()), "", "f")
            for column in COLUMNS
        ]
        path = RunFolder(folder).image_of(cells[-1])
        path.parent.mkdir(parents=True, exist_ok=True)
        noise = Image.fromarray(rng.integers(0, 255, (16, 16, 3), dtype=np.uint8))
        noise.resize((256, 256), Image.Resampling.BICUBIC).save(path, compress_level=1)
    manifest = RunManifest(
        suite=f"{size} images",
        people={who: PersonRecord("woman") for who in people},
        methods={"text-only": MethodRecord(role="floor")},
    )
    return FinishedRun(folder, manifest, COLUMNS, tuple(cells), (), tuple(scores), ())


def page(found: list[dict[str, str]]) -> str:
    names = [name for name in found[0] if name != "images"]
    header = ["", *(one["images"] + " images" for one in found)]
    lines = [[name, *(one[name] for one in found)] for name in names]
    return (
        "# The page by the number of images\n\nWritten by `python results/scripts/measure_page.py`.\n\n"
        f"Images of 256 pixels, 8 methods, {len(COLUMNS)} metrics. Chromium without a GPU, headless, "
        f"1400 x 900. The gallery is scrolled by {STEP} pixels per frame, for at most 1,500 frames; the "
        "images on the way are read, decoded and drawn. A load above the number of cores lengthens times. "
        f"{platform.machine()}, {os.cpu_count()} cores.\n\n{table(header, lines)}\n"
    )


if __name__ == "__main__":
    main()
