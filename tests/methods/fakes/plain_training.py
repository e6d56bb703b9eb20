"""DreamBooth-LoRA of diffusers' scripts with peft, in a plain loop, to compare with the method.

As in train_dreambooth_lora.py and train_dreambooth_lora_sd3.py with their default settings, except that the
autoencoder's posteriors and the text features are computed once, and timesteps of SD 3 are uniform.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from diffusers import DDPMScheduler
from peft import LoraConfig
from PIL.Image import Image
from torch import Tensor

from methods.backbone.images import LatentScale, tensor


def train_with_diffusers(
    pipe: Any,
    images: Sequence[Image],
    prompt: str,
    *,
    targets: Sequence[str],
    rank: int,
    steps: int,
    learning_rate: float,
    after_step: Callable[[int], None],
) -> tuple[Tensor, int]:
    """Train LoRA layers of a pipeline in its precision, one photograph a step, and remove them.

    In half precision, LoRA's weights are in fp32 and the forward pass uses autocast. Returns the losses,
    (steps,), and the number of trained weights.
    """
    is_flow = hasattr(pipe, "transformer")
    network: Any = pipe.transformer if is_flow else pipe.unet
    trained = add_lora(network, targets, rank)
    posteriors = encoded(pipe, images)
    arguments = conditioning(pipe, prompt)
    optimizer = torch.optim.AdamW(trained, lr=learning_rate, weight_decay=1e-2)
    schedule = None if is_flow else DDPMScheduler.from_config(pipe.scheduler.config)
    losses = []
    for step in range(steps):
        posterior = posteriors[step % len(posteriors)]
        latents = LatentScale.of(pipe.vae).scaled(posterior.sample()).float()
        x_t, t, target = noised_flow(latents) if schedule is None else noised(schedule, latents)
        with torch.autocast(network.device.type, network.dtype, enabled=network.dtype != torch.float32):
            predicted = network(x_t.to(network.dtype), timestep=t, **arguments, return_dict=False)[0]
            loss = F.mse_loss(predicted.float(), target)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        losses.append(loss.detach())
        after_step(step + 1)
    pipe.unload_lora_weights()
    network.eval()
    return torch.stack(losses).cpu(), sum(p.numel() for p in trained)


def add_lora(network: Any, targets: Sequence[str], rank: int) -> list[Tensor]:
    """Add LoRA layers, whose weights are in fp32, and put the network into training mode."""
    network.add_adapter(
        LoraConfig(r=rank, lora_alpha=rank, init_lora_weights="gaussian", target_modules=list(targets))
    )
    trained = [p for p in network.parameters() if p.requires_grad]
    for p in trained:
        p.data = p.data.float()
    network.train()
    return trained


@torch.no_grad()
def encoded(pipe: Any, images: Sequence[Image]) -> list[Any]:
    """The autoencoder's posterior of each image."""
    vae = pipe.vae
    pixels = (tensor(images) * 2 - 1).to(vae.device, vae.dtype)
    return [vae.encode(row[None]).latent_dist for row in pixels]


@torch.no_grad()
def conditioning(pipe: Any, prompt: str) -> dict[str, Tensor]:
    """The network's arguments for one prompt."""
    if hasattr(pipe, "transformer"):
        options = {"do_classifier_free_guidance": False, "max_sequence_length": 256}
        tokens, _, pooled, _ = pipe.encode_prompt(prompt, None, None, **options)
        return {"encoder_hidden_states": tokens, "pooled_projections": pooled}
    return {"encoder_hidden_states": pipe.encode_prompt(prompt, pipe.device, 1, False)[0]}


def noised(schedule: DDPMScheduler, latents: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Noised latents, timesteps and the network's target: the noise."""
    noise = torch.randn_like(latents)
    t = torch.randint(0, 1000, (len(latents),), device=latents.device)
    return schedule.add_noise(latents, noise, t), t, noise


def noised_flow(latents: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Noised latents, timesteps and the network's target: the velocity of rectified flow."""
    noise = torch.randn_like(latents)
    sigma = torch.rand(len(latents), device=latents.device)
    x_t = latents + sigma.view(-1, 1, 1, 1) * (noise - latents)
    return x_t, 1000 * sigma, noise - latents
