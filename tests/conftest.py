"""Shared by all tests: one torch thread a worker, drawn faces, golden files."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from PIL import Image, ImageDraw

from bench.torchvision_compat import ensure_torchvision_imports

ensure_torchvision_imports()
# No test reads or fills the user's cache.
os.environ["PERSONABENCH_CACHE"] = ""
if "PYTEST_XDIST_WORKER" in os.environ:
    # Also for the processes that tests start.
    os.environ["OMP_NUM_THREADS"] = "1"
    torch.set_num_threads(1)

GOLDEN = Path(__file__).parent / "golden"
SKIN = {"ada": (200, 170, 150), "bob": (120, 90, 70), "cleo": (160, 120, 90)}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="rewrite the files in tests/golden")


def draw_face(name: str, shade: int = 120) -> Image.Image:
    """A drawn face of 64 pixels; no real person."""
    image = Image.new("RGB", (64, 64), (shade, 200 - shade, 180))
    pen = ImageDraw.Draw(image)
    pen.ellipse((14, 8, 50, 58), fill=SKIN[name])
    for x in (25, 39):
        pen.ellipse((x - 3, 25, x + 3, 31), fill=(20, 20, 20))
    pen.arc((22, 36, 42, 50), 20, 160, fill=(90, 20, 20), width=2)
    return image


@pytest.fixture
def ada() -> Image.Image:
    """A drawn face."""
    return draw_face("ada")


@pytest.fixture
def bob() -> Image.Image:
    """Another drawn face."""
    return draw_face("bob")


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Callable[[str, str], None]:
    """Compares a text with a file of tests/golden; `--update-golden` rewrites it."""

    def compare(name: str, text: str) -> None:
        path = GOLDEN / name
        if request.config.getoption("--update-golden"):
            path.write_text(text, encoding="utf-8")
        assert text == path.read_text(encoding="utf-8"), f"{path} differs; look, then pytest --update-golden"

    return compare
