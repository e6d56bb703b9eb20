"""The image grid of a run."""

from pathlib import Path

from PIL import Image

from bench.report.image_grid import GAP, LEFT, REFERENCES, SIDE, TOP


def test_grid_shows_references_and_then_generated_images(run_folder: Path) -> None:
    with Image.open(run_folder / "grid.png") as grid:
        assert grid.size == (LEFT + (REFERENCES + 1) * (SIDE + GAP), TOP + 9 * (SIDE + GAP))
        x = LEFT + REFERENCES * (SIDE + GAP)
        first = grid.crop((x, TOP, x + SIDE, TOP + SIDE))
    generated = run_folder / "images" / "fake_method+FakeMethod" / "ada" / "blue-background.s1.png"
    with Image.open(generated) as image:
        expected = image.resize((SIDE, SIDE), Image.Resampling.LANCZOS)
    assert first.tobytes() == expected.tobytes()
    assert (run_folder / "grid.webp").stat().st_size > 0


def test_missing_image_is_grey(run_folder: Path, suite: Path, bench) -> None:
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
