"""One image for a whole run: reference photographs, then each method's image of the same prompt."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from PIL import Image, ImageDraw, ImageFont

from bench.atomic_io import write_whole
from bench.runs.records.tables import CellRow
from bench.runs.run_folder import RunFolder
from bench.subjects.identity import Identity
from bench.suite.prompts import PRIOR

PNG: Final = "grid.png"
WEBP: Final = "grid.webp"
SIDE: Final = 128
"""Pixels of one image in the grid."""
GAP: Final = 4
LEFT: Final = 150
TOP: Final = 36
IDENTITIES: Final = 4
PROMPTS: Final = 3
REFERENCES: Final = 2
INK: Final = (30, 30, 30)
MISSING: Final = (225, 225, 225)


def write_grid(folder: RunFolder, cells: Sequence[CellRow], people: Sequence[Identity]) -> None:
    """Write grid.png and grid.webp for the first identities and prompts, unless these exist."""
    if not cells:
        return
    grid = _draw(folder, cells, people)
    # Compressing takes longer than drawing.
    if (folder.path / WEBP).exists() and _pixels(folder.path / PNG) == grid.tobytes():
        return
    for name, options in ((PNG, {"optimize": True}), (WEBP, {"quality": 85})):
        buffer = io.BytesIO()
        grid.save(buffer, name.rpartition(".")[2], **options)
        write_whole(folder.path / name, buffer.getvalue())


def _pixels(path: Path) -> bytes:
    """The pixels of a stored grid; empty if there is no readable one."""
    try:
        with Image.open(path) as image:
            return image.convert("RGB").tobytes()
    except (OSError, SyntaxError, ValueError):
        return b""


def _draw(folder: RunFolder, cells: Sequence[CellRow], people: Sequence[Identity]) -> Image.Image:
    methods = list(dict.fromkeys(cell.method for cell in cells))
    first = {(c.method, c.identity, c.prompt): c for c in reversed(cells) if c.category != PRIOR}
    rows = [(who, prompt) for who in people[:IDENTITIES] for prompt in _prompts(cells, methods[0], who.id)]
    columns = REFERENCES + len(methods)
    size = (LEFT + columns * (SIDE + GAP), TOP + len(rows) * (SIDE + GAP))
    grid = Image.new("RGB", size, "white")
    pen = ImageDraw.Draw(grid)
    for column, title in enumerate(["references", *[""] * (REFERENCES - 1), *methods]):
        _write(pen, title, _corner(column, 0)[0], 8, SIDE)
    for y, (who, prompt) in enumerate(rows):
        _, top = _corner(0, y)
        _write(pen, who.id, 4, top + 4, LEFT - 8)
        _write(pen, prompt, 4, top + 24, LEFT - 8)
        for column, photo in enumerate(who.references[:REFERENCES]):
            grid.paste(_fit(photo.load()), _corner(column, y))
        for column, method in enumerate(methods, start=REFERENCES):
            grid.paste(_image(first.get((method, who.id, prompt)), folder), _corner(column, y))
    return grid


def _prompts(cells: Sequence[CellRow], method: str, identity: str) -> list[str]:
    own = (c for c in cells if (c.method, c.identity) == (method, identity) and c.category != PRIOR)
    return list(dict.fromkeys(cell.prompt for cell in own))[:PROMPTS]


def _image(cell: CellRow | None, folder: RunFolder) -> Image.Image:
    """The first sample; grey where there is none that can be read."""
    if cell is None or cell.status != "generated":
        return Image.new("RGB", (SIDE, SIDE), MISSING)
    try:
        with Image.open(folder.image_of(cell)) as image:
            return _fit(image.convert("RGB"))
    except OSError:
        return Image.new("RGB", (SIDE, SIDE), MISSING)


def _corner(column: int, row: int) -> tuple[int, int]:
    return LEFT + column * (SIDE + GAP), TOP + row * (SIDE + GAP)


def _fit(image: Image.Image) -> Image.Image:
    scale = SIDE / max(image.size)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    square = Image.new("RGB", (SIDE, SIDE), "white")
    scaled = image.resize(size, Image.Resampling.LANCZOS)
    square.paste(scaled, ((SIDE - size[0]) // 2, (SIDE - size[1]) // 2))
    return square


def _write(pen: ImageDraw.ImageDraw, text: str, x: int, y: int, width: int) -> None:
    """One line, shortened to the width."""
    font = ImageFont.load_default(13)
    while text and pen.textlength(text, font=font) > width:
        text = text[:-2] + "…" if len(text) > 2 else ""
    pen.text((x, y), text, fill=INK, font=font)
