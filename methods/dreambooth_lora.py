"""DreamBooth (Ruiz et al. 2023) with LoRA (Hu et al. 2022): low-rank weights tie a rare token to a person."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

import torch
from PIL import ImageOps
from PIL.Image import Image
from torch import Tensor

from methods.backbone import Backbone
from methods.backbone_files import quiet
from methods.dreambooth_training import ADAPTER, FILE, ClassPictures, Instances, LoraTraining, train_lora
from methods.interface import MethodError, Request, Subject

ATTENTION = ("to_k", "to_q", "to_v", "to_out.0")
CLASS_SEED = 7_000_000
"""Seeds of class pictures count from here: they are the same for all subjects of a noun."""


@dataclass(frozen=True)
class DreamBoothLora:
    """Defaults of diffusers' README for train_dreambooth_lora.py (rank 4, 1e-4, 500 steps of 1, `sks`).

    Prior preservation is on (weight 1, 100 class pictures: that script's other defaults), since faces
    need it. Each photograph keeps its own caption. Latents are the posterior's mode.
    """

    name: ClassVar[str] = "dreambooth-lora"

    token: str = "sks"
    """The rare word; the subject is called `token noun`."""
    captions: Literal["per-photo", "instance"] = "per-photo"
    instance_prompt: str = "a photo of {subject}"
    """The one prompt of all photographs where `captions` is `instance`."""
    steps: int = 500
    batch: int = 1
    """Photographs a step; with prior preservation as many class pictures beside them."""
    learning_rate: float = 1e-4
    weight_decay: float = 1e-2
    rank: int = 4
    alpha: float | None = None
    """The update's scale is alpha / rank; None makes it 1."""
    targets: tuple[str, ...] = ATTENTION
    """Ends of the names of the U-Net's layers that get LoRA; such as `ff.net.2`, `conv1`, `proj_in`."""
    text_encoder: bool = False
    """Also train LoRA on the text encoder's attention; text is then encoded anew each step."""
    text_learning_rate: float = 5e-6
    prior_weight: float = 1.0
    """Weight of the class pictures' loss; 0 leaves them away."""
    class_pictures: int = 100
    class_prompt: str = "a photo of {subject}"
    min_snr: float | None = None
    """Gamma of Min-SNR weighting (Hang et al. 2023); None weighs all steps alike."""
    flip: bool = False
    """Also show mirror images, under the same captions: wrong where these say left or right."""
    scale: float = 1.0
    """Weight of the LoRA when drawing."""

    def __post_init__(self) -> None:
        # A suite file gives a list.
        object.__setattr__(self, "targets", tuple(self.targets))
        for setting in ("steps", "batch", "rank"):
            if getattr(self, setting) < 1:
                raise MethodError(
                    f"dreambooth-lora: {setting} is {getattr(self, setting)}; wanted at least 1"
                )
        if self.prior_weight > 0 and self.class_pictures < 1:
            raise MethodError(
                "dreambooth-lora: prior preservation without class pictures; set prior_weight = 0"
            )
        if not self.targets:
            raise MethodError("dreambooth-lora: no targets; name layers of the U-Net, such as to_k")

    @property
    def sees(self) -> frozenset[str]:
        return frozenset()

    @property
    def weights(self) -> tuple[Path, ...]:
        return ()

    def objection(self, subject: Subject) -> str | None:
        if not subject.references:
            return f"{subject.id}: no reference photos; dreambooth-lora needs at least 1"
        return None

    def phrase(self, subject: Subject) -> str:
        """What stands for the person in a prompt: `sks man`."""
        return f"{self.token} {subject.noun}"

    def fit(self, subject: Subject, into: Path, *, backbone: Backbone, seed: int) -> None:
        if not backbone.pipe.tokenizer.tokenize(self.token):
            raise MethodError(
                f"dreambooth-lora: the backbone's tokenizer has nothing for token {self.token!r}"
            )
        instances = self._instances(subject, backbone)
        classes = self._classes(subject, backbone) if self.prior_weight > 0 else None
        training = LoraTraining(
            steps=self.steps,
            batch=self.batch,
            learning_rate=self.learning_rate,
            text_learning_rate=self.text_learning_rate if self.text_encoder else None,
            weight_decay=self.weight_decay,
            rank=self.rank,
            alpha=self.alpha if self.alpha is not None else float(self.rank),
            targets=self.targets,
            prior_weight=self.prior_weight,
            min_snr=self.min_snr,
        )
        train_lora(backbone, instances, classes, training, into, seed=seed)
        (into / "phrase.txt").write_text(self.phrase(subject), encoding="utf-8")

    def load(self, fitted: Path, *, backbone: Backbone) -> PersonalisedWeights:
        if not (fitted / FILE).is_file():
            raise MethodError(f"{fitted}: no {FILE}; fit the person again")
        phrase = (fitted / "phrase.txt").read_text(encoding="utf-8")
        return PersonalisedWeights(phrase, fitted, self.scale, backbone)

    def _instances(self, subject: Subject, backbone: Backbone) -> Instances:
        images = [photo.image for photo in subject.references]
        templates = [
            photo.caption if self.captions == "per-photo" else self.instance_prompt
            for photo in subject.references
        ]
        if self.flip:
            images, templates = images + [ImageOps.mirror(image) for image in images], templates * 2
        prompts = tuple(template.replace("{subject}", self.phrase(subject)) for template in templates)
        return Instances(torch.cat([backbone.encode_images([image]) for image in images]), prompts)

    def _classes(self, subject: Subject, backbone: Backbone) -> ClassPictures:
        """The backbone's own pictures of the noun, made once a run and shared by all its subjects."""
        prompt = self.class_prompt.replace("{subject}", subject.phrase)
        key = ("class pictures", prompt, self.class_pictures)
        if key not in backbone.remembered:
            seeds = range(CLASS_SEED, CLASS_SEED + self.class_pictures)
            backbone.remembered[key] = backbone.draw_latents([prompt] * self.class_pictures, seeds)
        latents: Tensor = backbone.remembered[key]
        return ClassPictures(latents.to(backbone.device), prompt)


@dataclass(frozen=True)
class PersonalisedWeights:
    """One person's LoRA; on the backbone only while it draws."""

    phrase: str
    folder: Path
    scale: float
    backbone: Backbone

    def generate(self, requests: Sequence[Request]) -> list[Image]:
        pipe = self.backbone.pipe
        prompts = [request.template.replace("{subject}", self.phrase) for request in requests]
        with self.backbone.clean():
            # peft builds the layers before it fills them, drawing from the global generator.
            with torch.random.fork_rng(), quiet():
                pipe.load_lora_weights(self.folder, weight_name=FILE, adapter_name=ADAPTER)
            try:
                pipe.set_adapters([ADAPTER], [self.scale])
                return self.backbone.draw(prompts, [request.seed for request in requests])
            finally:
                pipe.unload_lora_weights()
