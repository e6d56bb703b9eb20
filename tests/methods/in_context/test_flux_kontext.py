"""FLUX.1 Kontext with photographs in its context, compared with diffusers' pipeline."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import FluxKontextPipeline
from PIL import Image
from tiny_pipelines import SIDE
from tiny_transformers import FlowFolders

from methods.backbone.backbone import Backbone
from methods.backbone.images import central_square
from methods.errors import MethodError
from methods.in_context.flux_kontext import FluxKontext
from methods.subject import Photo, Request, Subject

REQUESTS = [Request("a photo of {subject}, smiling", seed) for seed in (4, 5)]


@pytest.fixture
def kontext(flow_folders: FlowFolders) -> Backbone:
    return flow_folders.backbone("flux-kontext")


def photos(subject: Subject, *sizes: tuple[int, int]) -> Subject:
    """The subject's photographs in other sizes."""
    images = [photo.image for photo in subject.references]
    pairs = zip(images, sizes, strict=False)
    resized = tuple(Photo(image.resize(size), "a photo of {subject}") for image, size in pairs)
    return Subject(subject.id, subject.noun, resized)


def plain_images(backbone: Backbone, image: Image.Image) -> list[Image.Image]:
    pipe = FluxKontextPipeline.from_pretrained(backbone.folder, dtype=torch.float32)
    pipe.set_progress_bar_config(disable=True)
    images: list[Image.Image] = pipe(
        image,
        ["a photo of this woman, smiling"] * 2,
        num_inference_steps=2,
        height=SIDE,
        width=SIDE,
        max_area=SIDE**2,
        guidance_scale=3.0,
        max_sequence_length=16,
        generator=[torch.Generator().manual_seed(seed) for seed in (4, 5)],
        _auto_resize=False,
    ).images
    return images


def generated(method: FluxKontext, subject: Subject, into: Path, backbone: Backbone) -> list[Image.Image]:
    into.mkdir(exist_ok=True)
    method.fit(subject, into, backbone=backbone, seed=0)
    return method.load(into, backbone=backbone).generate(REQUESTS)


def largest_difference(ours: list[Image.Image], theirs: list[Image.Image]) -> int:
    pairs = zip(ours, theirs, strict=True)
    return max(int(np.abs(np.asarray(a).astype(int) - np.asarray(b)).max()) for a, b in pairs)


def test_images_equal_those_of_the_pipeline(subject: Subject, kontext: Backbone, tmp_path: Path) -> None:
    person = photos(subject, (SIDE, SIDE), (90, 50))
    images = generated(FluxKontext(photos="first"), person, tmp_path, kontext)
    assert largest_difference(images, plain_images(kontext, person.references[0].image)) <= 1
    other = replace(person, references=person.references[1:])
    assert images[0].tobytes() != generated(FluxKontext(), other, tmp_path / "o", kontext)[0].tobytes()


def test_grid_has_the_square_of_every_photograph(subject: Subject, kontext: Backbone, tmp_path: Path) -> None:
    person = photos(subject, (64, 80), (40, 64), (32, 32))
    squares = [central_square(p.image).resize((SIDE, SIDE), 1) for p in person.references]
    grid = Image.new("RGB", (2 * SIDE, 2 * SIDE))
    for place, square in zip(
        [(0, 0), (SIDE, 0), (0, SIDE), (SIDE, SIDE)], [*squares, squares[0]], strict=True
    ):
        grid.paste(square, place)
    images = generated(FluxKontext(), person, tmp_path, kontext)
    expected = plain_images(kontext, grid.resize((SIDE, SIDE), 1))
    assert largest_difference(images, expected) <= 1


@pytest.mark.parametrize(("size", "expected"), [((300, 100), (1568, 672)), ((100, 100), (1024, 1024))])
def test_size_in_the_context_is_the_pipeline_s(
    size: tuple[int, int], expected: tuple[int, int], subject: Subject, kontext: Backbone, tmp_path: Path
) -> None:
    """At the native resolution of 1024 pixels; other resolutions scale it."""
    native = replace(kontext, spec=replace(kontext.spec, resolution=None), cache={})
    assert expected in native.context_sizes
    FluxKontext(photos="first").fit(photos(subject, size), tmp_path, backbone=kontext, seed=0)
    latents = FluxKontext().load(tmp_path, backbone=kontext).image(1)
    assert latents.shape[2:] == tuple(side * SIDE // 1024 // 16 * 2 for side in reversed(expected))


def test_another_backbone_is_refused(
    subject: Subject, backbone: Backbone, flow_folders: FlowFolders, tmp_path: Path
) -> None:
    for other in (backbone, flow_folders.backbone("flux")):
        with pytest.raises(MethodError, match=r"reads no image; use FLUX\.1 Kontext") as caught:
            FluxKontext().fit(subject, tmp_path, backbone=other, seed=0)
        assert "\n" not in str(caught.value)
