"""DreamBooth-LoRA compared with diffusers' script: same model, photographs and settings, in one process.

Not in the default run. The script is in no package: copy `examples/dreambooth/train_dreambooth_lora.py` from
the diffusers repository, then run

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
from methods.interface import Checkpoints
from methods.lora.checkpoint import FILE, lora_on
from methods.subject import Subject

SCRIPT = os.environ.get("PERSONABENCH_DREAMBOOTH_SCRIPT", "")
MIN_SPEEDUP = 1.3
"""Expected ratio of steps per second, ours / theirs."""
RATE = 5e-4
PROMPT = "a photo of sks woman"

pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    pytest.mark.skipif(
        not SCRIPT,
        reason="PERSONABENCH_DREAMBOOTH_SCRIPT is not set to a copy of train_dreambooth_lora.py",
    ),
]


@dataclass(frozen=True)
class TrainingResult:
    """Losses, times and output of one implementation."""

    losses: Tensor
    """(steps,)."""
    seconds: float
    """CPU time of all steps, which does not depend on the load of the machine."""
    clock: float
    """Wall-clock time of all steps."""
    folder: Path


@pytest.fixture(scope="module")
def subject() -> Subject:
    file = open_suite("tiny-unet")
    people = open_people(file.suite.dataset, file.base)
    return next(who for who in people.chosen if who.noun == "woman").subject


def quarter_of_sd15(folder: Path) -> None:
    """Stable Diffusion 1.5 with every width divided by four, at 256 pixels, random weights.

    The number of attention heads is divided as well, so their width is unchanged. The networks take about
    the same shares of the time as the published ones; the embedded backbone's autoencoder is far smaller.
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
    """Import the unchanged script as a module."""
    spec = importlib.util.spec_from_file_location("train_dreambooth_lora", SCRIPT)
    assert spec
    assert spec.loader, f"{SCRIPT}: no Python file"
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@dataclass(frozen=True)
class Experiment:
    """Settings common to both implementations."""

    backbone: Backbone
    subject: Subject
    steps: int
    batch: int
    seed: int = 0


def theirs(experiment: Experiment, folder: Path) -> TrainingResult:
    backbone, subject = experiment.backbone, experiment.subject
    photos, out = folder / "photos", folder / "theirs"
    photos.mkdir()
    for number, photo in enumerate(subject.references):
        photo.image.save(photos / f"{number}.png")
    module = script()
    logged: list[tuple[float, float, float]] = []

    class LoggingAccelerator(module.Accelerator):  # type: ignore[name-defined,misc]
        """Records each step when the script logs it."""

        def log(self, values: dict[str, Any], step: int | None = None, log_kwargs: Any = None) -> None:
            logged.append((values["loss"], time.process_time(), time.perf_counter()))

    module.Accelerator = LoggingAccelerator  # type: ignore[attr-defined]
    options = {
        "pretrained_model_name_or_path": backbone.folder,
        "instance_data_dir": photos,
        "output_dir": out,
        "instance_prompt": PROMPT,
        "resolution": backbone.resolution,
        "train_batch_size": experiment.batch,
        "max_train_steps": experiment.steps,
        "learning_rate": RATE,
        "lr_warmup_steps": 0,
        "seed": experiment.seed,
    }
    state = torch.random.get_rng_state()
    # Its dataset reads the arguments from the module, as when run as a program.
    module.args = module.parse_args([f"--{key}={value}" for key, value in options.items()])  # type: ignore[attr-defined]
    module.main(module.args)
    torch.random.set_rng_state(state)
    losses, seconds, clock = (list(column) for column in zip(*logged, strict=True))
    # The time from the end of the first step to the end of the last, extrapolated to all steps.
    whole = experiment.steps / (experiment.steps - 1)
    return TrainingResult(
        torch.tensor(losses), (seconds[-1] - seconds[0]) * whole, (clock[-1] - clock[0]) * whole, out
    )


def ours(experiment: Experiment, folder: Path) -> TrainingResult:
    """Run a whole fit: only our time includes encoding the photographs and writing the file."""
    into = folder / "ours"
    into.mkdir()
    method = DreamBoothLora(steps=experiment.steps, batch=experiment.batch, learning_rate=RATE)
    seconds, clock = time.process_time(), time.perf_counter()
    losses = method.learn(
        experiment.subject,
        Checkpoints({method.steps: into}),
        backbone=experiment.backbone,
        seed=experiment.seed,
    )
    return TrainingResult(losses, time.process_time() - seconds, time.perf_counter() - clock, into)


@torch.no_grad()
def evaluation_losses(experiment: Experiment, lora: Path | None, count: int = 96) -> Tensor:
    """Losses, (count,), with the same photographs, time steps and noise for every LoRA."""
    backbone, generator = experiment.backbone, torch.Generator().manual_seed(77)
    images = [photo.image for photo in experiment.subject.references]
    photos = InstanceImages(images, backbone, crop="random", flip=False, latents="sample")
    latents, _ = photos.show([i % len(images) for i in range(count)], generator)
    t = torch.linspace(5, backbone.noise.steps - 5, count).long()
    conditioning = backbone.conditioning(backbone.encode_text([PROMPT] * count))
    with backbone.clean(), lora_on(backbone, lora, scale=1.0) if lora else nullcontext():
        return noised_losses(backbone, latents, conditioning, t, generator)


def compare(experiment: Experiment, folder: Path) -> tuple[TrainingResult, TrainingResult]:
    """Train with both and compare the loss curves in four windows."""
    left, right = theirs(experiment, folder), ours(experiment, folder)
    ratio, by_clock = left.seconds / right.seconds, left.clock / right.clock
    log(
        f"{experiment.backbone.folder.name}, batch {experiment.batch}, {experiment.steps} steps: theirs "
        f"{experiment.steps / left.seconds:.2f}, ours {experiment.steps / right.seconds:.2f} steps per "
        f"second of CPU time, {ratio:.2f}x; {by_clock:.2f}x in wall-clock time"
    )
    # The sampled time steps change a loss more than training does: hence four standard errors.
    for their_part, our_part in zip(left.losses.chunk(4), right.losses.chunk(4), strict=True):
        error = float(((their_part.var() + our_part.var()) / len(their_part)).sqrt())
        log(f"  loss {float(their_part.mean()):.4f} / {float(our_part.mean()):.4f} (+- {error:.4f})")
        assert abs(float(their_part.mean() - our_part.mean())) < 4 * error
    return left, right


def test_loss_curve_equals_the_scripts_on_the_embedded_backbone(subject: Subject, tmp_path: Path) -> None:
    experiment = Experiment(Backbone.open(BackboneSpec(device="cpu")), subject, steps=150, batch=4)
    sides = compare(experiment, tmp_path)
    before = evaluation_losses(experiment, None)
    gains = [float((before - evaluation_losses(experiment, side.folder / FILE)).mean()) for side in sides]
    log(f"  the same noise for both: {float(before.mean()):.4f}, less {gains[0]:.4f} / {gains[1]:.4f}")
    assert gains[0] > 0.1
    assert gains[1] == pytest.approx(gains[0], rel=0.15)
    assert sides[0].seconds > sides[1].seconds


def test_steps_per_second_exceed_the_scripts(subject: Subject, tmp_path: Path) -> None:
    folder = tmp_path / "quarter-of-sd15"
    quarter_of_sd15(folder)
    backbone = Backbone.open(BackboneSpec(path=str(folder), device="cpu"))
    sides = compare(Experiment(backbone, subject, steps=32, batch=1), tmp_path)
    assert sides[0].seconds > MIN_SPEEDUP * sides[1].seconds


def log(line: str) -> None:
    sys.stderr.write(line + "\n")
