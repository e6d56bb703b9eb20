"""DreamBooth-LoRA beside diffusers' own script: the same model, photographs and settings, in one process.

Not in the default run, and the script is in no package: get `examples/dreambooth/train_dreambooth_lora.py` of
the diffusers repository, then

    PERSONABENCH_DREAMBOOTH_SCRIPT=train_dreambooth_lora.py \
        pytest -o addopts=--import-mode=importlib tests/speed -k dreambooth -s
"""

import importlib.util
import os
import sys
import time
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from diffusers import (
    AutoencoderKL,
    DDPMScheduler,
    StableDiffusionPipeline,
    UNet2DConditionModel,
)
from torch import Tensor
from transformers import CLIPTextConfig, CLIPTextModel

from bench.datasets.registry import open_people
from bench.suite.suite import open_suite
from methods.backbone.backbone import Backbone
from methods.backbone.spec import BackboneSpec
from methods.dreambooth_lora.method import DreamBoothLora
from methods.finetuning.instance_images import InstanceImages
from methods.finetuning.loop import noised_losses
from methods.lora.checkpoint import FILE, lora_on
from methods.subject import Subject

SCRIPT = os.environ.get("PERSONABENCH_DREAMBOOTH_SCRIPT", "")
WANTED = 1.3
"""Our steps per second, in theirs."""
RATE = 5e-4
PROMPT = "a photo of sks woman"

pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    pytest.mark.skipif(
        not SCRIPT,
        reason="PERSONABENCH_DREAMBOOTH_SCRIPT names no copy of diffusers' train_dreambooth_lora.py",
    ),
]


@dataclass(frozen=True)
class Trained:
    """What one side did."""

    losses: Tensor
    """(steps,)."""
    seconds: float
    """Of the processor, for all steps: a busy machine does not change them."""
    clock: float
    folder: Path


@pytest.fixture(scope="module")
def subject() -> Subject:
    file = open_suite("tiny")
    people = open_people(file.suite.dataset, file.base)
    return next(who for who in people.chosen if who.noun == "woman").subject


def quarter_of_sd15(folder: Path) -> None:
    """Stable Diffusion 1.5 with every width divided by four, at 256 pixels, random weights.

    As many attention heads are left away, so that each is as wide as there. Its parts take about as much
    of each other's time as the published ones do; the embedded backbone's autoencoder is far smaller.
    """
    tokenizer = Backbone.open(BackboneSpec(device="cpu")).pipe.tokenizer
    tokenizer.model_max_length = 77
    text = CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=192,
        intermediate_size=768,
        num_hidden_layers=12,
        num_attention_heads=3,
        max_position_embeddings=77,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.eos_token_id,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        StableDiffusionPipeline(
            vae=AutoencoderKL(
                block_out_channels=(32, 64, 128, 128),
                down_block_types=("DownEncoderBlock2D",) * 4,
                up_block_types=("UpDecoderBlock2D",) * 4,
                layers_per_block=2,
                latent_channels=4,
                norm_num_groups=32,
                sample_size=256,
            ),
            text_encoder=CLIPTextModel(text),
            tokenizer=tokenizer,
            unet=UNet2DConditionModel(
                sample_size=32,
                block_out_channels=(80, 160, 320, 320),
                cross_attention_dim=192,
                # Heads, in spite of the name.
                attention_head_dim=2,
                norm_num_groups=16,
            ),
            scheduler=DDPMScheduler(
                beta_start=0.00085,
                beta_end=0.012,
                beta_schedule="scaled_linear",
                clip_sample=False,
                steps_offset=1,
            ),
            safety_checker=None,
            feature_extractor=None,
            requires_safety_checker=False,
        ).save_pretrained(folder)


def script() -> ModuleType:
    """The script as a module, as it stands."""
    spec = importlib.util.spec_from_file_location("train_dreambooth_lora", SCRIPT)
    assert spec
    assert spec.loader, f"{SCRIPT}: no Python file"
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@dataclass(frozen=True)
class Asked:
    """The same of both sides."""

    backbone: Backbone
    subject: Subject
    steps: int
    batch: int
    seed: int = 0


def theirs(asked: Asked, folder: Path) -> Trained:
    backbone, subject = asked.backbone, asked.subject
    photos, out = folder / "photos", folder / "theirs"
    photos.mkdir()
    for place, photo in enumerate(subject.references):
        photo.image.save(photos / f"{place}.png")
    module = script()
    logged: list[tuple[float, float, float]] = []

    class Listening(module.Accelerator):  # type: ignore[name-defined,misc]
        """Notes each step as the script logs it."""

        def log(self, values: dict[str, Any], step: int | None = None, log_kwargs: Any = None) -> None:
            logged.append((values["loss"], time.process_time(), time.perf_counter()))

    module.Accelerator = Listening  # type: ignore[attr-defined]
    words = {
        "pretrained_model_name_or_path": backbone.folder,
        "instance_data_dir": photos,
        "output_dir": out,
        "instance_prompt": PROMPT,
        "resolution": backbone.resolution,
        "train_batch_size": asked.batch,
        "max_train_steps": asked.steps,
        "learning_rate": RATE,
        "lr_warmup_steps": 0,
        "seed": asked.seed,
    }
    state = torch.random.get_rng_state()
    # Its data set reads them from the module, where running it as a program puts them.
    module.args = module.parse_args([f"--{key}={value}" for key, value in words.items()])  # type: ignore[attr-defined]
    module.main(module.args)
    torch.random.set_rng_state(state)
    losses, seconds, clock = (list(column) for column in zip(*logged, strict=True))
    # From the end of the first step to that of the last; for all of them, in proportion.
    whole = asked.steps / (asked.steps - 1)
    return Trained(
        torch.tensor(losses), (seconds[-1] - seconds[0]) * whole, (clock[-1] - clock[0]) * whole, out
    )


def ours(asked: Asked, folder: Path) -> Trained:
    """The whole fit: encoding the photographs and writing the file are in our time, and not in theirs."""
    into = folder / "ours"
    into.mkdir()
    method = DreamBoothLora(steps=asked.steps, batch=asked.batch, learning_rate=RATE)
    seconds, clock = time.process_time(), time.perf_counter()
    losses = method.learn(asked.subject, into, backbone=asked.backbone, seed=asked.seed)
    return Trained(losses, time.process_time() - seconds, time.perf_counter() - clock, into)


@torch.no_grad()
def judged(asked: Asked, lora: Path | None, count: int = 96) -> Tensor:
    """Losses, (count,), on the same draws of photographs, steps and noise for whatever LoRA."""
    backbone, generator = asked.backbone, torch.Generator().manual_seed(77)
    images = [photo.image for photo in asked.subject.references]
    photos = InstanceImages(images, backbone, crop="random", flip=False, latents="sample")
    latents, _ = photos.show([place % len(images) for place in range(count)], generator)
    t = torch.linspace(5, backbone.noise.steps - 5, count).long()
    said = backbone.conditioning(backbone.encode_text([PROMPT] * count))
    with backbone.clean(), lora_on(backbone, lora, scale=1.0) if lora else nullcontext():
        return noised_losses(backbone, latents, said, t, generator)


def compare(asked: Asked, folder: Path) -> tuple[Trained, Trained]:
    """Train by both, and hold the two curves against each other in four windows."""
    left, right = theirs(asked, folder), ours(asked, folder)
    ratio, by_clock = left.seconds / right.seconds, left.clock / right.clock
    say(
        f"{asked.backbone.folder.name}, batch {asked.batch}, {asked.steps} steps: theirs "
        f"{asked.steps / left.seconds:.2f}, ours {asked.steps / right.seconds:.2f} steps per second of the "
        f"processor, {ratio:.2f}x; {by_clock:.2f}x by the clock"
    )
    # Which steps of the schedule are drawn moves a loss more than anything learnt: hence four errors.
    for their_part, our_part in zip(left.losses.chunk(4), right.losses.chunk(4), strict=True):
        error = float(((their_part.var() + our_part.var()) / len(their_part)).sqrt())
        say(f"  loss {float(their_part.mean()):.4f} / {float(our_part.mean()):.4f} (+- {error:.4f})")
        assert abs(float(their_part.mean() - our_part.mean())) < 4 * error
    return left, right


def test_the_script_s_loss_curve_on_the_embedded_backbone(subject: Subject, tmp_path: Path) -> None:
    asked = Asked(Backbone.open(BackboneSpec(device="cpu")), subject, steps=150, batch=4)
    sides = compare(asked, tmp_path)
    before = judged(asked, None)
    gains = [float((before - judged(asked, side.folder / FILE)).mean()) for side in sides]
    say(f"  the same draws for both: {float(before.mean()):.4f}, less {gains[0]:.4f} / {gains[1]:.4f}")
    assert gains[0] > 0.1
    assert gains[1] == pytest.approx(gains[0], rel=0.15)
    assert sides[0].seconds > sides[1].seconds


def test_more_steps_a_second_than_the_script(subject: Subject, tmp_path: Path) -> None:
    folder = tmp_path / "quarter-of-sd15"
    quarter_of_sd15(folder)
    backbone = Backbone.open(BackboneSpec(path=str(folder), device="cpu"))
    sides = compare(Asked(backbone, subject, steps=32, batch=1), tmp_path)
    assert sides[0].seconds > WANTED * sides[1].seconds


def say(line: str) -> None:
    sys.stderr.write(line + "\n")
