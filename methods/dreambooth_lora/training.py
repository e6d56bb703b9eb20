"""The loop of DreamBooth-LoRA: all that is frozen is computed before it, all it leaves is one LoRA file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig
from peft.helpers import disable_input_dtype_casting
from torch import Tensor, nn

from methods.backbone.backbone import Backbone
from methods.backbone.text_encoding import TextFeatures, encoders_of
from methods.compute.loading import first_line, quiet
from methods.compute.seeding import generator_of
from methods.errors import MethodError
from methods.finetuning.instance_images import EpochShuffler, InstanceImages
from methods.finetuning.loop import OptimizationConfig, in_training, noised_losses, optimize
from methods.lora.checkpoint import ADAPTER, save_lora
from methods.lora.merged import merged

TEXT_TARGETS = ["q_proj", "k_proj", "v_proj", "out_proj"]


@dataclass(frozen=True)
class Instances:
    """The person's photographs."""

    photos: InstanceImages
    prompts: tuple[str, ...]
    """One for each photograph."""


@dataclass(frozen=True)
class ClassPictures:
    """The backbone's own idea of the person's noun."""

    latents: Tensor
    """(m, C, h, w)."""
    prompt: str


@dataclass(frozen=True)
class LoraTraining:
    """What is trained, and on what loss."""

    optimization: OptimizationConfig
    batch: int
    rate: float
    weight_decay: float
    text_rate: float | None
    """None leaves the text encoders frozen."""
    text_weight_decay: float
    rank: int
    alpha: float
    dropout: float
    targets: tuple[str, ...]
    prior_weight: float
    min_snr: float | None
    checkpointing: bool
    merged: bool


def train_lora(
    backbone: Backbone,
    instances: Instances,
    classes: ClassPictures | None,
    training: LoraTraining,
    into: Path,
    *,
    seed: int,
) -> Tensor:
    """Minimise L(photos) + prior_weight L(class pictures) (Ruiz et al. 2023, eq. 2); write the LoRA.

    Gives each step's loss, (steps,).
    """
    text = _Prompts(backbone, instances, classes, frozen=training.text_rate is None)
    turns = EpochShuffler(len(instances.prompts), seed=seed)
    with backbone.clean(), _trainable(backbone, training, seed) as groups:

        def loss(batch: int) -> Tensor:
            rows = turns.rows(batch * training.batch, training.batch)
            return _loss(backbone, text, instances, classes, training, rows, generator_of(seed, batch))

        losses = optimize(groups, loss, training.optimization, backbone=backbone)
        save_lora(backbone.pipe, into, text_too=training.text_rate is not None)
    return losses


class _Prompts:
    """Features of the prompts: from the cache, or anew where the text encoders learn."""

    def __init__(
        self, backbone: Backbone, instances: Instances, classes: ClassPictures | None, *, frozen: bool
    ) -> None:
        self.prompts = [*instances.prompts, *([classes.prompt] if classes else [])]
        self.backbone = backbone
        self.cached = backbone.encode_text(self.prompts) if frozen else None

    def features(self, rows: Tensor) -> TextFeatures:
        """Of the prompts numbered `rows`; the class prompt is the last."""
        if self.cached is not None:
            return self.cached[rows]
        return self.backbone.encode_text_to_learn([self.prompts[row] for row in rows.tolist()])


def _loss(
    backbone: Backbone,
    text: _Prompts,
    instances: Instances,
    classes: ClassPictures | None,
    training: LoraTraining,
    shown: list[int],
    generator: torch.Generator,
) -> Tensor:
    count, size = training.batch, backbone.resolution
    latents, time_ids = instances.photos.show(shown, generator)
    rows = torch.tensor(shown)
    if classes is not None:
        others = torch.randint(len(classes.latents), (count,), generator=generator)
        latents = torch.cat([latents, classes.latents[others.to(classes.latents.device)].float()])
        rows = torch.cat([rows, torch.full((count,), len(instances.prompts))])
        # What a class picture was drawn as: whole, at this size.
        time_ids = torch.cat([time_ids, torch.tensor([[size, size, 0, 0, size, size]] * count)])
    t = torch.randint(backbone.noise.steps, (len(rows),), generator=generator).to(backbone.device)
    said = backbone.conditioning(text.features(rows), time_ids)
    each = noised_losses(backbone, latents, said, t, generator)
    # As the published script: Min-SNR weighs the photographs, not the class pictures.
    loss: Tensor = (each[:count] * backbone.noise.weight(t[:count], training.min_snr)).mean()
    if classes is not None:
        loss = loss + training.prior_weight * each[count:].mean()
    return loss


@contextmanager
def _trainable(backbone: Backbone, training: LoraTraining, seed: int) -> Iterator[list[dict[str, Any]]]:
    """The backbone with fresh LoRA layers on it; yields the optimizer's parameter groups."""
    pipe, groups = backbone.pipe, []
    chosen = [(pipe.unet, list(training.targets), training.rate, training.weight_decay)]
    if training.text_rate is not None:
        chosen += [
            (encoder, TEXT_TARGETS, training.text_rate, training.text_weight_decay)
            for _, encoder in encoders_of(pipe)
        ]
    try:
        # peft draws the first weights from the global generator, and so do dropouts.
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            for module, targets, rate, decay in chosen:
                with quiet():
                    parameters = _add_lora(module, targets, training)
                groups.append({"params": parameters, "lr": rate, "weight_decay": decay})
            modules = [module for module, *_ in chosen]
            with in_training(modules, checkpointing=training.checkpointing), ExitStack() as stack:
                for module in modules:
                    # peft would take LoRA's inputs to single precision, and autocast back again.
                    mixed = training.optimization.precision != "no"
                    stack.enter_context(disable_input_dtype_casting(module, active=mixed))
                if training.merged:
                    stack.enter_context(merged(modules, ADAPTER, learning=True))
                yield groups
    finally:
        pipe.unload_lora_weights()


def _add_lora(module: Any, targets: list[str], training: LoraTraining) -> list[nn.Parameter]:
    config = LoraConfig(
        r=training.rank,
        lora_alpha=training.alpha,
        lora_dropout=training.dropout,
        init_lora_weights="gaussian",
        target_modules=targets,
    )
    try:
        module.add_adapter(config, adapter_name=ADAPTER)
    except ValueError as error:
        if "not found in the base model" in str(error):
            message = f"no layer of the backbone is called {', '.join(targets)}"
        else:
            message = f"LoRA cannot be put on {type(module).__name__} ({first_line(error)})"
        raise MethodError(f"dreambooth-lora: {message}") from error
    parameters = [p for p in module.parameters() if p.requires_grad]
    for p in parameters:
        # A half-precision backbone's updates would round to nothing.
        p.data = p.data.float()
    return parameters
