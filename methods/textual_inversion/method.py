"""Textual inversion (Gal et al. 2022): a new word whose embedding alone is learnt, all weights frozen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Final, Literal

import torch
from PIL.Image import Image
from torch import Tensor

from methods.backbone.backbone import Backbone
from methods.backbone.prior_prompts import drawn_apart
from methods.backbone.text_encoding import encoders_of
from methods.compute.seeding import generator_of
from methods.errors import MethodError
from methods.finetuning.instance_images import Crop, EpochShuffler, InstanceImages, Latents
from methods.finetuning.loop import (
    MixedPrecision,
    OptimizationConfig,
    Optimizer,
    Rates,
    check_optimizer,
    in_training,
    noised_losses,
    optimize,
)
from methods.setting_checks import check_bounds, check_settings
from methods.subject import Request, Subject
from methods.textual_inversion.embeddings import embeddings_of, read_words, save_words, words_of, words_on

NEUTRAL: Final = tuple(
    f"{kind} of {subject}"
    for kind in ("a photo", "a picture", "a close-up", "a bright photo", "a dark photo", "a good photo")
    for subject in ("{subject}", "the {subject}", "one {subject}")
)
"""Sentences that say nothing of the picture, in the manner of the paper's, which are CLIP's for ImageNet."""


@dataclass(frozen=True)
class TextualInversion:
    """The defaults are diffusers' README command for textual_inversion.py; `methods.presets` has others.

    In the words of that command, `--scale_lr` is worked out: 5e-4 for 4 batches of 1 are 2e-3.
    """

    name: ClassVar[str] = "textual-inversion"

    placeholder: str = "<person>"
    """The new word; a tokenizer must not know it."""
    vectors: int = 1
    """Embeddings it stands for."""
    initializer: str = "{noun}"
    """The word whose embedding is the start; of several pieces, their mean. `{noun}` is the subject's."""
    captions: Literal["neutral", "per-photo"] = "neutral"
    """A neutral sentence drawn for each photograph shown, or the photograph's own caption."""
    crop: Crop = "squeeze"
    flip: bool = True
    """Show half of the photographs mirrored, under the same captions: wrong where these say left or right."""
    latents: Latents = "sample"
    steps: int = 3000
    batch: int = 1
    """Photographs at once."""
    accumulation: int = 4
    """Batches whose mean gradient makes one step."""
    learning_rate: float = 2e-3
    lr_scheduler: Rates = "constant"
    warm_up: int = 0
    """Steps over which the rate rises from 0; `constant` has no such rise."""
    lr_cycles: int = 1
    """Restarts of `cosine_with_restarts`."""
    optimizer: Optimizer = "adamw"
    adam_beta1: float = 0.9
    adam_beta2: float = 0.999
    adam_epsilon: float = 1e-8
    weight_decay: float = 1e-2
    gradient_checkpointing: bool = False
    mixed_precision: MixedPrecision = "no"

    def __post_init__(self) -> None:
        check_settings(self)
        ones = ("vectors", "steps", "batch", "accumulation", "lr_cycles")
        check_bounds(self, dict.fromkeys(ones, 1) | {"warm_up": 0, "learning_rate": 0})
        check_optimizer(self.name, self.optimizer)
        if not self.placeholder.strip() or " " in self.placeholder:
            raise MethodError(f"textual-inversion: placeholder is {self.placeholder!r}; wanted is one word")

    @property
    def conditioning_encoders(self) -> frozenset[str]:
        return frozenset()

    @property
    def weights(self) -> tuple[Path, ...]:
        return ()

    def unsupported_reason(self, subject: Subject) -> str | None:
        if not subject.references:
            return f"{subject.id}: no reference photos; textual-inversion needs at least 1"
        return None

    def fit(self, subject: Subject, into: Path, *, backbone: Backbone, seed: int) -> None:
        self.learn(subject, into, backbone=backbone, seed=seed)

    def learn(self, subject: Subject, into: Path, *, backbone: Backbone, seed: int) -> Tensor:
        """Write the embeddings; gives the loss of each step, (steps,)."""
        start = embeddings_of(backbone, self.initializer.replace("{noun}", subject.noun))
        own = [row.repeat(self.vectors, 1).requires_grad_() for row in start]
        networks = [backbone.pipe.unet, *(encoder for _, encoder in encoders_of(backbone.pipe))]
        images = [photo.image for photo in subject.references]
        photos = InstanceImages(images, backbone, crop=self.crop, flip=self.flip, latents=self.latents)
        turns = EpochShuffler(len(images), seed=seed)

        def loss(number: int) -> Tensor:
            generator = generator_of(seed, number)
            rows = turns.rows(number * self.batch, self.batch)
            latents, time_ids = photos.show(rows, generator)
            text = backbone.encode_text_to_learn(self._sentences(subject, rows, generator))
            t = torch.randint(backbone.noise.steps, (len(rows),), generator=generator).to(backbone.device)
            said = backbone.conditioning(text, time_ids)
            return noised_losses(backbone, latents, said, t, generator).mean()

        group = {"params": own, "lr": self.learning_rate, "weight_decay": self.weight_decay}
        with (
            backbone.clean(),
            words_on(backbone, self.placeholder, own),
            in_training(networks, checkpointing=self.gradient_checkpointing),
        ):
            losses = optimize([group], loss, self._optimization(), backbone=backbone)
        save_words(into, self.placeholder, own)
        return losses

    def load(self, fitted: Path, *, backbone: Backbone) -> PersonalisedWords:
        placeholder, own = read_words(fitted, len(encoders_of(backbone.pipe)))
        return PersonalisedWords(placeholder, [rows.to(backbone.device) for rows in own], backbone)

    def _sentences(self, subject: Subject, rows: list[int], generator: torch.Generator) -> list[str]:
        templates = [subject.references[row].caption for row in rows]
        if self.captions == "neutral":
            chosen = torch.randint(len(NEUTRAL), (len(rows),), generator=generator)
            templates = [NEUTRAL[number] for number in chosen.tolist()]
        # What diffusers' pipelines make of a placeholder of several vectors.
        words = " ".join(words_of(self.placeholder, self.vectors))
        return [template.replace("{subject}", words) for template in templates]

    def _optimization(self) -> OptimizationConfig:
        return OptimizationConfig(
            self.name,
            self.steps,
            accumulation=self.accumulation,
            rates=self.lr_scheduler,
            warm_up=self.warm_up,
            cycles=self.lr_cycles,
            optimizer=self.optimizer,
            betas=(self.adam_beta1, self.adam_beta2),
            epsilon=self.adam_epsilon,
            max_grad_norm=None,
            precision=self.mixed_precision,
        )


@dataclass(frozen=True)
class PersonalisedWords:
    """One person's word; the backbone knows it only while it draws."""

    placeholder: str
    own: list[Tensor]
    """For each text encoder the word's embeddings, (V, D)."""
    backbone: Backbone

    def generate(self, requests: Sequence[Request]) -> list[Image]:
        return drawn_apart(requests, self._draw, self.backbone)

    def _draw(self, requests: Sequence[Request]) -> list[Image]:
        prompts = [request.prompt(self.placeholder) for request in requests]
        with self.backbone.clean(), words_on(self.backbone, self.placeholder, self.own):
            return self.backbone.generate(prompts, [request.seed for request in requests])
