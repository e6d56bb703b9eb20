"""FLUX.2 klein with photographs in its context, compared with diffusers' pipeline."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import Flux2KleinPipeline
from PIL import Image
from tiny_pipelines import SIDE
from tiny_transformers import FlowFolders

from methods.backbone.backbone import Backbone
from methods.errors import MethodError
from methods.in_context.flux_2_klein import Flux2Klein
from methods.subject import Photo, Request, Subject

REQUESTS = [Request("a photo of {subject}, smiling", seed) for seed in (4, 5)]


@pytest.fixture
def klein(flow_folders: FlowFolders) -> Backbone:
    return flow_folders.backbone("flux2")


def photos(subject: Subject, *sizes: tuple[int, int]) -> Subject:
    """The subject's photographs in other sizes."""
    pairs = zip(subject.references, sizes, strict=False)
    resized = tuple(Photo(photo.image.resize(size), "a photo of {subject}") for photo, size in pairs)
    return Subject(subject.id, subject.noun, resized)


def plain_images(backbone: Backbone, images: list[Image.Image]) -> list[Image.Image]:
    pipe = Flux2KleinPipeline.from_pretrained(backbone.folder, dtype=torch.float32)
    pipe.set_progress_bar_config(disable=True)
    found: list[Image.Image] = pipe(
        images,
        ["a photo of this woman, smiling"] * 2,
        num_inference_steps=2,
        height=SIDE,
        width=SIDE,
        guidance_scale=3.0,
        max_sequence_length=backbone.spec.max_sequence_length,
        generator=[torch.Generator().manual_seed(seed) for seed in (4, 5)],
    ).images
    return found


def generated(method: Flux2Klein, subject: Subject, into: Path, backbone: Backbone) -> list[Image.Image]:
    into.mkdir()
    method.fit(subject, into, backbone=backbone, seed=0)
    return method.load(into, backbone=backbone).generate(REQUESTS)


def largest_difference(ours: list[Image.Image], theirs: list[Image.Image]) -> int:
    pairs = zip(ours, theirs, strict=True)
    return max(int(np.abs(np.asarray(a).astype(int) - np.asarray(b)).max()) for a, b in pairs)


def test_images_equal_those_of_the_pipeline(subject: Subject, klein: Backbone, tmp_path: Path) -> None:
    person = photos(subject, (SIDE, SIDE), (100, 70), (80, 96))
    images = generated(Flux2Klein(), person, tmp_path / "all", klein)
    references = [photo.image for photo in person.references]
    assert largest_difference(images, plain_images(klein, references)) <= 1
    first = generated(Flux2Klein(photos="first"), person, tmp_path / "first", klein)
    assert largest_difference(first, plain_images(klein, references[:1])) <= 1
    assert first[0].tobytes() != images[0].tobytes()


def test_small_photographs_are_enlarged_and_narrow_ones_refused(
    subject: Subject, klein: Backbone, tmp_path: Path
) -> None:
    Flux2Klein().fit(photos(subject, (20, 30), (64, 70)), tmp_path, backbone=klein, seed=0)
    sizes = [image.size for image in Flux2Klein().load(tmp_path, backbone=klein).image(1)]
    assert sizes == [(64, 96), (64, 70)]
    narrow = photos(subject, (64, 64), (64, 600))
    assert "photo 2 is 64 x 600 pixels" in str(Flux2Klein().unsupported_reason(narrow))
    assert Flux2Klein(photos="first").unsupported_reason(narrow) is None
    assert "no reference photos" in str(Flux2Klein().unsupported_reason(photos(subject)))


def test_another_backbone_is_refused(subject: Subject, flow_folders: FlowFolders, tmp_path: Path) -> None:
    for other in ("flux", "flux-kontext"):
        with pytest.raises(MethodError, match=r"reads no photographs; use FLUX\.2 klein") as caught:
            Flux2Klein().fit(subject, tmp_path, backbone=flow_folders.backbone(other), seed=0)
        assert "\n" not in str(caught.value)
