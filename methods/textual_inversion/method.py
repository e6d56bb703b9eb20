"""Textual inversion (Gal et al. 2022): train the embedding of a new token, freeze all weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import ClassVar, Final, Literal

import torch
from PIL.Image import Image
from torch import Tensor

from methods.backbone.backbone import Backbone
from methods.backbone.prior_prompts import generate_with_class_images
from methods.compute.seeding import seeded_generator
from methods.errors import MethodError
from methods.finetuning.instance_images import Crop, EpochShuffler, InstanceImages, Latents
from methods.finetuning.loop import (
    LRScheduler,
    MixedPrecision,
    OptimizationConfig,
    Optimizer,
    check_optimizer,
    in_training,
    noised_losses,
    optimize,
)
from methods.interface import Checkpoints, MethodBase
from methods.setting_checks import Beta, Count, CountOrZero, Rate, Share, check_settings
from methods.subject import SLOT, Request, Subject, Wording
from methods.textual_inversion.embeddings import (
    TOKEN,
    check_placeholder,
    embedding_phrase,
    phrase_of_known_words,
    read_embeddings,
    save_embeddings,
    tokens_on,
    word_embeddings,
)

NEUTRAL_TEMPLATES: Final = tuple(
    f"{kind} of {subject}"
    for kind in ("a photo", "a picture", "a close-up", "a bright photo", "a dark photo", "a good photo")
    for subject in ("{subject}", "the {subject}", "one {subject}")
)
"""Captions without content, after the paper's, which are CLIP's ImageNet templates."""


@dataclass(frozen=True)
class TextualInversion(MethodBase):
    """Defaults from diffusers' README command for textual_inversion.py; see `methods.presets` for others.

    The command's `--scale_lr` is applied: 5e-4 for 4 batches of 1 gives 2e-3.
    """

    name: ClassVar[str] = "textual-inversion"

    placeholder: str = "<person>"
    """The new word in the stored file, for diffusers; it must not be a token of the tokenizer."""
    vectors: Count = 1
    """Number of embeddings of the placeholder."""
    initializer: str = "{noun}"
    """The word of the initial embedding, the mean for several tokens. `{noun}` is the subject's noun."""
    captions: Literal["neutral", "per-photo"] = "neutral"
    """A random neutral caption for each use of a photograph, or the photograph's own caption."""
    crop: Crop = "squeeze"
    flip: bool = True
    """Mirror half of the photographs. Captions are unchanged: wrong where they mention left or right."""
    latents: Latents = "sample"
    pooled_at_end: bool = False
    """SDXL: take the pooled feature at the end of the prompt. As published, it is that of the placeholder,
    whose token has the highest number, and contains nothing of the words after it."""
    steps: Count = 3000
    batch: Count = 1
    """Photographs per batch."""
    accumulation: Count = 4
    """Batches per step; their gradients are averaged."""
    learning_rate: Rate = 2e-3
    lr_scheduler: LRScheduler = "constant"
    warm_up: CountOrZero = 0
    """Steps over which the learning rate rises from 0; not used by `constant`."""
    lr_cycles: Count = 1
    """Restarts of `cosine_with_restarts`."""
    optimizer: Optimizer = "adamw"
    adam_beta1: Beta = 0.9
    adam_beta2: Beta = 0.999
    adam_epsilon: Share = 1e-8
    weight_decay: Rate = 1e-2
    noise_offset: Share = 0.0
    """Deviation of a constant added to each channel's noise, for very dark and bright images; 0: none."""
    gradient_checkpointing: bool = False
    mixed_precision: MixedPrecision = "no"

    def __post_init__(self) -> None:
        check_settings(self)
        check_optimizer(self.name, self.optimizer)
        if not self.placeholder.strip() or " " in self.placeholder:
            raise MethodError(f"textual-inversion: placeholder is {self.placeholder!r}; expected one word")

    def wording(self, subject: Subject) -> Wording:
        neutral = self.captions == "neutral"
        own = tuple(photo.caption for photo in subject.references)
        return Wording(phrase_of_known_words(self.vectors), NEUTRAL_TEMPLATES if neutral else own)

    def fit(self, subject: Subject, into: Path, *, backbone: Backbone, seed: int) -> None:
        self.fit_checkpoints(subject, Checkpoints({self.steps: into}), backbone=backbone, seed=seed)

    def fit_checkpoints(
        self, subject: Subject, checkpoints: Checkpoints, *, backbone: Backbone, seed: int
    ) -> None:
        """As `fit`, with the state after each number of steps in its own folder."""
        self.learn(subject, checkpoints, backbone=backbone, seed=seed)

    def learn(self, subject: Subject, checkpoints: Checkpoints, *, backbone: Backbone, seed: int) -> Tensor:
        """Train and write the embeddings; returns the loss of each step, (steps,)."""
        backbone.check_training(text_encoders=True)
        check_placeholder(backbone, self.placeholder)
        initial = word_embeddings(backbone, self.initializer.replace("{noun}", subject.noun))
        embeddings = [row.repeat(self.vectors, 1).requires_grad_() for row in initial]
        # Not T5, whose dropout would be on in training mode.
        clips = [encoder.network for encoder in backbone.text_encoders if encoder.is_clip]
        networks = [backbone.network, *clips]
        images = [photo.image for photo in subject.references]
        photos = InstanceImages(images, backbone, crop=self.crop, flip=self.flip, latents=self.latents)
        order = EpochShuffler(len(images), seed=seed)

        def loss(batch: int) -> Tensor:
            generator = seeded_generator(seed, batch)
            rows = order.rows(batch * self.batch, self.batch)
            latents, time_ids = photos.show(rows, generator)
            text = backbone.encode_text_with_grad(self._prompts(subject, rows, generator))
            t = backbone.noise.random_timesteps(len(rows), generator).to(backbone.device)
            conditioning = backbone.conditioning(text, time_ids)
            return noised_losses(
                backbone, latents, conditioning, t, generator, noise_offset=self.noise_offset
            ).mean()

        # The published script does not clip gradients.
        optimization = OptimizationConfig.of(self, max_grad_norm=None)
        with (
            backbone.clean(),
            tokens_on(backbone, embeddings, pooled_at_end=self.pooled_at_end),
            in_training(networks, gradient_checkpointing=self.gradient_checkpointing),
        ):
            return optimize(
                [optimization.group(embeddings)],
                loss,
                optimization,
                backbone=backbone,
                after_step=checkpoints.after_step(partial(save_embeddings, self.placeholder, embeddings)),
                stop_after=checkpoints.last,
            )

    def load(self, fitted: Path, *, backbone: Backbone) -> PersonalisedEmbeddings:
        embeddings = read_embeddings(fitted, backbone)
        on_device = [rows.to(backbone.device) for rows in embeddings]
        return PersonalisedEmbeddings(on_device, backbone, self.pooled_at_end)

    def _prompts(self, subject: Subject, rows: list[int], generator: torch.Generator) -> list[str]:
        templates = [subject.references[row].caption for row in rows]
        if self.captions == "neutral":
            chosen = torch.randint(len(NEUTRAL_TEMPLATES), (len(rows),), generator=generator)
            templates = [NEUTRAL_TEMPLATES[number] for number in chosen.tolist()]
        return [template.replace(SLOT, embedding_phrase(self.vectors)) for template in templates]


@dataclass(frozen=True)
class PersonalisedEmbeddings:
    """One person's token embeddings; added to the backbone only during sampling."""

    embeddings: list[Tensor]
    """Per text encoder, (V, D)."""
    backbone: Backbone
    pooled_at_end: bool = False
    trigger: str = TOKEN
    """The phrase for the person in prompts, with `{token}` for the embeddings."""

    def generate(self, requests: Sequence[Request]) -> list[Image]:
        return generate_with_class_images(requests, self._generate, self.backbone)

    def _generate(self, requests: Sequence[Request]) -> list[Image]:
        phrase = self.trigger.replace(TOKEN, embedding_phrase(len(self.embeddings[0])))
        prompts = [request.prompt(phrase) for request in requests]
        tokens = tokens_on(self.backbone, self.embeddings, pooled_at_end=self.pooled_at_end)
        with self.backbone.clean(), tokens:
            return self.backbone.generate(prompts, [request.seed for request in requests])
