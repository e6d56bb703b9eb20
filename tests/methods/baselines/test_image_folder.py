"""Images made elsewhere are read by identity, prompt and sample."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from methods.catalog import make
from methods.errors import MethodError
from methods.subject import Request, Subject

WANTED = Request("{subject} in Rome", 7, "rome", 2)
NO_BACKBONE: Any = None


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "images" / "ada").mkdir(parents=True)
    for name, colour in (("rome.s1", "red"), ("rome.s2", "blue")):
        Image.new("RGBA", (5, 4), colour).save(tmp_path / "images" / "ada" / f"{name}.png")
    return tmp_path / "images"


def generate(folder: Path, into: Path, requests: list[Request]) -> list[Image.Image]:
    method = make("image-folder", {"path": str(folder)})
    into.mkdir()
    method.fit(Subject("ada", "woman", ()), into, backbone=NO_BACKBONE, seed=0)
    return method.load(into, backbone=NO_BACKBONE).generate(requests)


def test_image_is_found_by_identity_prompt_and_sample(folder: Path, tmp_path: Path) -> None:
    (image,) = generate(folder, tmp_path / "fit", [WANTED])
    assert (image.mode, image.size, image.getpixel((0, 0))) == ("RGB", (5, 4), (0, 0, 255))


def test_missing_and_unreadable_images_are_one_line(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(MethodError, match=r"paris\.s1\.png: no such image"):
        generate(folder, tmp_path / "one", [Request("", 1, "paris", 1)])
    (folder / "ada" / "rome.s2.png").write_bytes(b"no image")
    with pytest.raises(MethodError, match=r"rome\.s2\.png: cannot be read"):
        generate(folder, tmp_path / "two", [WANTED])


def test_settings_and_missing_identities_are_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(MethodError, match="path is not set"):
        make("image-folder")
    with pytest.raises(MethodError, match="no such folder"):
        make("image-folder", {"path": str(tmp_path / "none")})
    method = make("image-folder", {"path": str(folder)})
    assert "bob: no folder" in (method.unsupported_reason(Subject("bob", "man", ())) or "")
    assert {path.name for path in method.weights} == {"rome.s1.png", "rome.s2.png"}
