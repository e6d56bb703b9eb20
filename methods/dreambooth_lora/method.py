"""DreamBooth (Ruiz et al. 2023) with LoRA (Hu et al. 2022): low-rank weights tie a rare token to a person."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

from torch import Tensor

from methods.backbone.backbone import Backbone
from methods.backbone.text_encoding import encoders_of
from methods.dreambooth_lora.training import ClassPictures, Instances, LoraTraining, train_lora
from methods.errors import MethodError
from methods.finetuning.instance_images import Crop, InstanceImages, Latents
from methods.finetuning.loop import MixedPrecision, OptimizationConfig, Optimizer, Rates, check_optimizer
from methods.lora.checkpoint import PHRASE, PersonalisedWeights, load_person
from methods.setting_checks import check_bounds, check_settings
from methods.subject import Subject

ATTENTION = ("to_k", "to_q", "to_v", "to_out.0")
CLASS_SEED = 7_000_000
"""Seeds of class pictures count from here: they are the same for all subjects of a noun."""


@dataclass(frozen=True)
class DreamBoothLora:
    """The defaults are diffusers' README command for train_dreambooth_lora.py; `methods.presets` has others.

    Class pictures stay the latents they were drawn as: the script saves them as JPEG and encodes them again.
    """

    name: ClassVar[str] = "dreambooth-lora"

    token: str = "sks"
    """The rare word; the subject is called `token noun`. Empty leaves the noun alone."""
    captions: Literal["instance", "per-photo"] = "instance"
    """One prompt for all photographs, or each one's own caption."""
    instance_prompt: str = "a photo of {subject}"
    """The one prompt where `captions` is `instance`."""
    crop: Crop = "random"
    flip: bool = False
    """Show half of the photographs mirrored, under the same captions: wrong where these say left or right."""
    latents: Latents = "sample"
    steps: int = 500
    batch: int = 1
    """Photographs at once; with prior preservation as many class pictures beside them."""
    accumulation: int = 1
    """Batches whose mean gradient makes one step."""
    learning_rate: float = 1e-4
    lr_scheduler: Rates = "constant"
    warm_up: int = 0
    """Steps over which the rate rises from 0; `constant` has no such rise."""
    lr_cycles: int = 1
    """Restarts of `cosine_with_restarts`."""
    lr_power: float = 1.0
    """Exponent of `polynomial`."""
    optimizer: Optimizer = "adamw"
    adam_beta1: float = 0.9
    adam_beta2: float = 0.999
    adam_epsilon: float = 1e-8
    weight_decay: float = 1e-2
    max_grad_norm: float | None = 1.0
    rank: int = 4
    alpha: float | None = None
    """The update's scale is alpha / rank; None makes it 1."""
    dropout: float = 0.0
    """Share of LoRA's inputs that are left out in training."""
    targets: tuple[str, ...] = ATTENTION
    """Ends of the names of the U-Net's layers that get LoRA; such as `ff.net.2`, `conv1`, `proj_in`."""
    text_encoder: bool = False
    """Also train LoRA on the text encoders' attention; text is then encoded anew for each batch."""
    text_learning_rate: float | None = None
    """None is `learning_rate`, as in the script for SD; the one for SDXL has 5e-6."""
    text_weight_decay: float | None = None
    """None is `weight_decay`."""
    prior_weight: float = 0.0
    """Weight of the class pictures' loss: prior preservation; 0 leaves them away."""
    class_pictures: int = 100
    class_prompt: str = "a photo of {subject}"
    min_snr: float | None = None
    """Gamma of Min-SNR weighting of the photographs' loss (Hang et al. 2023); None weighs all steps alike."""
    gradient_checkpointing: bool = False
    mixed_precision: MixedPrecision = "no"
    merged: bool = False
    """Compute with W + BA instead of with BA beside W: faster where LoRA is on many small layers."""
    scale: float = 1.0
    """Weight of the LoRA when drawing."""

    def __post_init__(self) -> None:
        check_settings(self)
        # A suite file gives a list.
        object.__setattr__(self, "targets", tuple(self.targets))
        ones = ("steps", "batch", "accumulation", "rank", "lr_cycles")
        zeros = ("warm_up", "learning_rate", "prior_weight", "class_pictures", "dropout")
        check_bounds(self, dict.fromkeys(ones, 1) | dict.fromkeys(zeros, 0))
        check_optimizer(self.name, self.optimizer)
        if self.prior_weight > 0 and self.class_pictures < 1:
            raise MethodError(
                "dreambooth-lora: prior preservation without class pictures; set prior_weight = 0"
            )
        if not self.targets:
            raise MethodError("dreambooth-lora: no targets; name layers of the U-Net, such as to_k")
        if self.dropout >= 1:
            raise MethodError(f"dreambooth-lora: dropout is {self.dropout}; wanted less than 1")
        if self.merged and self.dropout:
            raise MethodError("dreambooth-lora: merged leaves no inputs to drop; set dropout = 0")

    @property
    def conditioning_encoders(self) -> frozenset[str]:
        return frozenset()

    @property
    def weights(self) -> tuple[Path, ...]:
        return ()

    def unsupported_reason(self, subject: Subject) -> str | None:
        if not subject.references:
            return f"{subject.id}: no reference photos; dreambooth-lora needs at least 1"
        return None

    def phrase(self, subject: Subject) -> str:
        """What stands for the person in a prompt: `sks man`."""
        return f"{self.token} {subject.noun}".strip()

    def fit(self, subject: Subject, into: Path, *, backbone: Backbone, seed: int) -> None:
        self.learn(subject, into, backbone=backbone, seed=seed)
        (into / PHRASE).write_text(self.phrase(subject), encoding="utf-8")

    def learn(self, subject: Subject, into: Path, *, backbone: Backbone, seed: int) -> Tensor:
        """Write the LoRA; gives the loss of each step, (steps,)."""
        for tokenizer, _ in encoders_of(backbone.pipe):
            if self.token and not tokenizer.tokenize(self.token):
                raise MethodError(
                    f"dreambooth-lora: the backbone's tokenizer has nothing for token {self.token!r}"
                )
        instances = self._instances(subject, backbone)
        classes = self._classes(subject, backbone) if self.prior_weight > 0 else None
        return train_lora(backbone, instances, classes, self._training(), into, seed=seed)

    def load(self, fitted: Path, *, backbone: Backbone) -> PersonalisedWeights:
        return load_person(fitted, self.scale, backbone, merge=self.merged)

    def _training(self) -> LoraTraining:
        text_rate = self.learning_rate if self.text_learning_rate is None else self.text_learning_rate
        return LoraTraining(
            optimization=self._optimization(),
            batch=self.batch,
            rate=self.learning_rate,
            weight_decay=self.weight_decay,
            text_rate=text_rate if self.text_encoder else None,
            text_weight_decay=(
                self.weight_decay if self.text_weight_decay is None else self.text_weight_decay
            ),
            rank=self.rank,
            alpha=float(self.rank) if self.alpha is None else self.alpha,
            dropout=self.dropout,
            targets=self.targets,
            prior_weight=self.prior_weight,
            min_snr=self.min_snr,
            checkpointing=self.gradient_checkpointing,
            merged=self.merged,
        )

    def _optimization(self) -> OptimizationConfig:
        return OptimizationConfig(
            self.name,
            self.steps,
            accumulation=self.accumulation,
            rates=self.lr_scheduler,
            warm_up=self.warm_up,
            cycles=self.lr_cycles,
            power=self.lr_power,
            optimizer=self.optimizer,
            betas=(self.adam_beta1, self.adam_beta2),
            epsilon=self.adam_epsilon,
            max_grad_norm=self.max_grad_norm,
            precision=self.mixed_precision,
        )

    def _instances(self, subject: Subject, backbone: Backbone) -> Instances:
        photos = InstanceImages(
            [photo.image for photo in subject.references],
            backbone,
            crop=self.crop,
            flip=self.flip,
            latents=self.latents,
        )
        own = self.captions == "per-photo"
        templates = [photo.caption if own else self.instance_prompt for photo in subject.references]
        phrase = self.phrase(subject)
        return Instances(photos, tuple(template.replace("{subject}", phrase) for template in templates))

    def _classes(self, subject: Subject, backbone: Backbone) -> ClassPictures:
        """The backbone's own pictures of the noun, made once a run and shared by all its subjects."""
        prompt = self.class_prompt.replace("{subject}", subject.phrase)
        key = ("class pictures", prompt, self.class_pictures)
        if key not in backbone.remembered:
            seeds = range(CLASS_SEED, CLASS_SEED + self.class_pictures)
            backbone.remembered[key] = backbone.generate_latents([prompt] * self.class_pictures, seeds)
        latents: Tensor = backbone.remembered[key]
        return ClassPictures(latents.to(backbone.device), prompt)
