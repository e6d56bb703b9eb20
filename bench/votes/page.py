"""The page of a study: one HTML file with its images, which works without a network and names no method.

Two images are compared, with a choice for no difference, as in DreamBooth (Ruiz et al. 2023, user study).
Identity and text are asked apart, each without regard to the other, as in DreamBench++ (Peng et al. 2024).
"""

import base64
import io
from collections.abc import Callable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any, Final

from PIL import Image

from bench.atomic_io import write_text
from bench.errors import ReportError
from bench.report.html.document import document
from bench.runs.finished_run import FinishedRun
from bench.runs.records.tables import CellRow
from bench.runs.run_folder import RunFolder
from bench.subjects.identity import Identity
from bench.suite.prompts import SLOT
from bench.votes.study import Comparison, Study

SIDE: Final = 640
"""Most pixels of the longer side of an image."""
SMALL: Final = 160
"""Images of up to this side are stored without loss."""
QUALITY: Final = 92
MOST_REFERENCES: Final = 4
TITLE: Final = "Which image is better?"
INTRODUCTION: Final = (
    "You see reference photographs of a person (or thing) and two images that computers made from them. "
    "Compare the images twice. For the person, ignore the background, clothes and style that the text asks "
    "for, and look at the face and other lasting features. For the text, ignore who is shown. There is no "
    "right answer: trust your first impression, and say so where you see no difference."
)


def write_page(run: FinishedRun, study: Study, people: Sequence[Identity], path: Path) -> None:
    """Write the page of a study. Raises ReportError where an image or a person's photographs are missing."""
    body = (
        f'<h1>{escape(TITLE)}</h1><details id="about" open><summary>How to answer</summary>'
        f"<p>{escape(INTRODUCTION)}</p></details>"
        '<main id="study"></main>'
    )
    data = page_data(run, study, {who.id: who for who in people})
    text = document(TITLE, body, data, ("elements.js", "votes.js"), ("page.css", "votes.css"))
    write_text(path, text)


def page_data(run: FinishedRun, study: Study, people: Mapping[str, Identity]) -> dict[str, Any]:
    """What the script shows. People and images are numbered in the order of their appearance."""
    folder = RunFolder(run.path)
    cells = {(c.method, c.identity, c.prompt, c.sample): c for c in run.cells}
    images: dict[CellRow, int] = {}
    addresses: list[str] = []
    known: dict[str, int] = {}
    persons: list[dict[str, Any]] = []

    def number(cell: CellRow) -> int:
        if cell not in images:
            images[cell] = len(addresses)
            addresses.append(_image(folder, cell))
        return images[cell]

    comparisons = []
    for comparison in study.comparisons:
        if comparison.person not in known:
            known[comparison.person] = len(persons)
            persons.append(_person(people, comparison.person))
        left, right = (cells[method, *_place(comparison)] for method in (comparison.left, comparison.right))
        comparisons.append(
            {
                "person": known[comparison.person],
                "text": left.template.replace(SLOT, people[comparison.person].phrase),
                "left": number(left),
                "right": number(right),
            }
        )
    return {
        "study": study.id,
        "run": study.run,
        "seed": study.seed,
        "people": persons,
        "images": addresses,
        "comparisons": comparisons,
    }


def _place(comparison: Comparison) -> tuple[str, str, int]:
    return comparison.person, comparison.prompt, comparison.sample


def _person(people: Mapping[str, Identity], who: str) -> dict[str, Any]:
    if who not in people or not people[who].references:
        raise ReportError(f"{who} has no reference photographs in the dataset, which voters compare with")
    photos = people[who].references[:MOST_REFERENCES]
    return {"references": [_address(photo.load) for photo in photos]}


def _image(folder: RunFolder, cell: CellRow) -> str:
    path = folder.image_of(cell)
    try:
        return _address(lambda: Image.open(path))
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise ReportError(
            f"{path}: the image cannot be read ({error}); generate it again with `bench run`"
        ) from error


def _address(load: Callable[[], Image.Image]) -> str:
    """The image as a `data:` address, without any metadata."""
    image = load().convert("RGB")
    image.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    plain = Image.frombytes("RGB", image.size, image.tobytes())
    buffer = io.BytesIO()
    plain.save(buffer, "WEBP", quality=QUALITY, lossless=max(image.size) <= SMALL)
    return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode()
