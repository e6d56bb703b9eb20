"""Thumbnails of images."""

from pathlib import Path

from PIL import Image

from bench.report.html.thumbnails import SIDE, Thumbnails


def test_thumbnail_is_small_and_keeps_the_shape(tmp_path: Path) -> None:
    Image.new("RGB", (1024, 512), (200, 30, 30)).save(tmp_path / "a.png")
    name = Thumbnails(tmp_path / "t").of_image(tmp_path / "a.png")
    with Image.open(tmp_path / "t" / name) as image:
        assert image.size == (SIDE, SIDE // 2)


def test_changed_image_has_another_thumbnail_and_the_old_one_is_removed(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    Image.new("RGB", (64, 64), "red").save(path)
    before = Thumbnails(tmp_path / "t").of_image(path)
    Image.new("RGB", (64, 64), "blue").save(path)
    (tmp_path / "t" / "mine.webp").write_bytes(b"not ours")
    thumbnails = Thumbnails(tmp_path / "t")
    after = thumbnails.of_image(path)
    thumbnails.remove_unused()
    assert before != after
    assert {p.name for p in (tmp_path / "t").iterdir()} == {after, "mine.webp"}


def test_unreadable_image_has_no_thumbnail(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"\x89PNG nothing")
    assert Thumbnails(tmp_path / "t").of_image(tmp_path / "a.png") == ""
    assert Thumbnails(tmp_path / "t").of_image(tmp_path / "b.png") == ""
