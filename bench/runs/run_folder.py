"""The run folder: an image exists if its file is whole and its fingerprint matches.

<run>/suite.toml, run.json, *.csv, report.md, grid.png
<run>/images/<method>/<identity>/<prompt>.s1.png      the image; its fingerprint is in the PNG's text
<run>/images/<method>/<identity>/<prompt>.s1.json     its timings and the parts of its fingerprint
<run>/images/<method>/<identity>/<prompt>.s1.failed.json    or the reason why there is no image
<run>/fits/<method>/<identity>/                       files written by `fit`
<run>/fits/<method>/<identity>.json                   their fingerprint and timings
<run>/fits-2/<method>/<identity>/                     the second fit, if the suite asks for several
"""

import io
import os
import platform
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from filelock import FileLock, Timeout
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from bench.atomic_io import read_json, refusal, remove_leftovers, write_json, write_whole
from bench.errors import StoreError, SuiteError
from bench.runs.plan import Cell, Group
from bench.runs.records.run_manifest import MANIFEST
from bench.runs.records.tables import CellRow

SUITE_COPY: Final = "suite.toml"
LOCK: Final = ".lock"
HOLDER: Final = ".lock-holder"
"""File with the name of the process that has the lock; `filelock` empties the lock file itself."""
LONGEST_NAME: Final = 200
"""Bytes of a row's name as a folder; file systems allow 255."""
TEXT_KEY: Final = "personabench"


@dataclass(frozen=True)
class RunFolder:
    """Paths and atomic writes of one run."""

    path: Path

    def image(self, cell: Cell) -> Path:
        """Path of the cell's image."""
        return self._file(cell, "png")

    def image_of(self, row: CellRow) -> Path:
        """Path of the image that a line of cells.csv describes."""
        name = f"{row.prompt}.s{row.sample}.png"
        return Path(self.path, "images", safe(row.method), row.identity, name)

    def sidecar(self, cell: Cell) -> Path:
        """Path of the image's timings and fingerprint parts."""
        return self._file(cell, "json")

    def failure(self, cell: Cell) -> Path:
        """Path of the reason why there is no image."""
        return self._file(cell, "failed.json")

    def _file(self, cell: Cell, ending: str) -> Path:
        name = f"{cell.prompt.id}.s{cell.sample}.{ending}"
        return Path(self.path, "images", safe(cell.method), cell.identity, name)

    def fit(self, method: str, identity: str, number: int = 1) -> Path:
        """Folder of the files that an identity's fit with this number wrote."""
        return self.path / ("fits" if number == 1 else f"fits-{number}") / safe(method) / identity

    def fit_sidecar(self, method: str, identity: str, number: int = 1) -> Path:
        """Path of the fit's fingerprint and timings."""
        folder = self.fit(method, identity, number)
        return folder.with_name(folder.name + ".json")

    def found(self, cell: Cell) -> str | None:
        """The fingerprint of the stored image; None where there is no undamaged image with its sidecar."""
        try:
            with Image.open(self.image(cell), formats=["PNG"]) as image:
                fingerprint = image.info.get(TEXT_KEY)
                # Compares the checksums of the whole file, without decoding it.
                image.verify()
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
            return None
        # The sidecar contains the flaw, without which an image of nothing would be scored.
        return str(fingerprint) if fingerprint and read_json(self.sidecar(cell)) else None

    def save(self, cell: Cell, image: Image.Image, fingerprint: str, record: Mapping[str, Any]) -> None:
        """Write the sidecar, then the image, so that every existing image has its timings."""
        text = PngInfo()
        text.add_text(TEXT_KEY, fingerprint)
        buffer = io.BytesIO()
        Image.frombytes("RGB", image.size, image.convert("RGB").tobytes()).save(buffer, "PNG", pnginfo=text)
        write_json(self.sidecar(cell), record)
        write_whole(self.image(cell), buffer.getvalue())


def check_distinct_files(groups: Sequence[Group]) -> None:
    """Raise SuiteError where two planned images or fits would be stored in the same file or folder."""
    labels: dict[str, str] = {}
    for label in dict.fromkeys(group.method for group in groups):
        if label.strip(".") == "" or not label.isprintable() or len(safe(label).encode()) > LONGEST_NAME:
            raise SuiteError(f"{label!r} cannot be the name of a row; it is also the name of a folder")
        other = labels.setdefault(safe(label), label)
        if other != label:
            raise SuiteError(f"the rows {other!r} and {label!r} would share a folder; rename one")
    identities = {group.identity for group in groups}
    for identity in sorted(identities):
        if f"{identity}.json" in identities:
            raise SuiteError(f"the people {identity!r} and '{identity}.json' would share a file; rename one")
    for group in groups:
        places = Counter((cell.prompt.id, cell.sample) for cell in group.cells)
        (prompt, _), count = places.most_common(1)[0] if places else (("", 0), 0)
        if count > 1:
            raise SuiteError(f"{group.identity}: two prompts have the id {prompt!r}; rename the custom one")


def latest_folder(results: Path) -> Path:
    """The latest run folder in `results`. Raises StoreError if there is none."""
    folder = newest_with(MANIFEST, results)
    if folder is None:
        raise StoreError(f"{results}: no run folder; make one with `bench run`, or name its folder")
    return folder


def newest_with(file: str, results: Path) -> Path | None:
    """The folder in `results` whose `file` was written last; None if no folder has one."""
    found = sorted(results.glob(f"*/{file}"), key=lambda path: path.stat().st_mtime)
    return found[-1].parent if found else None


def safe(name: str) -> str:
    """A method's name as a folder name; some file systems refuse the colon of `package.module:Class`."""
    return name.replace(":", "+").replace("/", "_")


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Lock the run folder for this process, and remove the temporary files of killed runs.

    The operating system releases the lock when the process ends, so a killed run leaves no lock behind.
    Raises StoreError if another process has the lock, or if the folder cannot be written.
    """
    lock, holder = FileLock(folder / LOCK, timeout=0), folder / HOLDER
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire()
        holder.write_text(f"process {os.getpid()} on {platform.node()}", encoding="utf-8")
    except Timeout as error:
        name = holder.read_text(encoding="utf-8") if holder.exists() else "another process"
        raise StoreError(
            f"{folder}: {name} is writing here; wait for it, or choose another folder with --out"
        ) from error
    except OSError as error:
        lock.release()
        raise refusal(folder, error) from error
    try:
        remove_leftovers(folder)
        yield
    finally:
        holder.unlink(missing_ok=True)
        lock.release()
