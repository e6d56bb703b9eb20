"""Training of token embeddings together with a LoRA; after a share of the steps, of the LoRA alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import torch
from torch import Tensor

from methods.backbone.backbone import Backbone
from methods.compute.seeding import seeded_generator
from methods.dreambooth_lora.training import (
    ClassImages,
    Instances,
    LoraTraining,
    PromptFeatures,
    lora_loss,
    trainable_lora,
)
from methods.finetuning.instance_images import EpochShuffler
from methods.finetuning.loop import optimize
from methods.interface import Checkpoints
from methods.lora.checkpoint import save_lora
from methods.textual_inversion.embeddings import check_text_encoders, tokens_on, word_embeddings
from methods.textual_inversion.published_file import save_published

EMBEDDINGS: Final = "embeddings.safetensors"
"""File of the embeddings in a fit's folder, with `clip_l` and, for SDXL, `clip_g`."""
INITIAL: Final = 1
"""Part of the key of the initial embeddings' generator."""
RESCALING: Final = 0.1
"""Exponent of the ratio of the deviations, as published."""


@dataclass(frozen=True)
class NewTokens:
    """The embeddings of the new tokens, and how long they are trained."""

    embeddings: Sequence[Tensor]
    """Per text encoder, (V, D), float32."""
    deviations: Sequence[Tensor]
    """Standard deviation of each text encoder's table, ()."""
    steps: int
    pooled_at_end: bool

    @torch.no_grad()
    def rescale(self) -> None:
        """Move the embeddings' deviation towards that of the table, as cog-sdxl does after every step."""
        for rows, deviation in zip(self.embeddings, self.deviations, strict=True):
            rows.mul_((deviation / rows.std()) ** RESCALING)


def initial_embeddings(
    backbone: Backbone, vectors: int, word: str, seed: int
) -> tuple[list[Tensor], list[Tensor]]:
    """Return the embeddings at the start, (V, D) per text encoder, and the deviation of each table.

    Those of `word`, or if it is empty random numbers of the table's deviation. Raises MethodError for a
    backbone with other text encoders than CLIP's.
    """
    check_text_encoders(backbone)
    tables = [encoder.network.get_input_embeddings().weight for encoder in backbone.text_encoders]
    deviations = [table.detach().float().std() for table in tables]
    if word:
        rows = [row.repeat(vectors, 1) for row in word_embeddings(backbone, word)]
    else:
        # A key of two numbers is that of a batch.
        generator = seeded_generator(seed, 0, INITIAL)
        random = (torch.randn(vectors, table.shape[1], generator=generator) for table in tables)
        rows = [own.to(backbone.device) * std for own, std in zip(random, deviations, strict=True)]
    return [own.requires_grad_() for own in rows], deviations


def train_ti_lora(
    backbone: Backbone,
    instances: Instances,
    classes: ClassImages | None,
    training: LoraTraining,
    tokens: NewTokens,
    checkpoints: Checkpoints,
    *,
    seed: int,
) -> Tensor:
    """Minimise the loss of DreamBooth-LoRA over embeddings and LoRA; write both. Returns each step's loss.

    After `tokens.steps` the embeddings are constant, and so are the text features.
    """
    order = EpochShuffler(len(instances.prompts), seed=seed)
    with (
        backbone.clean(),
        tokens_on(backbone, tokens.embeddings, pooled_at_end=tokens.pooled_at_end),
        trainable_lora(backbone, training, seed) as groups,
    ):
        text = PromptFeatures(backbone, instances, classes, frozen=tokens.steps == 0)

        def loss(batch: int) -> Tensor:
            rows = order.rows(batch * training.batch, training.batch)
            return lora_loss(
                backbone, text, instances, classes, training, rows, seeded_generator(seed, batch)
            )

        def write(folder: Path) -> None:
            save_lora(backbone, folder)
            save_published(tokens.embeddings, folder / EMBEDDINGS)

        save = checkpoints.after_step(write)

        def after_step(steps: int) -> None:
            if steps <= tokens.steps:
                tokens.rescale()
            if steps == tokens.steps:
                text.freeze()
            save(steps)

        options = {"lr": training.text_learning_rate, "weight_decay": training.text_weight_decay}
        return optimize(
            [*groups, training.optimization.group(tokens.embeddings, **options)],
            loss,
            training.optimization,
            backbone=backbone,
            after_step=after_step,
            stop_after=checkpoints.last,
        )
