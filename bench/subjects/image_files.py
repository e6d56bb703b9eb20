"""Read image files of any format as upright RGB; unusable files are refused with a one-line error."""

import io
import struct
import warnings
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import Final
from unicodedata import category

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from bench.errors import DatasetError, PhotoError
from bench.subjects.face_crops import found_face, square_around
from bench.subjects.pixel_values import PixelRangeError, stored_bits, to_srgb

IMAGE_SUFFIXES: Final = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif"})
CAPTION_SUFFIXES: Final = frozenset({".txt", ".caption", ".json", ".jsonl", ".csv"})
"""Text files that may contain captions."""
TEXT_SUFFIXES: Final = CAPTION_SUFFIXES | {".md"}
SYSTEM_FILES: Final = frozenset({"thumbs.db", "desktop.ini", "__macosx"})
"""System files in lower case; names with a leading dot are ignored as well."""
MAX_MEGAPIXELS: Final = (Image.MAX_IMAGE_PIXELS or 0) // 1_000_000
"""Largest image that is opened."""
SHORT_SIDE: Final = 1024
"""Maximum short side of a loaded photograph in pixels, the resolution of the largest backbone. Full-size
phone photographs of all identities would exhaust the memory."""
MIN_SIDE: Final = 8
"""Smallest width and height of a photograph in pixels."""
FORMATS: Final = ("JPEG", "MPO", "PNG", "WEBP", "TIFF", "BMP", "DIB", "GIF", "AVIF", "JPEG2000", "PPM")
"""Formats that are read, whatever the file's suffix."""
PNG_SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
PNG_TEXTS: Final = frozenset({b"tEXt", b"zTXt", b"iTXt"})
ORIENTATION_TEXTS: Final = (b"Raw profile type", b"XML:com.adobe.xmp")
# Some phones write MPO: a JPEG whose additional frames are depth maps and thumbnails.
MULTI_FRAME_PHOTOS: Final = frozenset({"MPO"})


@dataclass(frozen=True)
class Box:
    """A region of an image, such as one photograph of a sheet; in pixels, right and bottom exclusive."""

    left: int
    top: int
    right: int
    bottom: int


@dataclass(frozen=True)
class ArrayRow:
    """One photograph of a `.npy` array of shape (n, height, width, 3), uint8."""

    number: int


@dataclass(frozen=True)
class FaceCrop:
    """The square around the largest face of an image, or the whole image if no face is found."""

    detector: str = "yunet"


Part = Box | ArrayRow | FaceCrop


def list_images(folder: Path) -> list[Path]:
    """The image files of a folder, sorted by name, ignoring hidden and system files (.DS_Store, Thumbs.db).

    Raises DatasetError for other formats: silently skipping a `.heic` photograph would change the benchmark.
    """
    paths = []
    for path in entries(folder):
        if is_system_file(path) or path.is_dir() or path.suffix.lower() in TEXT_SUFFIXES:
            continue
        if path.suffix.lower() not in IMAGE_SUFFIXES:
            raise DatasetError(
                f"{path}: {path.suffix or 'a file without suffix'} is not supported; "
                f"convert it to one of {' '.join(sorted(IMAGE_SUFFIXES))}, or move it out of the folder"
            )
        check_name(path)
        if not path.is_file():
            raise DatasetError(f"{path}: is not a file; expected an image")
        paths.append(path)
    return paths


def entries(folder: Path) -> list[Path]:
    """Everything in a folder, sorted by name; raises DatasetError if it cannot be listed."""
    try:
        return sorted(folder.iterdir(), key=lambda path: path.name)
    except OSError as error:
        raise DatasetError(f"{folder}: cannot be listed ({error.strerror})") from error


def check_name(path: Path) -> None:
    """Raise DatasetError for a name that no text file can contain: control characters, or not UTF-8."""
    if any(category(character) in ("Cc", "Cs") for character in path.name):
        parent = str(path.parent).encode(errors="backslashreplace").decode()
        raise DatasetError(
            f"{parent}: the name {path.name!a} contains a control character or is not UTF-8; rename it"
        )


def is_system_file(path: Path) -> bool:
    """Whether a file or folder is hidden or was created by the operating system."""
    return path.name.startswith(".") or path.name.lower() in SYSTEM_FILES


def load_photo(path: Path, part: Part | None = None) -> Image.Image:
    """Read one photograph as upright 8-bit RGB, with a short side of at most `SHORT_SIDE`.

    Colours are converted to sRGB. Raises PhotoError if the file is missing, empty, damaged, animated, smaller
    than `MIN_SIDE`, or larger than `MAX_MEGAPIXELS`.
    """
    match part:
        case None:
            photo = _decoded(path)
        case Box():
            photo = _crop(_sheet(path, path.stat().st_mtime_ns if path.exists() else 0), part, path)
        case FaceCrop():
            photo = _around_face(_decoded(path))
        case ArrayRow():
            photo = Image.fromarray(_row(path, part))
    return _downscaled(SHORT_SIDE, photo)


def content_of(path: Path, part: Part | None) -> bytes:
    """The bytes from which a photograph's digest is computed."""
    match part:
        case None:
            return path.read_bytes()
        case Box() | FaceCrop():
            return path.read_bytes() + repr(part).encode()
        case ArrayRow():
            return _row(path, part).tobytes()


def _decoded(path: Path) -> Image.Image:
    content = _without_texts(_read(path))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            # Above Pillow's limit a small file can exhaust the memory.
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            return _upright(path, content)
    except PhotoError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise PhotoError(f"{path}: more than {MAX_MEGAPIXELS} megapixels; downscale it") from error
    except UnidentifiedImageError as error:
        raise PhotoError(f"{path}: not an image ({len(content)} bytes); replace or remove it") from error
    except PixelRangeError as error:
        raise PhotoError(f"{path}: {error}") from error
    # Pillow's decoders raise nearly every exception for a damaged file: TypeError, KeyError, struct.error ...
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise PhotoError(f"{path}: the image is damaged ({reason}); replace or remove it") from error


def _upright(path: Path, content: bytes) -> Image.Image:
    with Image.open(io.BytesIO(content), formats=_formats()) as opened:
        frames = getattr(opened, "n_frames", 1)
        if frames > 1 and opened.format not in MULTI_FRAME_PHOTOS:
            raise PhotoError(f"{path}: {frames} frames, expected 1; save one frame as an image")
        if min(opened.size) < MIN_SIDE:
            width, height = opened.size
            raise PhotoError(f"{path}: {width} x {height} pixels, expected at least {MIN_SIDE} x {MIN_SIDE}")
        opened.load()
        return to_srgb(ImageOps.exif_transpose(opened), stored_bits(opened))


@cache
def _formats() -> list[str]:
    """The formats that this build of Pillow reads. EPS is not among them: Pillow runs Ghostscript on it."""
    Image.init()
    return [name for name in FORMATS if name in Image.OPEN]


def _without_texts(content: bytes) -> bytes:
    """A PNG file without its long texts, such as the workflow that a generator stores; Pillow refuses them.

    Texts that may contain the orientation (EXIF and XMP) are kept.
    """
    if not content.startswith(PNG_SIGNATURE):
        return content
    kept, start = [PNG_SIGNATURE], len(PNG_SIGNATURE)
    while start + 8 <= len(content):
        length, kind = struct.unpack_from(">I4s", content, start)
        chunk = content[start : start + 12 + length]
        if kind not in PNG_TEXTS or chunk[8:].startswith(ORIENTATION_TEXTS):
            kept.append(chunk)
        start += 12 + length
    return b"".join([*kept, content[start:]])


@lru_cache(maxsize=2)
def _sheet(path: Path, modified: int) -> Image.Image:
    """An image whose parts are read one after the other; `modified` is the file's time stamp."""
    return _decoded(path)


def _crop(sheet: Image.Image, box: Box, path: Path) -> Image.Image:
    if not (0 <= box.left < box.right <= sheet.width and 0 <= box.top < box.bottom <= sheet.height):
        raise PhotoError(f"{path}: {box} is outside the image of {sheet.width} x {sheet.height} pixels")
    return sheet.crop((box.left, box.top, box.right, box.bottom))


def _around_face(photo: Image.Image) -> Image.Image:
    face = found_face(photo)
    return photo if face is None else photo.crop(square_around(face, photo.size))


def _row(path: Path, row: ArrayRow) -> NDArray[np.uint8]:
    try:
        photos = np.load(path, mmap_mode="r")
    except (OSError, ValueError) as error:
        raise PhotoError(f"{path}: not an array of images ({error}); render it again") from error
    if not row.number < len(photos):
        raise PhotoError(f"{path}: photograph {row.number} of {len(photos)}; render it again")
    return np.asarray(photos[row.number], np.uint8)


def _read(path: Path) -> bytes:
    try:
        content = path.read_bytes()
    except FileNotFoundError as error:
        raise PhotoError(f"{path}: no such image") from error
    except OSError as error:
        raise PhotoError(f"{path}: cannot be read ({error.strerror})") from error
    if not content:
        raise PhotoError(f"{path}: the file is empty; replace or remove it")
    return content


def _downscaled(short: int, image: Image.Image) -> Image.Image:
    scale = short / min(image.size)
    if scale >= 1:
        return image
    size = (round(image.width * scale), round(image.height * scale))
    return image.resize(size, Image.Resampling.LANCZOS)
