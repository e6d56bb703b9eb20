"""The U-Net of the tiny Stable Diffusion: learns to remove noise from latents, told by captions."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Final

import torch
import torch.nn.functional as F
from diffusers import (
    AutoencoderKL,
    DDIMScheduler,
    StableDiffusionPipeline,
    UNet2DConditionModel,
)
from diffusers.models.attention_processor import AttnProcessor
from torch import Tensor, nn
from transformers import CLIPTextModel, CLIPTokenizer

from methods.backbone.noise_schedule import NoiseSchedule
from methods.pretraining.checkpoint import TrainingCheckpoint
from methods.pretraining.dataset import TrainingSet
from methods.pretraining.loop import Progress, Schedule, minimise
from methods.tiny_sd.attribute_tokens import DESCRIBED, Description
from methods.tiny_sd.autoencoder import encode_all
from methods.tiny_sd.captions import CaptionBank, caption_bank, plain_captions
from methods.tiny_sd.tokenizer import token_ids
from methods.tiny_sd.widening import grown_unet

SCHEDULE = Schedule(steps=3_300, batch=64, learning_rate=1.2e-3, warm_up=200, decay_from=0.4)
FURTHER = Schedule(steps=3_000, batch=64, learning_rate=1e-3, warm_up=200, decay_from=0.3, seed=1)
"""For a network to go on from; with `SCHEDULE`'s seed it would meet the same noise again."""
INTRODUCTION = Schedule(steps=300, batch=64, learning_rate=3e-3, warm_up=20, decay_from=0.5, ema=0.98)
"""For a describer that is new to a network which has read another's tokens."""
NO_CAPTION: Final = 0.1
"""Share of the training pictures whose caption is empty, for classifier-free guidance."""

LEAN: Final = 2.0
"""Noise steps t are drawn with a density of t^(LEAN - 1): who is drawn is settled in much noise, while in
little noise most of the loss is what nobody can predict."""
FACE: Final = (slice(4, 13), slice(4, 12))
"""Where the eye-aligned faces are, from brows to chin, in sixteenths of a picture: rows and columns."""
FACE_COUNTS: Final = 4.0
"""How much more the error there counts."""


@dataclass(frozen=True)
class FrozenParts:
    """What the U-Net is trained between: finished networks that no longer learn."""

    autoencoder: AutoencoderKL
    text_encoder: CLIPTextModel
    tokenizer: CLIPTokenizer


def new_unet(
    *, channels: int, size: int, text_width: int, widths: tuple[int, ...] = (64, 128, 192)
) -> UNet2DConditionModel:
    """An untrained U-Net; cross-attention at every resolution, at the finest on the way up alone.

    What is drawn where no attention is lies out of the reach of image tokens: no adapter could do there what
    fine-tuning can. Stable Diffusion has it on the way down too, where it would cost a tenth of each step.
    """
    levels = len(widths)
    return UNet2DConditionModel(
        sample_size=size,
        in_channels=channels,
        out_channels=channels,
        block_out_channels=widths,
        layers_per_block=1,
        down_block_types=("DownBlock2D", *("CrossAttnDownBlock2D",) * (levels - 1)),
        up_block_types=("CrossAttnUpBlock2D",) * levels,
        mid_block_type="UNetMidBlock2DCrossAttn",
        cross_attention_dim=text_width,
        attention_head_dim=tuple(width // 32 for width in widths),
        norm_num_groups=16,
    )


def new_scheduler() -> DDIMScheduler:
    """Cosine schedule, v-prediction; its last step is all but pure noise, so flat backgrounds come out."""
    return DDIMScheduler(
        num_train_timesteps=1000,
        beta_schedule="squaredcos_cap_v2",
        prediction_type="v_prediction",
        clip_sample=False,
        set_alpha_to_one=True,
        timestep_spacing="trailing",
        steps_offset=1,
    )


@cache
def _noising() -> NoiseSchedule:
    scheduler = new_scheduler()
    return NoiseSchedule(scheduler.alphas_cumprod, scheduler.config.prediction_type)


def begun_unet(
    data: TrainingSet,
    parts: FrozenParts,
    *,
    seed: int,
    widths: tuple[int, ...] = (64, 128, 192),
    start: UNet2DConditionModel | None = None,
) -> tuple[UNet2DConditionModel, Description]:
    """The network that `train_unet` trains, and what describes people to it.

    `start` is a network to go on from; where it has fewer latent channels or less attention it is grown.
    """
    torch.manual_seed(seed)
    unet = new_unet(
        channels=parts.autoencoder.config.latent_channels,
        size=data.pixels.shape[1] // 2 ** (len(parts.autoencoder.config.block_out_channels) - 1),
        text_width=parts.text_encoder.config.hidden_size,
        widths=widths,
    )
    width = parts.text_encoder.config.hidden_size
    description = Description(data.descriptions, width, strange=start is not None)
    return grown_unet(start, unet) if start else unet, description


def train_unet(
    unet: UNet2DConditionModel,
    description: Description,
    data: TrainingSet,
    parts: FrozenParts,
    *,
    schedule: Schedule,
    checkpoint: Path,
    device: torch.device,
    progress: Progress,
) -> None:
    """Minimise w || v - v_theta(X_t, c, t) ||^2 (Salimans & Ho 2022); latents are encoded once.

    w counts the face more (`face_weight`), t leans towards noise, and behind the caption in c stands often
    the description of the person, which learns too. A network that has learnt, and never met these tokens,
    first stands still until they mean something: noise beside the captions would teach it to look away.
    """
    text_encoder = parts.text_encoder.to(device).eval()
    parts.autoencoder.to(device).eval()
    learning = nn.ModuleList([unet, description]).to(device)
    weight = face_weight(unet.config.sample_size).to(device)
    if device.type == "cpu":
        # Fused attention's backward pass is the slowest part of a step on a CPU; the plain one takes a third.
        unet.set_attn_processor(AttnProcessor())
    noising = _noising()

    # Minutes of encoding, which a training that only has its last checkpoint to read can do without.
    @cache
    def source() -> _Source:
        with torch.autocast(device.type, enabled=False):
            return _Source.of(data, parts, schedule.seed + 1, device)

    def loss(step: int, generator: torch.Generator, rows: slice) -> Tensor:
        drawn = source().batch(schedule.batch, generator)
        clean, ids, t, noise, chosen, told = (part[rows] for part in drawn)
        noised, target = noising.add(clean, noise, t), noising.target(clean, noise, t)
        with torch.no_grad():
            context = text_encoder(ids.to(device))[0]
        context, seen = description.beside(context, chosen, told)
        predicted = unet(
            noised.to(device), t.to(device), encoder_hidden_states=context, encoder_attention_mask=seen
        ).sample
        error: Tensor = ((predicted.float() - target.to(device)).square() * weight).mean()
        return error

    def learn(module: nn.Module, schedule: Schedule, path: Path) -> None:
        minimise(
            module, loss, schedule, checkpoint=TrainingCheckpoint(path), progress=progress, device=device
        )

    if description.strange and not checkpoint.exists():
        unet.requires_grad_(False)
        learn(description, _introduction(schedule), checkpoint.with_name("describer.pt"))
        unet.requires_grad_(True)
    learn(learning, schedule, checkpoint)


def _introduction(schedule: Schedule) -> Schedule:
    return replace(INTRODUCTION, steps=min(INTRODUCTION.steps, schedule.steps), batch=schedule.batch)


def face_weight(size: int) -> Tensor:
    """size x size, mean 1: eyes, nose and mouth are a small part of a picture and the most of a face."""
    weight = torch.ones(16, 16)
    weight[FACE] = FACE_COUNTS
    weight = F.interpolate(weight[None, None], size=(size, size), mode="area")[0, 0]
    return weight / weight.mean()


@dataclass(frozen=True)
class _Source:
    """The training set as the U-Net sees it."""

    latents: Tensor
    """N x 2 x C x h x w, half; the second axis is (as it is, mirrored)."""
    captions: CaptionBank
    empty: Tensor

    @classmethod
    def of(cls, data: TrainingSet, parts: FrozenParts, seed: int, device: torch.device) -> _Source:
        views = (data.pixels, data.pixels[:, :, ::-1])
        latents = [encode_all(parts.autoencoder, pixels, device).half() for pixels in views]
        empty = torch.tensor(token_ids(parts.tokenizer, [""]))
        return cls(torch.stack(latents, dim=1), caption_bank(data, parts.tokenizer, seed=seed), empty)

    def batch(self, size: int, generator: torch.Generator) -> tuple[Tensor, ...]:
        """Latents, caption ids, time steps, noise, rows of the training set, whether they are described."""
        rows = torch.randint(len(self.latents), (size,), generator=generator)
        mirrored = torch.rand(size, generator=generator) < 0.5
        ids = self.captions.sample(rows, mirrored, generator)
        zero_linear = torch.rand(size, generator=generator) < NO_CAPTION
        ids = torch.where(zero_linear[:, None], self.empty, ids)
        t = _noising().sample_timesteps(size, generator, timestep_power=LEAN)
        latents = self.latents[rows, mirrored.long()].float()
        noise = torch.randn(latents.shape, generator=generator)
        return latents, ids, t, noise, rows, torch.rand(size, generator=generator) < DESCRIBED


def save_pipeline(folder: Path, parts: FrozenParts, unet: UNet2DConditionModel) -> None:
    """Write a folder that `StableDiffusionPipeline.from_pretrained` opens; weights in half precision."""
    pipeline = StableDiffusionPipeline(
        vae=parts.autoencoder,
        text_encoder=parts.text_encoder,
        tokenizer=parts.tokenizer,
        unet=unet,
        scheduler=new_scheduler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.to(torch.float16).save_pretrained(folder, safe_serialization=True)
    # Stored in half precision, meant for float32: transformers would open the text encoder in what its config
    # says, diffusers the U-Net in float32, and the two would not fit.
    _rewrite(folder / "text_encoder" / "config.json", dtype="float32")
    # diffusers notes the path each part was read from: another machine's, of no use to anybody.
    for part in ("unet", "vae"):
        _rewrite(folder / part / "config.json", _name_or_path=None)


def _rewrite(config: Path, **changes: str | None) -> None:
    """Change entries of a JSON file; None takes one away."""
    said = {**json.loads(config.read_text(encoding="utf-8")), **changes}
    kept = {name: value for name, value in said.items() if name not in changes or changes[name] is not None}
    config.write_text(json.dumps(kept, indent=2) + "\n", encoding="utf-8")


@torch.no_grad()
def denoising_error(
    unet: UNet2DConditionModel,
    parts: FrozenParts,
    unseen: TrainingSet,
    *,
    device: torch.device,
    pictures: int = 512,
) -> float:
    """Mean squared error of the predicted velocity on unseen people, over the whole schedule."""
    pixels = unseen.pixels[:pictures]
    latents = encode_all(parts.autoencoder, pixels, device)
    ids = torch.tensor(token_ids(parts.tokenizer, plain_captions(unseen, len(pixels))))
    t = (torch.arange(len(pixels)) * 1000 // len(pixels)).long()
    noise = torch.randn(latents.shape, generator=torch.Generator().manual_seed(0))
    noising = _noising()
    noised, target = noising.add(latents, noise, t), noising.target(latents, noise, t)
    errors = []
    for rows in torch.arange(len(pixels)).split(64):
        context = parts.text_encoder(ids[rows].to(device))[0]
        predicted = unet(noised[rows].to(device), t[rows].to(device), encoder_hidden_states=context).sample
        errors.append((predicted.cpu() - target[rows]).square().mean())
    return float(torch.stack(errors).mean())
