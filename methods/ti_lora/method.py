"""Pivotal tuning: embeddings of new tokens and a LoRA, learned together, as in cog-sdxl."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import ClassVar

from torch import Tensor

from methods.backbone.backbone import Backbone
from methods.dreambooth_lora.method import DreamBoothLora
from methods.errors import MethodError
from methods.interface import Checkpoints
from methods.lora.checkpoint import FILE, PersonalisedWeights, check_fitted, lora_on
from methods.phrase_file import read_phrase
from methods.setting_checks import Count, Rate, Share
from methods.subject import Subject, Wording
from methods.textual_inversion.embeddings import embedding_phrase, phrase_of_known_words, tokens_on
from methods.textual_inversion.published_file import read_published
from methods.ti_lora.training import EMBEDDINGS, NewTokens, initial_embeddings, train_ti_lora


@dataclass(frozen=True)
class TiLora(DreamBoothLora):
    """The settings of `dreambooth-lora`, with new tokens in place of the rare one.

    Defaults of cog-sdxl's trainer. The fit's folder has a LoRA file and an embeddings file in the layouts of
    diffusers' train_dreambooth_lora_sdxl_advanced.py. Unlike there, embeddings that are no longer trained are
    constant; the script continues to rescale them.
    """

    name: ClassVar[str] = "ti-lora"

    token: str = ""
    """Not used: prompts name the subject by the new tokens and the noun."""
    vectors: Count = 2
    """Number of new tokens; `num_new_tokens_per_abstraction` in the script."""
    initializer: str = ""
    """The word of the initial embeddings; `{noun}` is the subject's noun. Empty: random, as published."""
    train_text_encoder_ti_frac: Share = 0.5
    """Share of the steps in which the embeddings are trained."""
    pooled_at_end: bool = False
    """SDXL: take the pooled feature at the end of the prompt, as the setting of `textual-inversion`."""
    steps: Count = 1000
    batch: Count = 4
    text_learning_rate: Rate | None = 3e-4
    """Learning rate of the embeddings; None means `learning_rate`."""
    weight_decay: Rate = 1e-4
    rank: Count = 32

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.token or self.text_encoder:
            raise MethodError(
                "ti-lora: the text encoders get new tokens, not a rare token or LoRA; leave out token and "
                "text_encoder"
            )

    def phrase(self, subject: Subject) -> str:
        """Return the phrase for the person in prompts: the new tokens and the noun."""
        return f"{embedding_phrase(self.vectors)} {subject.noun}"

    def wording(self, subject: Subject) -> Wording:
        phrase = f"{phrase_of_known_words(self.vectors)} {subject.noun}"
        return Wording(phrase, super().wording(subject).training_texts)

    def learn(self, subject: Subject, checkpoints: Checkpoints, *, backbone: Backbone, seed: int) -> Tensor:
        """Train and write embeddings and LoRA; returns the loss of each step, (steps,)."""
        backbone.check_training(text_encoders=True)
        training = self._training(backbone)
        instances, classes = self._training_images(subject, backbone)
        word = self.initializer.replace("{noun}", subject.noun)
        embeddings, deviations = initial_embeddings(backbone, self.vectors, word, seed)
        steps = int(self.train_text_encoder_ti_frac * self.steps)
        tokens = NewTokens(embeddings, deviations, steps, self.pooled_at_end)
        return train_ti_lora(backbone, instances, classes, training, tokens, checkpoints, seed=seed)

    def load(self, fitted: Path, *, backbone: Backbone) -> PersonalisedWeights:
        for name in (FILE, EMBEDDINGS):
            check_fitted(fitted, name)
        embeddings = [rows.to(backbone.device) for rows in read_published([fitted / EMBEDDINGS], backbone)]
        weights_on = partial(self._weights_on, fitted / FILE, embeddings, backbone)
        return PersonalisedWeights(read_phrase(fitted), weights_on, backbone)

    @contextmanager
    def _weights_on(self, file: Path, embeddings: Sequence[Tensor], backbone: Backbone) -> Iterator[None]:
        tokens = tokens_on(backbone, embeddings, pooled_at_end=self.pooled_at_end)
        with tokens, lora_on(backbone, file, scale=self.scale, merge=self.merged):
            yield
