"""Picture files of any kind, as upright RGB; what cannot be one photograph is refused in one line."""

import io
import struct
import warnings
import zlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from bench.errors import DatasetError, PhotoError

PICTURES: Final = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif"})
TEXTS: Final = frozenset({".txt", ".json", ".jsonl", ".csv", ".md"})
STRAY: Final = frozenset({"thumbs.db", "desktop.ini", "__macosx"})
"""What operating systems leave in folders, in lower case; names with a leading dot are ignored as well."""
LARGEST: Final = (Image.MAX_IMAGE_PIXELS or 0) // 1_000_000
"""Megapixels of the largest picture that is opened."""
SHORT_SIDE: Final = 1024
"""Pixels of the short side of what is handed on: as many as the largest backbone draws; a telephone's twelve
megapixels, times every photograph of every person, would fill the memory for nothing."""
# MPO is what some telephones write: a JPEG whose further frames are depth maps and thumbnails.
ONE_PICTURE_OF_MANY: Final = frozenset({"MPO"})


@dataclass(frozen=True)
class Box:
    """A region of a picture that holds several photographs, or a face in a scene; pixels, right and bottom
    exclusive."""

    left: int
    top: int
    right: int
    bottom: int


@dataclass(frozen=True)
class ArrayRow:
    """One photograph of an array file: N x height x width x 3, unsigned bytes."""

    number: int


Part = Box | ArrayRow


def pictures_in(folder: Path) -> list[Path]:
    """The picture files of a folder, sorted by name, without what operating systems strew there.

    Raises DatasetError for a file of a kind that is neither picture nor text: a `.heic` photograph
    that is left out in silence would change the benchmark.
    """
    found = []
    for path in sorted(folder.iterdir(), key=lambda path: path.name):
        if is_stray(path) or path.is_dir() or path.suffix.lower() in TEXTS:
            continue
        if path.suffix.lower() not in PICTURES:
            raise DatasetError(
                f"{path}: {path.suffix or 'a file without suffix'} is not read here; "
                f"convert it to one of {' '.join(sorted(PICTURES))}, or move it away"
            )
        found.append(path)
    return found


def is_stray(path: Path) -> bool:
    """Whether a file or folder is an operating system's or a notebook's, not the user's."""
    return path.name.startswith(".") or path.name.lower() in STRAY


def load_photo(path: Path, part: Part | None = None) -> Image.Image:
    """Read one photograph as upright 8-bit RGB; at most `SHORT_SIDE` on its short side.

    Raises PhotoError where the file is missing, empty, damaged, animated, or larger than `LARGEST`.
    """
    match part:
        case None:
            photo = _opened(path)
        case Box():
            photo = _cut(_sheet(path, path.stat().st_mtime_ns if path.exists() else 0), part, path)
        case ArrayRow():
            photo = Image.fromarray(_row(path, part))
    return _at_most(SHORT_SIDE, photo)


def content_of(path: Path, part: Part | None) -> bytes:
    """The bytes that a photograph's digest is taken of."""
    match part:
        case None:
            return path.read_bytes()
        case Box():
            return path.read_bytes() + repr(part).encode()
        case ArrayRow():
            return _row(path, part).tobytes()


def _opened(path: Path) -> Image.Image:
    content = _read(path)
    try:
        with warnings.catch_warnings():
            # Beyond Pillow's limit a small file can fill the memory.
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            opened = Image.open(io.BytesIO(content))
        with opened:
            frames = getattr(opened, "n_frames", 1)
            if frames > 1 and opened.format not in ONE_PICTURE_OF_MANY:
                raise PhotoError(
                    f"{path}: {frames} frames, a photograph has one; save the frame you mean as a picture"
                )
            opened.load()
            return _rgb(ImageOps.exif_transpose(opened))
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise PhotoError(f"{path}: more than {LARGEST} megapixels; scale it down") from error
    except UnidentifiedImageError as error:
        raise PhotoError(f"{path}: not a picture ({len(content)} bytes); replace or remove it") from error
    except (OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error) as error:
        raise PhotoError(f"{path}: the picture is damaged ({error}); replace or remove it") from error


@lru_cache(maxsize=2)
def _sheet(path: Path, changed: int) -> Image.Image:
    """A picture whose parts are asked for one after the other; `changed` is the file's time stamp."""
    return _opened(path)


def _cut(sheet: Image.Image, box: Box, path: Path) -> Image.Image:
    if not (0 <= box.left < box.right <= sheet.width and 0 <= box.top < box.bottom <= sheet.height):
        raise PhotoError(f"{path}: {box} lies outside a picture of {sheet.width} x {sheet.height}")
    return sheet.crop((box.left, box.top, box.right, box.bottom))


def _row(path: Path, row: ArrayRow) -> NDArray[np.uint8]:
    try:
        photos = np.load(path, mmap_mode="r")
    except (OSError, ValueError) as error:
        raise PhotoError(f"{path}: not an array of photographs ({error}); render it again") from error
    if not row.number < len(photos):
        raise PhotoError(f"{path}: photograph {row.number} of {len(photos)}; render it again")
    return np.asarray(photos[row.number], np.uint8)


def _read(path: Path) -> bytes:
    try:
        content = path.read_bytes()
    except FileNotFoundError as error:
        raise PhotoError(f"{path}: no such picture") from error
    except OSError as error:
        raise PhotoError(f"{path}: cannot be read ({error.strerror})") from error
    if not content:
        raise PhotoError(f"{path}: the file is empty; replace or remove it")
    return content


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I") or image.mode == "F":
        image = _eight_bits(image)
    if image.has_transparency_data:
        opaque = Image.new("RGBA", image.size, "white")
        opaque.alpha_composite(image.convert("RGBA"))
        image = opaque
    # A copy without the file's metadata, so that nothing downstream can depend on it.
    return Image.fromarray(np.asarray(image.convert("RGB")))


def _at_most(short: int, image: Image.Image) -> Image.Image:
    scale = short / min(image.size)
    if scale >= 1:
        return image
    size = (round(image.width * scale), round(image.height * scale))
    return image.resize(size, Image.Resampling.LANCZOS)


def _eight_bits(image: Image.Image) -> Image.Image:
    """Pillow's own conversion clips 16-bit greys to white instead of scaling them."""
    grey = np.asarray(image).astype(np.float64)
    whole = 65535.0 if image.mode.startswith("I") else max(1.0, float(np.nanmax(grey)))
    return Image.fromarray((np.clip(grey / whole, 0, 1) * 255).round().astype(np.uint8))
