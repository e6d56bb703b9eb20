"""Seconds per image and per training step on a GPU, compared with diffusers' own pipelines and peft.

The networks have the published sizes and random weights. Not in the default run:

    PERSONABENCH_SPEED_OUT=folder pytest -o addopts=--import-mode=importlib tests/speed -k gpu_speed -s

writes the table into the folder, as Markdown and JSON. With PERSONABENCH_SPEED_DEVICE=cpu and
PERSONABENCH_SPEED_SIZE=tiny everything runs without a GPU, on tiny networks.
"""

from __future__ import annotations

import os
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import DiffusionPipeline
from PIL.Image import Image, fromarray
from plain_training import train_with_diffusers
from published_sizes import write_stable_diffusion_15, write_stable_diffusion_35_medium, write_vision_tower
from safetensors.torch import load_file
from speed_table import (
    Measured,
    PeakMemory,
    SpeedTable,
    StepTimes,
    TimedCheckpoints,
    machine,
    measure_images,
)
from tiny_adapters import leave_one_out_settings, write_checkpoint
from torch import Tensor, nn

from methods.backbone.backbone import Backbone
from methods.backbone.spec import BackboneSpec
from methods.catalog import make
from methods.dreambooth_lora.method import DreamBoothLora
from methods.encoders.clip_vision import open_encoder
from methods.interface import Method
from methods.ip_adapter.inference import ImageFeatures
from methods.lora.checkpoint import FILE
from methods.phrase_file import write_phrase
from methods.subject import Photo, Request, Subject
from methods.textual_inversion.method import TextualInversion

DEVICE = os.environ.get("PERSONABENCH_SPEED_DEVICE", "cuda")
SIZE = os.environ.get("PERSONABENCH_SPEED_SIZE", "full")
OUT = os.environ.get("PERSONABENCH_SPEED_OUT", "")
# Of the backbone, and of LoRA's training, whose own weights stay in fp32.
DTYPE, TORCH_DTYPE = ("fp32", torch.float32) if DEVICE == "cpu" else ("bf16", torch.bfloat16)
MIXED = "no" if DEVICE == "cpu" else "bf16"

SIDE = 512 if SIZE == "full" else 64
RATE = 1e-4
REQUESTS = [Request("a photo of {subject}", seed, "photo", seed) for seed in range(4)]

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(DEVICE == "cuda" and not torch.cuda.is_available(), reason="needs a CUDA device"),
]


@dataclass(frozen=True)
class Sides:
    """The same folder as our backbone and as diffusers' pipeline."""

    name: str
    backbone: Backbone
    pipe: Any
    segment: int
    """Training steps of each of three timed segments."""

    @property
    def our_networks(self) -> list[nn.Module]:
        return networks(self.backbone.pipe)

    @property
    def network(self) -> Any:
        """The network of diffusers' pipeline that predicts."""
        return getattr(self.pipe, self.backbone.denoiser.part)

    def draw_with_diffusers(self, **arguments: Any) -> list[Image]:
        """Images of the pipeline for the same prompts and seeds, with the backbone's settings."""
        spec = self.backbone.spec
        requests = REQUESTS[: spec.batch]
        images: list[Image] = self.pipe(
            **{"prompt": [request.prompt("woman") for request in requests], **arguments},
            num_inference_steps=spec.steps,
            guidance_scale=spec.guidance,
            height=SIDE,
            width=SIDE,
            generator=[torch.Generator().manual_seed(request.seed) for request in requests],
        ).images
        return images


def networks(pipe: Any) -> list[nn.Module]:
    return [part for part in pipe.components.values() if isinstance(part, nn.Module)]


def opened(name: str, folder: Path, *, batch: int, steps: int, segment: int) -> Sides:
    spec = BackboneSpec(
        path=str(folder), device=DEVICE, dtype=DTYPE, batch=batch, steps=steps, resolution=SIDE
    )
    absent = {"text_encoder_3": None, "tokenizer_3": None} if name.startswith("SD 3") else {}
    pipe = DiffusionPipeline.from_pretrained(folder, torch_dtype=TORCH_DTYPE, local_files_only=True, **absent)
    pipe.set_progress_bar_config(disable=True)
    for network in networks(pipe):
        network.requires_grad_(False)
    return Sides(name, Backbone.open(spec), pipe.to(DEVICE), segment)


@pytest.fixture(scope="module")
def sd15(tmp_path_factory: pytest.TempPathFactory) -> Sides:
    folder = write_stable_diffusion_15(tmp_path_factory.mktemp("sd15"), SIZE, DEVICE, TORCH_DTYPE)
    steps, segment = (20, 8) if SIZE == "full" else (2, 1)
    return opened("SD 1.5", folder, batch=4, steps=steps, segment=segment)


@pytest.fixture(scope="module")
def sd35(tmp_path_factory: pytest.TempPathFactory) -> Sides:
    folder = write_stable_diffusion_35_medium(tmp_path_factory.mktemp("sd35"), SIZE, DEVICE, TORCH_DTYPE)
    steps, segment = (10, 3) if SIZE == "full" else (2, 1)
    return opened("SD 3.5 medium", folder, batch=2, steps=steps, segment=segment)


@pytest.fixture(scope="module")
def vision(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_vision_tower(tmp_path_factory.mktemp("vision"), SIZE, DEVICE, TORCH_DTYPE)


@pytest.fixture(scope="module")
def table() -> SpeedTable:
    return SpeedTable(OUT, machine(DEVICE, sizes=SIZE, precision=DTYPE, side=f"{SIDE} px"))


@pytest.fixture(scope="module")
def subject() -> Subject:
    """Four photographs of noise: the time does not depend on the content."""
    pixels = np.random.default_rng(0).integers(0, 256, (4, SIDE, SIDE, 3), dtype=np.uint8)
    return Subject("ada", "woman", tuple(Photo(fromarray(rows), "a photo of {subject}") for rows in pixels))


def add_images(table: SpeedTable, sides: Sides, what: str, ours: Measured, theirs: Measured | None) -> None:
    """Add a line; the images of both sides differ by rounding only, and none is constant.

    In half precision the guidance scale multiplies rounding errors, and other kernels for another memory
    layout round differently in every step. Other images would differ by about 50 of 255.
    """
    spec = sides.backbone.spec
    row = table.add(f"{sides.name}, {what}, {spec.batch} x {spec.steps} steps", "image", ours, theirs)
    assert all(len(image.getcolors(SIDE * SIDE)) > 100 for image in ours.images)
    assert not any(image.info for image in ours.images)
    assert (row["mean_difference"] or 0) < (0.1 if DTYPE == "fp32" else 8)


def fitted_images(method: Method, sides: Sides, subject: Subject, folder: Path) -> Measured:
    """Images of a fit, drawn as by the runner: what stays loaded between batches is not timed."""
    backbone = sides.backbone
    if not any(folder.iterdir()):
        method.fit(subject, folder, backbone=backbone, seed=0)
    person = method.load(folder, backbone=backbone)
    session = getattr(person, "session", nullcontext)
    with session():
        return measure_images(lambda: person.generate(REQUESTS[: backbone.spec.batch]), sides.our_networks)


def compare_plain_images(sides: Sides, table: SpeedTable) -> None:
    spec = sides.backbone.spec
    prompts, seeds = ["a photo of woman"] * spec.batch, [request.seed for request in REQUESTS[: spec.batch]]
    ours = measure_images(lambda: sides.backbone.generate(prompts, seeds), sides.our_networks)
    theirs = measure_images(sides.draw_with_diffusers, networks(sides.pipe))
    add_images(table, sides, "no method", ours, theirs)
    if sides.backbone.denoiser.channels_last:
        parts = [getattr(sides.pipe, name) for name in sides.backbone.denoiser.channels_last]
        for part in parts:
            part.to(memory_format=torch.channels_last)
        same_layout = measure_images(sides.draw_with_diffusers, networks(sides.pipe))
        add_images(table, sides, "no method, diffusers with channels last", ours, same_layout)
        for part in parts:
            part.to(memory_format=torch.contiguous_format)


def our_training(
    method: DreamBoothLora | TextualInversion, sides: Sides, subject: Subject, folder: Path
) -> tuple[Measured, Tensor]:
    """Fit into the folder; returns time and losses."""
    timed, peak = StepTimes(sides.segment), PeakMemory(sides.our_networks)
    checkpoints = TimedCheckpoints({method.steps: folder}, timed=timed)
    losses = method.learn(subject, checkpoints, backbone=sides.backbone, seed=0)
    return Measured(timed.seconds, peak.gigabytes()), losses


def compare_lora(sides: Sides, subject: Subject, table: SpeedTable, folder: Path) -> DreamBoothLora:
    """Time the training steps of both sides; the fit is then in the folder."""
    method = DreamBoothLora(steps=StepTimes(sides.segment).last, learning_rate=RATE, mixed_precision=MIXED)
    write_phrase(folder, method.phrase(subject))
    ours, losses = our_training(method, sides, subject, folder)
    timed, peak = StepTimes(sides.segment), PeakMemory(networks(sides.pipe))
    their_losses, count = train_with_diffusers(
        sides.pipe,
        [photo.image for photo in subject.references],
        f"a photo of {method.phrase(subject)}",
        targets=sides.backbone.lora.targets,
        rank=method.rank,
        steps=method.steps,
        learning_rate=RATE,
        after_step=timed.after,
    )
    theirs = Measured(timed.seconds, peak.gigabytes())
    table.add(f"{sides.name}, DreamBooth-LoRA, batch 1, rank {method.rank}", "training step", ours, theirs)
    assert sum(value.numel() for value in load_file(folder / FILE).values()) == count
    assert float(losses.mean()) == pytest.approx(float(their_losses.mean()), rel=0.5)
    return method


def test_images_of_stable_diffusion_15(sd15: Sides, table: SpeedTable) -> None:
    compare_plain_images(sd15, table)


def test_dreambooth_lora_on_stable_diffusion_15(
    sd15: Sides, subject: Subject, table: SpeedTable, tmp_path: Path
) -> None:
    """The training's steps; then images with the fit, which diffusers loads, too."""
    method = compare_lora(sd15, subject, table, tmp_path)
    ours = fitted_images(method, sd15, subject, tmp_path)
    sd15.pipe.load_lora_weights(tmp_path, weight_name=FILE)
    prompts = [request.prompt(method.phrase(subject)) for request in REQUESTS]
    theirs = measure_images(partial(sd15.draw_with_diffusers, prompt=prompts), networks(sd15.pipe))
    sd15.pipe.unload_lora_weights()
    add_images(table, sd15, "DreamBooth-LoRA", ours, theirs)


def test_ip_adapter(sd15: Sides, subject: Subject, vision: Path, table: SpeedTable, tmp_path: Path) -> None:
    """Four photographs, encoded before; diffusers projects their embeddings again at every call."""
    encoder = open_encoder(vision, sd15.backbone.device)
    file = write_checkpoint(tmp_path, "base", sd15.backbone.pipe.unet, clip=encoder.model)
    fit = tmp_path / "fit"
    fit.mkdir()
    method = make("ip-adapter", {"adapter": str(file), "encoder": str(vision)})
    ours = fitted_images(method, sd15, subject, fit)
    sd15.pipe.load_ip_adapter(
        str(file.parent), subfolder="", weight_name=file.name, image_encoder_folder=None
    )
    sd15.pipe.set_ip_adapter_scale(1.0)
    photos = ImageFeatures.read(fit)[0].photos.to(DEVICE, TORCH_DTYPE)
    embeds = [torch.stack([torch.zeros_like(photos), photos])]
    draw = partial(
        sd15.draw_with_diffusers, prompt=[f"a photo of {subject.phrase}"] * 4, ip_adapter_image_embeds=embeds
    )
    theirs = measure_images(draw, networks(sd15.pipe))
    sd15.pipe.unload_ip_adapter()
    add_images(table, sd15, "IP-Adapter", ours, theirs)


@pytest.mark.parametrize("aggregator", ["mean", "attention", "caption-attention"])
def test_leave_one_out(
    aggregator: str, sd15: Sides, subject: Subject, vision: Path, table: SpeedTable, tmp_path: Path
) -> None:
    """Four photographs of eight tokens each, an untrained network of the default sizes."""
    file, fit = tmp_path / "network.safetensors", tmp_path / "fit"
    fit.mkdir()
    settings = leave_one_out_settings(aggregator, sd15.backbone, vision, file, tokens=8, hidden=128)
    method = make(f"loo-{aggregator}", settings)
    add_images(table, sd15, method.name, fitted_images(method, sd15, subject, fit), None)


def test_textual_inversion(sd15: Sides, subject: Subject, table: SpeedTable, tmp_path: Path) -> None:
    method = TextualInversion(steps=StepTimes(sd15.segment).last, accumulation=1, mixed_precision=MIXED)
    ours, losses = our_training(method, sd15, subject, tmp_path)
    table.add(f"{sd15.name}, textual inversion, batch 1", "training step", ours)
    assert bool(losses.isfinite().all())
    add_images(table, sd15, "textual inversion", fitted_images(method, sd15, subject, tmp_path), None)


def test_images_of_stable_diffusion_35(sd35: Sides, table: SpeedTable) -> None:
    """Our backbone encodes a prompt once per run; diffusers' pipeline at every call."""
    compare_plain_images(sd35, table)


def test_dreambooth_lora_on_stable_diffusion_35(
    sd35: Sides, subject: Subject, table: SpeedTable, tmp_path: Path
) -> None:
    method = compare_lora(sd35, subject, table, tmp_path)
    add_images(table, sd35, "DreamBooth-LoRA", fitted_images(method, sd35, subject, tmp_path), None)
