"""Opens a file in Chromium, for the scripts that measure the page or draw it."""

import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome")


@contextmanager
def browser_page(width: int, height: int, *, pixels_per_unit: float = 1.0) -> Iterator[Any]:
    """An empty page of this size; leaves with one line where there is no browser."""
    program = next(filter(None, map(shutil.which, NAMES)), None)
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        sys.exit("needs playwright; pip install 'personabench[browser]'")
    if program is None:
        sys.exit("needs Chromium; apt-get install chromium")
    with sync_playwright() as started:
        browser = started.chromium.launch(executable_path=program, args=["--no-sandbox"])
        size = {"width": width, "height": height}
        yield browser.new_page(viewport=size, device_scale_factor=pixels_per_unit, color_scheme="light")
        browser.close()


def address(path: Path) -> str:
    return path.resolve().as_uri()
