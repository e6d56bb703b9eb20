"""The run folder: what exists is what has a whole file with a matching fingerprint.

<run>/suite.toml, run.json, *.csv, report.md, grid.png
<run>/images/<method>/<identity>/<prompt>.s1.png      the picture; its fingerprint is in the PNG's text
<run>/images/<method>/<identity>/<prompt>.s1.json     its timings and its recipe
<run>/images/<method>/<identity>/<prompt>.s1.failed.json    or why there is no picture
<run>/fits/<method>/<identity>/                       what `fit` wrote
<run>/fits/<method>/<identity>.json                   its fingerprint and timings
"""

import fcntl
import io
import os
import platform
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from bench.atomic_io import refusal, write_json, write_whole
from bench.errors import StoreError
from bench.runs.plan import Cell

LOCK: Final = ".lock"
TEXT_KEY: Final = "personabench"
PNG_END: Final = b"IEND\xaeB`\x82"
"""The last bytes of every whole PNG."""


@dataclass(frozen=True)
class RunFolder:
    """Paths and whole-file writes of one run."""

    path: Path

    def image(self, cell: Cell) -> Path:
        """Where the cell's picture stands."""
        return (
            self.path / "images" / safe(cell.method) / cell.identity / f"{cell.prompt.id}.s{cell.sample}.png"
        )

    def sidecar(self, cell: Cell) -> Path:
        """Where the picture's timings and recipe stand."""
        return self.image(cell).with_suffix(".json")

    def failure(self, cell: Cell) -> Path:
        """Where the reason stands if drawing failed."""
        return self.image(cell).with_suffix(".failed.json")

    def fit(self, method: str, identity: str) -> Path:
        """The folder that `fit` filled."""
        return self.path / "fits" / safe(method) / identity

    def fit_sidecar(self, method: str, identity: str) -> Path:
        """The fitting's fingerprint and timings."""
        folder = self.fit(method, identity)
        return folder.with_name(folder.name + ".json")

    def found(self, cell: Cell) -> str | None:
        """The fingerprint of the whole picture that is there, or None."""
        try:
            with self.image(cell).open("rb") as file:
                file.seek(-len(PNG_END), os.SEEK_END)
                if file.read() != PNG_END:
                    return None
                file.seek(0)
                with Image.open(file) as picture:
                    fingerprint = picture.info.get(TEXT_KEY)
        except (OSError, SyntaxError, ValueError):
            return None
        return str(fingerprint) if fingerprint else None

    def has(self, cell: Cell, fingerprint: str) -> bool:
        """Whether the cell's picture is there and was made in exactly this way."""
        return self.found(cell) == fingerprint

    def save(self, cell: Cell, picture: Image.Image, fingerprint: str, record: Mapping[str, Any]) -> None:
        """Write the sidecar, then the picture: a picture that is there has its timings too."""
        text = PngInfo()
        text.add_text(TEXT_KEY, fingerprint)
        buffer = io.BytesIO()
        Image.frombytes("RGB", picture.size, picture.convert("RGB").tobytes()).save(
            buffer, "PNG", pnginfo=text
        )
        write_json(self.sidecar(cell), record)
        write_whole(self.image(cell), buffer.getvalue())


def safe(name: str) -> str:
    """A method's name as a folder's: not every file system takes the colon of `package.module:Class`."""
    return name.replace(":", "+").replace("/", "_")


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the run folder for this process alone.

    The system drops the lock when its holder ends, however it ends, so a killed run leaves none behind.
    Raises StoreError where another run holds it, or where the folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = (folder / LOCK).open("a+", encoding="utf-8")
    except OSError as error:
        raise refusal(folder, error) from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            file.seek(0)
            holder = file.read().strip() or "another process"
            raise StoreError(
                f"{folder}: {holder} is writing here; wait for it, or give --out another folder"
            ) from error
        except OSError as error:
            raise refusal(folder, error) from error
        file.seek(0)
        file.truncate()
        file.write(f"process {os.getpid()} on {platform.node()}")
        file.flush()
        yield
