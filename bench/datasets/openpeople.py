"""OpenPeople: photorealistic synthetic persons from PyPI, their sheets cut into captioned face photographs.

Every person comes as two sheets and single pictures, drawn by a generative model (MIT licence; nobody in them
exists). A sheet's white frames are looked for, since they lie elsewhere on every sheet; of a cell the middle
square is taken. Left out are the back of the head and the whole-body pictures, whose faces are small.
"""

import json
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bench.errors import DatasetError
from bench.subjects.identity import Identity, PhotoFile, split
from bench.subjects.image_files import Box
from bench.suite.suite import DatasetSettings

EXPRESSIONS: Final = {
    "neutral": "with a neutral expression",
    "happy": "with a happy smile",
    "sad": "looking sad",
    "angry": "looking angry",
    "surprised": "looking surprised",
    "disgusted": "looking disgusted",
    "scared": "looking scared",
    "confused": "looking confused",
    "smug": "looking smug",
    "flirty": "looking flirty",
    "thoughtful": "looking thoughtful",
    "pensive": "looking pensive",
    "exhausted": "looking exhausted",
    "shocked": "looking shocked",
    "playful": "looking playful",
    "determined": "looking determined",
}
"""In the order of the sheet, row by row."""
# The sheets' own "left" and "right" are not to be trusted: some people look the same way in both.
VIEWS: Final = {0: "facing the camera", 1: "seen from the side", 3: "seen from the side"}
"""Columns of the character sheet's first row; the third shows the back of the head."""
GROUPS: Final[tuple[str, ...]] = ("sex", "age_range", "skin_tone")
SEXES: Final = {"male": "man", "female": "woman"}
WHITE: Final = 200
"""Grey value of a frame, 0..255; the grey around it is near 125, shirts are as white but not as wide."""
INSIDE: Final = 8
"""Pixels between the frame's measured edge, known to 4 pixels, and what is taken."""


class OpenPeople:
    """Reads the `openpeople` package, or a folder in the layout of its `data/curated`."""

    def __init__(self, settings: DatasetSettings, base: Path) -> None:
        self._settings = settings
        self._root = base / settings.path if settings.path else _installed()
        self._people = sorted(path.parent for path in self._root.glob("*/metadata.json"))
        if not self._people:
            raise DatasetError(f"{self._root}: no */metadata.json; wanted is OpenPeople's folder `curated`")

    def names(self) -> list[str]:
        """`p001`, ..."""
        return [folder.name.lower() for folder in self._people]

    @property
    def remarks(self) -> tuple[str, ...]:
        """None: a sheet that is missing or cannot be cut is refused where it is asked for."""
        return ()

    def identity(self, name: str) -> Identity:
        """One person, split by the suite's seed."""
        about = self._about(name)
        references, held_out = split(name, self.photos(name), self._settings)
        traits: dict[str, str] = {key: str(about[key]) for key in GROUPS if key in about}
        noun = SEXES.get(traits.get("sex", ""), "person")
        return Identity(name, noun, tuple(references), tuple(held_out), traits, origin="openpeople")

    def photos(self, name: str) -> tuple[PhotoFile, ...]:
        """16 expressions, 3 views, the portrait and the selfie."""
        return tuple(_photos(self._folder(name) / "assets"))

    def _folder(self, name: str) -> Path:
        return next(folder for folder in self._people if folder.name.lower() == name)

    def _about(self, name: str) -> dict[str, Any]:
        path = self._folder(name) / "metadata.json"
        try:
            about: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            return dict(about["character_details"]["demographics"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DatasetError(f"{path}: no character_details.demographics ({error})") from error


def _installed() -> Path:
    found = find_spec("openpeople")
    if found is None or found.origin is None:
        raise DatasetError(
            "dataset: the package openpeople is not installed; pip install 'personabench[openpeople]'"
        )
    return Path(found.origin).parent / "data" / "curated"


def _photos(assets: Path) -> Iterator[PhotoFile]:
    sheet = assets / "emotions_sheet.jpg"
    for box, (expression, words) in zip(cells(sheet, rows=4), EXPRESSIONS.items(), strict=True):
        caption = f"a studio photo of {{subject}} {words}, grey background"
        yield PhotoFile(sheet, caption, {"expression": expression}, box)
    sheet = assets / "character_sheet.jpg"
    boxes = cells(sheet, rows=2)
    for column, words in VIEWS.items():
        yield PhotoFile(sheet, f"a studio photo of {{subject}}, {words}, grey background", {}, boxes[column])
    portrait = "a studio portrait of {subject}, facing the camera, wearing a white top, grey background"
    yield PhotoFile(assets / "studio_portrait.jpg", portrait)
    selfie = assets / "amateur_selfie.jpg"
    yield PhotoFile(selfie, "a casual selfie of {subject}, everyday clothes", {}, _upper_square(selfie))


def cells(sheet: Path, rows: int) -> list[Box]:
    """The middle squares of a sheet's framed cells, row by row, four in each."""
    try:
        with Image.open(sheet) as picture:
            size = picture.size
            # A quarter of the size is decoded in a tenth of the time.
            picture.draft("L", (size[0] // 4, size[1] // 4))
            white = np.asarray(picture.convert("L")) > WHITE
    except OSError as error:
        raise DatasetError(f"{sheet}: cannot be read ({error}); install openpeople again") from error
    across, down = _edges(white.mean(0), size[0]), _edges(white.mean(1), size[1])
    if (len(across), len(down)) != (4, rows):
        raise DatasetError(
            f"{sheet}: {len(across)} x {len(down)} white frames found, wanted 4 x {rows}; "
            "is this openpeople 0.1?"
        )
    return [_square(left, top, right, bottom) for top, bottom in down for left, right in across]


def _edges(share: NDArray[np.float64], length: int) -> list[tuple[int, int]]:
    """Where cells begin and end between the frames' lines, in pixels of the sheet."""
    on = np.flatnonzero(share > 0.85 * share.max())
    lines = np.split(on, np.flatnonzero(np.diff(on) > 1) + 1)
    scale = length / len(share)
    return [
        (round((first[-1] + 1) * scale) + INSIDE, round(second[0] * scale) - INSIDE)
        for first, second in zip(lines[::2], lines[1::2], strict=False)
    ]


def _square(left: int, top: int, right: int, bottom: int) -> Box:
    side = min(right - left, bottom - top)
    left, top = (left + right - side) // 2, (top + bottom - side) // 2
    return Box(left, top, left + side, top + side)


def _upper_square(path: Path) -> Box:
    """Selfies stand upright with the head in the upper half, a hand's breadth below the edge."""
    try:
        with Image.open(path) as picture:
            width, height = picture.size
    except OSError as error:
        raise DatasetError(f"{path}: cannot be read ({error}); install openpeople again") from error
    top = min(height // 20, height - width)
    return Box(0, top, width, top + width)
