"""OpenPeople: photorealistic synthetic people from PyPI, with sheets split into captioned face photographs.

Every person has two sheets and single images from a generative model (MIT licence; no real people). The white
frames have a different position on every sheet and are detected; the central square of each cell is used. The
back of the head and full-body images, whose faces are small, are left out.
"""

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
from bench.text_files import read_json

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
"""Caption phrase by expression, in the order of the sheet, row by row."""
# The labels "left" and "right" of the sheets are unreliable: some people face the same way in both.
VIEWS: Final = {0: "facing the camera", 1: "seen from the side", 3: "seen from the side"}
"""Caption phrase by column of the character sheet's first row; column 2 shows the back of the head."""
GROUPS: Final[tuple[str, ...]] = ("sex", "age_range", "skin_tone")
SEXES: Final = {"male": "man", "female": "woman"}
FRAME_GREY: Final = 200
"""Minimum grey value of a frame, 0..255; the background is near 125, white shirts are narrower."""
MARGIN: Final = 8
"""Margin in pixels inside the detected frame, whose edge is known to 4 pixels."""


class OpenPeople:
    """Reads the `openpeople` package, or a folder in the layout of its `data/curated`."""

    def __init__(self, settings: DatasetSettings, base: Path) -> None:
        self._settings = settings
        self._root = base / settings.path if settings.path else _package_folder()
        self._people = sorted(path.parent for path in self._root.glob("*/metadata.json"))
        if not self._people:
            raise DatasetError(f"{self._root}: no */metadata.json; expected OpenPeople's folder `curated`")

    def names(self) -> list[str]:
        """Ids of all people: `p001`, ..."""
        return [folder.name.lower() for folder in self._people]

    @property
    def remarks(self) -> tuple[str, ...]:
        """Always empty: a missing or malformed sheet raises an error when it is read."""
        return ()

    def identity(self, name: str) -> Identity:
        """One person, split with the suite's seed."""
        demographics = self._demographics(name)
        references, held_out = split(name, self.photos(name), self._settings)
        traits: dict[str, str] = {key: str(demographics[key]) for key in GROUPS if key in demographics}
        noun = SEXES.get(traits.get("sex", ""), "person")
        return Identity(name, noun, tuple(references), tuple(held_out), traits, origin="openpeople")

    def photos(self, name: str) -> tuple[PhotoFile, ...]:
        """16 expressions, 3 views, the portrait and the selfie."""
        return tuple(_photos(self._folder(name) / "assets"))

    def _folder(self, name: str) -> Path:
        return next(folder for folder in self._people if folder.name.lower() == name)

    def _demographics(self, name: str) -> dict[str, Any]:
        path = self._folder(name) / "metadata.json"
        metadata = read_json(path)
        try:
            return dict(metadata["character_details"]["demographics"])
        except (ValueError, KeyError, TypeError) as error:
            raise DatasetError(f"{path}: no character_details.demographics ({error})") from error


def _package_folder() -> Path:
    found = find_spec("openpeople")
    if found is None or found.origin is None:
        raise DatasetError(
            "dataset: the package openpeople is not installed; pip install 'personabench[openpeople]'"
        )
    return Path(found.origin).parent / "data" / "curated"


def _photos(assets: Path) -> Iterator[PhotoFile]:
    sheet = assets / "emotions_sheet.jpg"
    for box, (expression, phrase) in zip(cells(sheet, rows=4), EXPRESSIONS.items(), strict=True):
        caption = f"a studio photo of {{subject}} {phrase}, grey background"
        yield PhotoFile(sheet, caption, {"expression": expression}, box)
    sheet = assets / "character_sheet.jpg"
    boxes = cells(sheet, rows=2)
    for column, phrase in VIEWS.items():
        yield PhotoFile(sheet, f"a studio photo of {{subject}}, {phrase}, grey background", {}, boxes[column])
    portrait = "a studio portrait of {subject}, facing the camera, wearing a white top, grey background"
    yield PhotoFile(assets / "studio_portrait.jpg", portrait)
    selfie = assets / "amateur_selfie.jpg"
    yield PhotoFile(selfie, "a casual selfie of {subject}, everyday clothes", {}, _upper_square(selfie))


def cells(sheet: Path, rows: int) -> list[Box]:
    """The central squares of a sheet's framed cells, row by row, four per row."""
    try:
        with Image.open(sheet) as image:
            size = image.size
            # Decoding at a quarter of the size takes a tenth of the time.
            image.draft("L", (size[0] // 4, size[1] // 4))
            white = np.asarray(image.convert("L")) > FRAME_GREY
    except OSError as error:
        raise DatasetError(f"{sheet}: cannot be read ({error}); install openpeople again") from error
    across, down = _edges(white.mean(0), size[0]), _edges(white.mean(1), size[1])
    if (len(across), len(down)) != (4, rows):
        raise DatasetError(
            f"{sheet}: {len(across)} x {len(down)} white frames found, expected 4 x {rows}; "
            "is this openpeople 0.1?"
        )
    return [_square(left, top, right, bottom) for top, bottom in down for left, right in across]


def _edges(share: NDArray[np.float64], length: int) -> list[tuple[int, int]]:
    """Start and end of each cell between the frame lines, in pixels of the sheet."""
    on = np.flatnonzero(share > 0.85 * share.max())
    lines = np.split(on, np.flatnonzero(np.diff(on) > 1) + 1)
    scale = length / len(share)
    return [
        (round((first[-1] + 1) * scale) + MARGIN, round(second[0] * scale) - MARGIN)
        for first, second in zip(lines[::2], lines[1::2], strict=False)
    ]


def _square(left: int, top: int, right: int, bottom: int) -> Box:
    side = min(right - left, bottom - top)
    left, top = (left + right - side) // 2, (top + bottom - side) // 2
    return Box(left, top, left + side, top + side)


def _upper_square(path: Path) -> Box:
    """Upper square of a portrait-format selfie, 5 % below the edge; it contains the head."""
    try:
        with Image.open(path) as image:
            width, height = image.size
    except OSError as error:
        raise DatasetError(f"{path}: cannot be read ({error}); install openpeople again") from error
    top = min(height // 20, height - width)
    return Box(0, top, width, top + width)
