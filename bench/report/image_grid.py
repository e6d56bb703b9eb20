"""One picture that shows them all: reference photographs, then each method's drawing of the same prompt."""

import io
from collections.abc import Sequence
from typing import Final

from PIL import Image, ImageDraw, ImageFont

from bench.atomic_io import write_whole
from bench.runs.plan import Cell
from bench.runs.run_folder import RunFolder
from bench.runs.task import GroupTask
from bench.suite.prompts import PRIOR

SIDE: Final = 128
"""Pixels of one drawing in the grid."""
GAP: Final = 4
LEFT: Final = 150
TOP: Final = 36
PEOPLE: Final = 4
PROMPTS: Final = 3
REFERENCES: Final = 2
INK: Final = (30, 30, 30)


def write_grid(tasks: Sequence[GroupTask], folder: RunFolder) -> None:
    """Write grid.png and grid.webp for the first few people and prompts."""
    if not tasks:
        return
    methods = list(dict.fromkeys(task.group.method for task in tasks))
    people = list(dict.fromkeys(task.group.identity for task in tasks))[:PEOPLE]
    by_place = {(task.group.method, task.group.identity): task for task in tasks}
    rows = [(person, prompt) for person in people for prompt in _prompts(by_place[methods[0], person])]
    columns = REFERENCES + len(methods)
    size = (LEFT + columns * (SIDE + GAP), TOP + len(rows) * (SIDE + GAP))
    grid = Image.new("RGB", size, "white")
    pen = ImageDraw.Draw(grid)
    for column, title in enumerate(["references", *[""] * (REFERENCES - 1), *methods]):
        _write(pen, title, _corner(column, 0)[0], 8, SIDE)
    for y, (person, prompt) in enumerate(rows):
        _, top = _corner(0, y)
        _write(pen, person, 4, top + 4, LEFT - 8)
        _write(pen, prompt, 4, top + 24, LEFT - 8)
        for column, photo in enumerate(by_place[methods[0], person].who.references[:REFERENCES]):
            grid.paste(_fit(photo.load()), _corner(column, y))
        for column, method in enumerate(methods, start=REFERENCES):
            picture = _drawn(by_place[method, person], prompt, folder)
            grid.paste(picture or Image.new("RGB", (SIDE, SIDE), (225, 225, 225)), _corner(column, y))
    for name, options in (("grid.png", {"optimize": True}), ("grid.webp", {"quality": 85})):
        buffer = io.BytesIO()
        grid.save(buffer, name.rpartition(".")[2], **options)
        write_whole(folder.path / name, buffer.getvalue())


def _prompts(task: GroupTask) -> list[str]:
    cells = (cell for cell in task.group.cells if cell.prompt.category != PRIOR)
    return list(dict.fromkeys(cell.prompt.id for cell in cells))[:PROMPTS]


def _drawn(task: GroupTask, prompt: str, folder: RunFolder) -> Image.Image | None:
    """The first sample; None where it is not there, which the grid shows as grey."""
    cell: Cell = next(cell for cell in task.group.cells if cell.prompt.id == prompt)
    if not folder.has(cell, task.fingerprint_parts.fingerprint(cell)):
        return None
    with Image.open(folder.image(cell)) as picture:
        return _fit(picture.convert("RGB"))


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
