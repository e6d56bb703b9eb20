"""Image files of every format."""

import io
import os
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from bench.errors import DatasetError, PhotoError
from bench.subjects.image_files import ArrayRow, Box, content_of, list_images, load_photo


def gradient() -> Image.Image:
    """An image of 20 x 10 pixels, dark on the left and light on the right."""
    row = np.linspace(0, 255, 20).astype(np.uint8)
    return Image.fromarray(np.tile(row, (10, 1)))


def brightness(image: Image.Image, side: str) -> float:
    pixels = np.asarray(image.convert("L"), dtype=float)
    return float((pixels[:, :3] if side == "left" else pixels[:, -3:]).mean())


@pytest.mark.parametrize(
    ("name", "mode"),
    [
        ("a.png", "L"),
        ("a.png", "RGB"),
        ("a.jpg", "CMYK"),
        ("a.jpg", "L"),
        ("a.png", "P"),
        ("a.png", "1"),
        ("a.webp", "RGB"),
        ("a.tif", "CMYK"),
    ],
)
def test_every_mode_is_converted_to_rgb(name: str, mode: str, tmp_path: Path) -> None:
    gradient().convert("RGB").convert(mode).save(tmp_path / name)
    photo = load_photo(tmp_path / name)
    assert photo.mode == "RGB"
    assert photo.size == (20, 10)
    assert brightness(photo, "left") < 60
    assert brightness(photo, "right") > 190


def test_sixteen_bit_values_are_scaled(tmp_path: Path) -> None:
    grey = (np.asarray(gradient()).astype(np.uint16) * 257).astype(np.uint16)
    Image.fromarray(grey).save(tmp_path / "deep.png")
    photo = load_photo(tmp_path / "deep.png")
    assert np.abs(np.asarray(photo)[..., 0].astype(int) - np.asarray(gradient()).astype(int)).max() <= 1


def test_exif_orientation_is_applied(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    gradient().convert("RGB").save(tmp_path / "turned.jpg", exif=exif)
    photo = load_photo(tmp_path / "turned.jpg")
    assert photo.size == (10, 20)
    assert "exif" not in photo.info


def test_transparency_becomes_white(tmp_path: Path) -> None:
    Image.new("RGBA", (8, 8), (255, 0, 0, 0)).save(tmp_path / "clear.png")
    assert load_photo(tmp_path / "clear.png").getpixel((0, 0)) == (255, 255, 255)


def _missing(path: Path) -> None:
    pass


def _empty(path: Path) -> None:
    path.write_bytes(b"")


def _text(path: Path) -> None:
    path.write_text("no image")


def _cut(path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(path)
    path.write_bytes(path.read_bytes()[:4000])


def _huge(path: Path) -> None:
    Image.new("1", (10_000, 9_000)).save(path)


def _small(path: Path) -> None:
    Image.new("RGB", (2000, 1)).save(path)


def _postscript(path: Path) -> None:
    """Pillow would run Ghostscript."""
    path.write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 64 64\n%%EndComments\n%%EOF\n")


def _pipe(path: Path) -> None:
    os.mkfifo(path.with_name("pipe.png"))
    path.symlink_to("missing.png")


def _bad_tiff(path: Path) -> None:
    """The width is a text, so that Pillow raises TypeError."""
    content = io.BytesIO()
    gradient().save(content, "TIFF")
    width = struct.pack("<HHI", 256, 4, 1)
    assert width in content.getvalue()
    path.write_bytes(content.getvalue().replace(width, struct.pack("<HHI", 256, 2, 1)))


def _animated(path: Path) -> None:
    frames = [Image.new("RGB", (8, 8), (shade, 0, 0)) for shade in (0, 100, 200)]
    frames[0].save(path, save_all=True, append_images=frames[1:])


@pytest.mark.parametrize(
    ("write", "line"),
    [
        (_missing, "no such image"),
        (_empty, "the file is empty"),
        (_text, "not an image"),
        (_cut, "damaged"),
        (_huge, "more than 89 megapixels"),
        (_animated, "3 frames"),
        (_small, "2000 x 1 pixels, expected at least 8 x 8"),
        (_postscript, "not an image"),
        (_bad_tiff, "the image is damaged"),
        (_pipe, "no such image"),
    ],
)
def test_unusable_files_are_refused_in_one_line(
    write: Callable[[Path], None], line: str, tmp_path: Path
) -> None:
    path = tmp_path / "photo.png"
    write(path)
    with pytest.raises(PhotoError, match=line) as refused:
        load_photo(path)
    assert str(refused.value).startswith(str(path))
    assert "\n" not in str(refused.value)


def test_large_photos_are_downscaled(tmp_path: Path) -> None:
    gradient().resize((4000, 2000)).save(tmp_path / "large.png")
    photo = load_photo(tmp_path / "large.png")
    assert photo.size == (2048, 1024)
    assert brightness(photo, "left") < 60


def test_system_files_are_ignored(tmp_path: Path) -> None:
    gradient().save(tmp_path / "b.png")
    gradient().save(tmp_path / "a.JPG")
    for name in (".DS_Store", "Thumbs.db", "desktop.ini", "._a.png", "a.txt"):
        (tmp_path / name).write_text("stray")
    (tmp_path / ".ipynb_checkpoints").mkdir()
    gradient().save(tmp_path / ".ipynb_checkpoints" / "a-checkpoint.png")
    assert [path.name for path in list_images(tmp_path)] == ["a.JPG", "b.png"]


def test_unsupported_formats_are_refused(tmp_path: Path) -> None:
    (tmp_path / "IMG_1.heic").write_bytes(b"x")
    with pytest.raises(DatasetError, match=r"\.heic is not supported; convert it"):
        list_images(tmp_path)


def test_long_texts_of_a_png_are_ignored_and_its_orientation_is_not(tmp_path: Path) -> None:
    texts = PngInfo()
    texts.add_text("workflow", "x" * 5_000_000, zip=True)
    texts.add_itxt("XML:com.adobe.xmp", '<x tiff:Orientation="6"/>')
    gradient().convert("RGB").save(tmp_path / "a.png", pnginfo=texts)
    assert load_photo(tmp_path / "a.png").size == (10, 20)


def test_pipes_and_broken_links_are_refused(tmp_path: Path) -> None:
    gradient().save(tmp_path / "a.png")
    _pipe(tmp_path / "b.png")
    with pytest.raises(DatasetError, match=r"b\.png: is not a file"):
        list_images(tmp_path)
    (tmp_path / "b.png").unlink()
    with pytest.raises(DatasetError, match=r"pipe\.png: is not a file"):
        list_images(tmp_path)


def test_part_of_a_sheet_is_read_as_a_photograph(tmp_path: Path) -> None:
    path = tmp_path / "sheet.png"
    gradient().save(path)
    left, right = Box(0, 0, 10, 10), Box(10, 0, 20, 10)
    assert load_photo(path, right).size == (10, 10)
    assert brightness(load_photo(path, left), "left") < 60 < brightness(load_photo(path, right), "left")
    assert content_of(path, left) != content_of(path, right)
    gradient().transpose(Image.Transpose.FLIP_LEFT_RIGHT).resize((40, 20)).save(path)
    assert brightness(load_photo(path, left), "left") > 190


def test_part_outside_the_sheet_is_refused(tmp_path: Path) -> None:
    gradient().save(tmp_path / "sheet.png")
    with pytest.raises(PhotoError, match="is outside the image of 20 x 10"):
        load_photo(tmp_path / "sheet.png", Box(5, 0, 25, 10))


def test_row_of_an_array_is_read_as_a_photograph(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (3, 8, 8, 3), dtype=np.uint8)
    np.save(tmp_path / "photos.npy", pixels)
    assert np.array_equal(np.asarray(load_photo(tmp_path / "photos.npy", ArrayRow(2))), pixels[2])
    assert content_of(tmp_path / "photos.npy", ArrayRow(1)) == pixels[1].tobytes()
    with pytest.raises(PhotoError, match="photograph 3 of 3"):
        load_photo(tmp_path / "photos.npy", ArrayRow(3))
    (tmp_path / "photos.npy").write_text("no array")
    with pytest.raises(PhotoError, match="not an array of images"):
        load_photo(tmp_path / "photos.npy", ArrayRow(0))
