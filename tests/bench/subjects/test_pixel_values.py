"""Colour profiles and value ranges: every photograph is converted to 8-bit sRGB."""

import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from bench.errors import PhotoError
from bench.subjects.image_files import load_photo

DISPLAY_P3 = ((0.51512, 0.24120, -0.00105), (0.29198, 0.69225, 0.04189), (0.15710, 0.06657, 0.78407))
SRGB = ((0.43607, 0.22249, 0.01392), (0.38515, 0.71687, 0.09708), (0.14307, 0.06061, 0.71410))
"""Colours of the primaries in XYZ under D50: red, green, blue."""
WHITE = (0.9642, 1.0, 0.8249)
SKIN = (222, 160, 130)


def profile(space: bytes, tags: dict[bytes, bytes]) -> bytes:
    """A colour profile of version 2 (ICC.1:2001-04) with these tags."""
    text = b"text\0\0\0\0test\0"
    description = b"desc\0\0\0\0" + struct.pack(">I", 5) + b"test\0" + bytes(78)
    tags = {b"desc": description, b"cprt": text, b"wtpt": xyz(WHITE), **tags}
    offset, table, data = 132 + 12 * len(tags), struct.pack(">I", len(tags)), b""
    for name, content in tags.items():
        padded = content + bytes(-len(content) % 4)
        table += name + struct.pack(">II", offset + len(data), len(content))
        data += padded
    size = 128 + len(table) + len(data)
    header = struct.pack(">I4sI4s4s4s", size, b"lcms", 0x02400000, b"mntr", space, b"XYZ ")
    header += struct.pack(">6H", 2026, 1, 1, 0, 0, 0) + b"acsp" + bytes(28) + xyz(WHITE)[8:]
    return header.ljust(128, b"\0") + table + data


def xyz(color: tuple[float, ...]) -> bytes:
    return b"XYZ \0\0\0\0" + struct.pack(">3i", *(round(value * 65536) for value in color))


def gamma(value: float) -> bytes:
    return b"curv\0\0\0\0" + struct.pack(">IH", 1, round(value * 256))


def rgb_profile(primaries: tuple[tuple[float, ...], ...]) -> bytes:
    tags = {b"rXYZ": xyz(primaries[0]), b"gXYZ": xyz(primaries[1]), b"bXYZ": xyz(primaries[2])}
    return profile(b"RGB ", tags | dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), gamma(2.2)))


def in_srgb(color: tuple[int, ...], primaries: tuple[tuple[float, ...], ...]) -> list[int]:
    """The colour computed by the definition of sRGB (IEC 61966-2-1)."""
    linear = (np.array(color) / 255) ** 2.2
    values = np.linalg.solve(np.array(SRGB).T, np.array(primaries).T @ linear).clip(0, 1)
    curve = np.where(values <= 0.0031308, 12.92 * values, 1.055 * values ** (1 / 2.4) - 0.055)
    return list((255 * curve).round().astype(int))


@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.webp", "a.tif"])
@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P"])
def test_colours_of_a_profile_are_converted_to_srgb(name: str, mode: str, tmp_path: Path) -> None:
    if name == "a.jpg":
        mode = "RGB"
    image = Image.new("RGB", (16, 16), SKIN)
    image = image.quantize() if mode == "P" else image.convert(mode)
    image.save(tmp_path / name, icc_profile=rgb_profile(DISPLAY_P3), quality=100)
    expected = in_srgb(SKIN, DISPLAY_P3)
    assert expected[0] > SKIN[0] + 8
    assert np.abs(np.array(load_photo(tmp_path / name).getpixel((8, 8))) - expected).max() <= 3


def test_transparency_of_an_image_with_a_profile_becomes_white(tmp_path: Path) -> None:
    image = Image.new("RGBA", (16, 16), (*SKIN, 0))
    image.save(tmp_path / "a.png", icc_profile=rgb_profile(DISPLAY_P3))
    assert load_photo(tmp_path / "a.png").getpixel((0, 0)) == (255, 255, 255)


def test_srgb_profile_changes_nothing(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    Image.fromarray(pixels).save(tmp_path / "a.png", icc_profile=srgb)
    assert np.array_equal(np.asarray(load_photo(tmp_path / "a.png")), pixels)


def test_profile_of_grey_is_applied_to_grey_images_only(tmp_path: Path) -> None:
    linear = profile(b"GRAY", {b"kTRC": gamma(1.0)})
    Image.new("L", (16, 16), 128).save(tmp_path / "a.png", icc_profile=linear)
    Image.new("RGB", (16, 16), (128, 128, 128)).save(tmp_path / "b.png", icc_profile=linear)
    assert abs(load_photo(tmp_path / "a.png").getpixel((0, 0))[0] - 188) <= 2  # type: ignore[index]
    assert load_photo(tmp_path / "b.png").getpixel((0, 0)) == (128, 128, 128)


@pytest.mark.parametrize("content", [b"no profile", rgb_profile(DISPLAY_P3)[:300], profile(b"CMYK", {})])
def test_unreadable_and_unsuitable_profiles_are_ignored(content: bytes, tmp_path: Path) -> None:
    Image.new("RGB", (16, 16), SKIN).save(tmp_path / "a.png", icc_profile=content)
    assert load_photo(tmp_path / "a.png").getpixel((0, 0)) == SKIN


RAMP = np.tile(np.linspace(0, 1, 32), (16, 1))


@pytest.mark.parametrize(
    ("values", "name"),
    [
        ((RAMP * 65535).astype(np.uint16), "a.png"),
        ((RAMP * 65535).astype(np.uint16), "a.tif"),
        ((RAMP * 255).astype(np.uint16), "a.png"),
        ((RAMP * 255).astype(np.int32), "a.tif"),
        ((RAMP * 65535).astype(np.int32), "a.tif"),
        (RAMP.astype(np.float32), "a.tif"),
        ((RAMP * 255).astype(np.float32), "a.tif"),
    ],
)
def test_values_are_read_in_the_range_of_their_type(values: np.ndarray, name: str, tmp_path: Path) -> None:
    Image.fromarray(values).save(tmp_path / name)
    grey = np.asarray(load_photo(tmp_path / name))[..., 0].astype(float)
    assert np.abs(grey - 255 * RAMP).max() <= 1


def test_dark_images_are_not_stretched_by_their_largest_value(tmp_path: Path) -> None:
    Image.fromarray((RAMP * 200).astype(np.float32)).save(tmp_path / "a.tif")
    Image.fromarray((RAMP * 20000).astype(np.uint16)).save(tmp_path / "b.png")
    assert np.asarray(load_photo(tmp_path / "a.tif")).max() == 200
    assert np.asarray(load_photo(tmp_path / "b.png")).max() == 78


def test_twelve_bits_are_read_as_twelve_bits_where_the_file_says_so(tmp_path: Path) -> None:
    """An uncompressed TIFF with 12 bits per sample, written by hand: Pillow writes none."""
    values = (RAMP * 4095).astype(int)
    pairs = values.reshape(-1, 2)
    data = bytes(
        b for one, two in pairs for b in (one >> 4, (one & 15) << 4 | two >> 8, two & 255)
    )  # two values in three bytes
    height, width = values.shape
    tags = {256: width, 257: height, 258: 12, 259: 1, 262: 1, 273: 8, 277: 1, 278: height, 279: len(data)}
    directory = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    header = struct.pack("<2sHI", b"II", 42, 8 + len(data))
    content = header + data + struct.pack("<H", len(tags)) + directory + bytes(4)
    (tmp_path / "a.tif").write_bytes(content)
    grey = np.asarray(load_photo(tmp_path / "a.tif"))[..., 0].astype(float)
    assert np.abs(grey - 255 * RAMP).max() <= 1


@pytest.mark.parametrize(
    "values",
    [
        (RAMP * 4032).astype(np.uint16),
        (RAMP * 9).astype(np.uint16),
        (RAMP * 1e6).astype(np.int32),
        (RAMP * 200 - 100).astype(np.int32),
        (RAMP * 1.01).astype(np.float32),
        (RAMP * 2 - 1).astype(np.float32),
        (RAMP * 1e9).astype(np.float32),
        np.where(RAMP > 0.5, np.nan, RAMP).astype(np.float32),
        np.where(RAMP > 0.5, np.inf, RAMP).astype(np.float32),
    ],
)
def test_values_of_unknown_range_are_refused_in_one_line(values: np.ndarray, tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    Image.fromarray(values).save(path)
    with pytest.raises(PhotoError, match=r"a\.tif: has values .*save it with 8 bits per channel"):
        load_photo(path)
