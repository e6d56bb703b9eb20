"""Conversion of pixels to images: non-finite values are marked."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from methods.backbone.backbone import Backbone
from methods.backbone.images import to_pil_images
from methods.subject import FLAW


def test_non_finite_images_are_black_and_marked() -> None:
    pixels = np.full((3, 4, 4, 3), 0.5, np.float32)
    pixels[1, 2, 2, 0] = math.nan
    pixels[2, 0, 0, 1] = math.inf
    images = to_pil_images(pixels)
    assert [image.info.get(FLAW) for image in images] == [None, "nan", "nan"]
    assert set(images[0].tobytes()) == {128}
    assert set(images[1].tobytes()) == set(images[2].tobytes()) == {0}


def test_image_of_nan_pixels_is_marked(backbone: Backbone, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        backbone.pipe.vae.decoder, "forward", lambda z, *rest: torch.full((len(z), 3, 16, 16), math.nan)
    )
    (image,) = backbone.generate(["a photo of a woman"], [11])
    assert image.info[FLAW] == "nan"
