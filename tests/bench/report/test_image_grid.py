"""The picture that shows them all."""

from pathlib import Path

from PIL import Image

from bench.report.image_grid import GAP, LEFT, REFERENCES, SIDE, TOP


def test_the_grid_shows_references_and_then_the_drawings(run_folder: Path) -> None:
    with Image.open(run_folder / "grid.png") as grid:
        assert grid.size == (LEFT + (REFERENCES + 1) * (SIDE + GAP), TOP + 9 * (SIDE + GAP))
        x = LEFT + REFERENCES * (SIDE + GAP)
        shown = grid.crop((x, TOP, x + SIDE, TOP + SIDE))
    drawn = run_folder / "images" / "fake_method+FakeMethod" / "ada" / "blue-background.s1.png"
    with Image.open(drawn) as picture:
        wanted = picture.resize((SIDE, SIDE), Image.Resampling.LANCZOS)
    assert shown.tobytes() == wanted.tobytes()
    assert (run_folder / "grid.webp").stat().st_size > 0


def test_a_missing_picture_is_grey(run_folder: Path, suite: Path, bench) -> None:
    assert (
        bench(
            "run",
            "--suite",
            suite,
            "--methods",
            "fake_method:FakeMethod",
            "--only",
            "*/ada/red*",
            "--out",
            "few",
        )
        == 0
    )
    with Image.open("few/grid.png") as grid:
        assert grid.getpixel((LEFT + REFERENCES * (SIDE + GAP) + 5, TOP + 5)) == (225, 225, 225)
