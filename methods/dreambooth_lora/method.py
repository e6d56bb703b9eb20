"""DreamBooth (Ruiz et al. 2023) with LoRA (Hu et al. 2022): low-rank weights bind a token to a person."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from torch import Tensor

from methods.backbone.backbone import Backbone
from methods.backbone.rectified_flow import WeightingScheme
from methods.dreambooth_lora.training import ClassImages, Instances, LoraTraining, train_lora
from methods.errors import MethodError
from methods.finetuning.instance_images import Crop, InstanceImages, Latents
from methods.finetuning.loop import (
    LRScheduler,
    MixedPrecision,
    OptimizationConfig,
    Optimizer,
    check_optimizer,
)
from methods.interface import Checkpoints, MethodBase
from methods.lora.checkpoint import PersonalisedWeights, load_person
from methods.phrase_file import write_phrase
from methods.setting_checks import Beta, Bounds, Count, CountOrZero, Rate, Scale, Share, check_settings
from methods.subject import SLOT, Subject, Wording

FLOW_SETTINGS = ("weighting_scheme", "logit_mean", "logit_std", "mode_scale", "precondition_outputs", "shift")
"""Settings for backbones of rectified flow, by the names of `RectifiedFlow`."""
CLASS_SEED = 7_000_000
"""First seed of the class images, which all subjects of a noun share."""


@dataclass(frozen=True)
class DreamBoothLora(MethodBase):
    """Defaults from diffusers' README command for train_dreambooth_lora.py; see `methods.presets` for others.

    Class images are kept as latents, where the script saves JPEG files and encodes them again.
    """

    name: ClassVar[str] = "dreambooth-lora"

    token: str = "sks"
    """The rare token; prompts name the subject by `token noun`, or by the noun alone where empty."""
    captions: Literal["instance", "per-photo"] = "instance"
    """One prompt for all photographs, or one caption per photograph."""
    instance_prompt: str = "a photo of {subject}"
    """The prompt for `captions = "instance"`."""
    crop: Crop = "random"
    flip: bool = False
    """Mirror half of the photographs. Captions are unchanged: wrong where they mention left or right."""
    latents: Latents = "sample"
    steps: Count = 500
    batch: Count = 1
    """Photographs per batch; with prior preservation, plus the same number of class images."""
    accumulation: Count = 1
    """Batches per step; their gradients are averaged."""
    learning_rate: Rate = 1e-4
    lr_scheduler: LRScheduler = "constant"
    warm_up: CountOrZero = 0
    """Steps over which the learning rate rises from 0; not used by `constant`."""
    lr_cycles: Count = 1
    """Restarts of `cosine_with_restarts`."""
    lr_power: Scale = 1.0
    """Exponent of `polynomial`."""
    optimizer: Optimizer = "adamw"
    adam_beta1: Beta = 0.9
    adam_beta2: Beta = 0.999
    adam_epsilon: Share = 1e-8
    weight_decay: Rate = 1e-2
    max_grad_norm: Rate | None = 1.0
    rank: Count = 4
    alpha: Annotated[float, Bounds(0, 1_000_000)] | None = None
    """The update is scaled by alpha / rank; None means alpha = rank."""
    use_rslora: bool = False
    """Scale by alpha / sqrt(rank) instead (Kalajdzievski 2023)."""
    use_dora: bool = False
    """Train the norms of the weights' rows, too (DoRA, Liu et al. 2024)."""
    dropout: Share = 0.0
    """Dropout probability of LoRA's inputs."""
    targets: tuple[str, ...] | None = None
    """Name suffixes of the network's layers with LoRA, such as `ff.net.2`, `conv1`, `proj_in`; None: the
    attention layers of the family's script."""
    text_encoder: bool = False
    """Also train LoRA on the text encoders' attention; prompts are then encoded for every batch."""
    text_learning_rate: Rate | None = None
    """None means `learning_rate`, as in the script for SD; the script for SDXL uses 5e-6."""
    text_weight_decay: Rate | None = None
    """None means `weight_decay`."""
    prior_weight: Rate = 0.0
    """Weight of the class images' loss (prior preservation); 0 disables it."""
    class_pictures: CountOrZero = 100
    class_prompt: str = "a photo of {subject}"
    min_snr: Rate | None = None
    """Gamma of Min-SNR weighting of the photographs' loss (Hang et al. 2023); None: equal weights."""
    weighting_scheme: WeightingScheme = "none"
    """For `sd3` and `flux`: density of the timesteps (`logit_normal`, `mode`; else uniform) or weights of the
    losses (`sigma_sqrt`, `cosmap`), as in diffusers' scripts."""
    logit_mean: Scale = 0.0
    """For `weighting_scheme = "logit_normal"`; as in diffusers, a positive mean favours low noise."""
    logit_std: Scale = 1.0
    mode_scale: Scale = 1.29
    precondition_outputs: bool = False
    """For `sd3` and `flux`: the loss of the restored latents, as in the script for SD 3, instead of the
    velocity's."""
    shift: Annotated[float, Bounds(0.01, 100)] | None = None
    """For `sd3` and `flux`: shift of the timesteps towards noise; None: that of the checkpoint's scheduler,
    without its shift by resolution, as in diffusers' scripts."""
    guidance_scale: Annotated[float, Bounds(0, 100)] = 1.0
    """For FLUX.1 dev: the guidance scale that the network reads in training."""
    noise_offset: Share = 0.0
    """Deviation of a constant added to each channel's noise, for very dark and bright images; 0: none."""
    gradient_checkpointing: bool = False
    mixed_precision: MixedPrecision = "no"
    merged: bool = False
    """Compute with W + BA instead of adding BA's output: faster with LoRA on many small layers."""
    scale: Scale = 1.0
    """Weight of the LoRA in sampling."""

    def __post_init__(self) -> None:
        check_settings(self)
        # A suite file gives a list.
        if self.targets is not None:
            object.__setattr__(self, "targets", tuple(self.targets))
        check_optimizer(self.name, self.optimizer)
        if self.prior_weight > 0 and self.class_pictures < 1:
            raise MethodError(f"{self.name}: prior preservation without class images; set prior_weight = 0")
        if self.targets == ():
            raise MethodError(f"{self.name}: no targets; name layers of the network, such as to_k")
        if self.dropout >= 1:
            raise MethodError(f"{self.name}: dropout is {self.dropout}; expected less than 1")
        if self.merged and self.use_dora:
            raise MethodError(f"{self.name}: merged does not compute DoRA; leave one of them out")
        if self.merged and self.dropout:
            raise MethodError(f"{self.name}: merged has no inputs for dropout; set dropout = 0")

    def phrase(self, subject: Subject) -> str:
        """Return the phrase for the person in prompts: `sks man`."""
        return f"{self.token} {subject.noun}".strip()

    def wording(self, subject: Subject) -> Wording:
        class_texts = [self._class_text(subject)] if self.prior_weight > 0 else []
        return Wording(self.phrase(subject), (*self._templates(subject), *class_texts))

    def fit(self, subject: Subject, into: Path, *, backbone: Backbone, seed: int) -> None:
        self.fit_checkpoints(subject, Checkpoints({self.steps: into}), backbone=backbone, seed=seed)

    def fit_checkpoints(
        self, subject: Subject, checkpoints: Checkpoints, *, backbone: Backbone, seed: int
    ) -> None:
        """As `fit`, with the state after each number of steps in its own folder."""
        for folder in checkpoints.folders.values():
            write_phrase(folder, self.phrase(subject))
        self.learn(subject, checkpoints, backbone=backbone, seed=seed)

    def learn(self, subject: Subject, checkpoints: Checkpoints, *, backbone: Backbone, seed: int) -> Tensor:
        """Train and write the LoRAs; returns the loss of each step, (steps,)."""
        backbone.check_training(text_encoders=self.text_encoder)
        for tokenizer, *_ in backbone.text_encoders:
            if self.token and not tokenizer.tokenize(self.token):
                raise MethodError(
                    f"{self.name}: the backbone's tokenizer cannot encode token {self.token!r}; set another"
                )
        training = self._training(backbone)
        instances, classes = self._training_images(subject, backbone)
        return train_lora(backbone, instances, classes, training, checkpoints, seed=seed)

    def load(self, fitted: Path, *, backbone: Backbone) -> PersonalisedWeights:
        return load_person(fitted, self.scale, backbone, merge=self.merged)

    def _training(self, backbone: Backbone) -> LoraTraining:
        defaults = {field.name: field.default for field in fields(self)}
        chosen = {name: getattr(self, name) for name in FLOW_SETTINGS}
        changed = {name: value for name, value in chosen.items() if value != defaults[name]}
        text_learning_rate, text_weight_decay = self.text_learning_rate, self.text_weight_decay
        return LoraTraining(
            optimization=OptimizationConfig.of(self),
            batch=self.batch,
            text_encoder=self.text_encoder,
            text_learning_rate=self.learning_rate if text_learning_rate is None else text_learning_rate,
            text_weight_decay=self.weight_decay if text_weight_decay is None else text_weight_decay,
            rank=self.rank,
            alpha=float(self.rank) if self.alpha is None else self.alpha,
            dropout=self.dropout,
            targets=backbone.lora.targets if self.targets is None else self.targets,
            noise=backbone.noise.with_settings(**changed),
            prior_weight=self.prior_weight,
            min_snr=self.min_snr,
            merged=self.merged,
            noise_offset=self.noise_offset,
            guidance_scale=self.guidance_scale,
            use_dora=self.use_dora,
            use_rslora=self.use_rslora,
        )

    def _training_images(self, subject: Subject, backbone: Backbone) -> tuple[Instances, ClassImages | None]:
        classes = self._class_images(subject, backbone) if self.prior_weight > 0 else None
        return self._instances(subject, backbone), classes

    def _instances(self, subject: Subject, backbone: Backbone) -> Instances:
        photos = InstanceImages(
            [photo.image for photo in subject.references],
            backbone,
            crop=self.crop,
            flip=self.flip,
            latents=self.latents,
        )
        phrase = self.phrase(subject)
        return Instances(photos, tuple(text.replace(SLOT, phrase) for text in self._templates(subject)))

    def _templates(self, subject: Subject) -> list[str]:
        """Return the template of each photograph's prompt."""
        own = self.captions == "per-photo"
        return [photo.caption if own else self.instance_prompt for photo in subject.references]

    def _class_text(self, subject: Subject) -> str:
        return self.class_prompt.replace(SLOT, subject.phrase)

    def _class_images(self, subject: Subject, backbone: Backbone) -> ClassImages:
        """Return the backbone's images of the noun, generated once per run for all its subjects."""
        prompt = self._class_text(subject)
        key = ("class images", prompt, self.class_pictures)
        if key not in backbone.cache:
            seeds = range(CLASS_SEED, CLASS_SEED + self.class_pictures)
            backbone.cache[key] = backbone.generate_latents([prompt] * self.class_pictures, seeds)
        latents: Tensor = backbone.cache[key]
        return ClassImages(latents.to(backbone.device), prompt)
