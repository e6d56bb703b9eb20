"""Cached features: passes of bounded memory, and a name that changes with the photographs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from methods.backbone.backbone import Backbone
from methods.encoders.clip_vision import open_encoder
from methods.pretraining.feature_cache import cache_key, compute_features


@pytest.mark.parametrize(("pixels", "passes"), [(4 * 16**2, [4]), (1, [1]), (10**9, [24])])
def test_the_autoencoder_reads_a_bounded_number_of_pixels_per_pass(
    pixels: int,
    passes: list[int],
    people: Any,
    backbone: Backbone,
    clip_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("methods.pretraining.feature_cache.PIXELS", pixels)
    rows: list[int] = []
    encode = Backbone.encode_pixels

    def recording(self: Backbone, images: torch.Tensor) -> torch.Tensor:
        rows.append(len(images))
        return encode(self, images)

    monkeypatch.setattr(Backbone, "encode_pixels", recording)
    encoder = open_encoder(clip_folder, backbone.device)
    compute_features(tmp_path / "f", people, backbone, encoder, 1, lambda *_: None)
    assert sorted(set(rows)) == passes
    assert sum(rows) == 2 * len(people.pixels)


def test_every_caption_is_part_of_the_name(
    people: Any, backbone: Backbone, clip_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder = open_encoder(clip_folder, backbone.device)
    first = cache_key(people, backbone, encoder, 1)
    last = len(people.pixels) - 1

    def template(self: Any, row: int, *, mirrored: bool) -> str:
        return "another photo of {subject}" if row == last else "a photo of {subject}"

    monkeypatch.setattr(type(people), "template", template)
    assert cache_key(people, backbone, encoder, 1) != first


class Photographs:
    """Fails where pixels are read."""

    content_key = "one"

    @property
    def pixels(self) -> object:
        raise AssertionError("the photographs are read")


def test_photographs_with_a_content_key_are_not_read_for_the_name(
    backbone: Backbone, clip_folder: Path
) -> None:
    encoder = open_encoder(clip_folder, backbone.device)
    data: Any = Photographs()
    first = cache_key(data, backbone, encoder, 2)
    data.content_key = "two"
    assert cache_key(data, backbone, encoder, 2) != first
