"""The proposed method: a trained network aggregates a person's photographs into image tokens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from PIL.Image import Image
from safetensors.torch import save_file
from torch import Tensor

from methods.backbone.attention.token_layers import ImageTokens
from methods.backbone.backbone import Backbone
from methods.backbone.images import central_square
from methods.backbone.prior_prompts import generate_with_class_images
from methods.backbone.spec import EMBEDDED
from methods.compute.loading import read_tensors
from methods.encoders.clip_vision import encoder_files, encoder_folder, encoder_names, open_encoder
from methods.errors import MethodError
from methods.interface import MethodBase
from methods.leave_one_out.aggregators import AGGREGATORS
from methods.leave_one_out.network import LeaveOneOutNetwork, load_network, read_config, save_network
from methods.leave_one_out.tuning import Tuning, tune
from methods.setting_checks import Count, CountOrZero, Rate, Scale, check_settings
from methods.shipped import adapter_path
from methods.subject import SLOT, Photo, Request, Subject, Wording
from methods.trained_on import training_data_of

FITTED = "photos.safetensors"
TUNED = "network.safetensors"


@dataclass(frozen=True)
class LeaveOneOut(MethodBase):
    """Amortised: trained on many people; fits a new person without steps unless `tune_steps` is set."""

    aggregator: str = "mean"
    network: str = ""
    """Path of the trained weights; empty for the built-in ones of this aggregator, `embedded-flow` for those
    of the backbone of this name."""
    encoder: str = "embedded"
    """Folder of the image encoder used in training; `embedded` for the built-in one."""
    scale: Scale = 1.0
    """Weight of the image tokens relative to the text; 1 as in training."""
    photos: CountOrZero = 0
    """Number of reference photographs to use, in order; 0 for all."""
    tune_steps: CountOrZero = 0
    """Fine-tuning steps on the person's reference photographs."""
    tune_rate: Rate = 1e-4
    tune_batch: Count = 4
    other_backbone: bool = False
    """Accept weights that were trained with another backbone."""

    def __post_init__(self) -> None:
        if self.aggregator not in AGGREGATORS:
            raise MethodError(
                f"leave-one-out: unknown aggregator {self.aggregator!r}; known: {', '.join(AGGREGATORS)}"
            )
        check_settings(self)

    @property
    def name(self) -> str:
        return f"loo-{self.aggregator}"

    @property
    def file(self) -> Path:
        """Path of the trained weights."""
        return adapter_path(self.name, self.network or EMBEDDED)

    @property
    def conditioning_encoders(self) -> frozenset[str]:
        return encoder_names(encoder_folder(self.encoder))

    @property
    def trained_on(self) -> frozenset[str]:
        return training_data_of(self.file, "config", "training_data")

    @property
    def weights(self) -> tuple[Path, ...]:
        return (self.file, *encoder_files(encoder_folder(self.encoder)))

    @property
    def required_files(self) -> Mapping[str, Path]:
        return {"network": self.file, "image encoder": encoder_folder(self.encoder)}

    def unsupported_reason(self, subject: Subject) -> str | None:
        if reason := super().unsupported_reason(subject):
            return reason
        if len(subject.references) < self.photos:
            return (
                f"{subject.id}: {len(subject.references)} reference photos; "
                f"{self.name} was set to photos = {self.photos}"
            )
        if self.tune_steps and len(self._shown(subject)) < 2:
            return f"{subject.id}: 1 reference photo; {self.name} with tune_steps needs 2, one to leave out"
        return None

    def wording(self, subject: Subject) -> Wording:
        blank = read_config(self.file).captions == "blank"
        return Wording(subject.phrase, () if blank else self._captions(subject))

    def fit(self, subject: Subject, into: Path, *, backbone: Backbone, seed: int) -> None:
        if self.tune_steps:
            backbone.check_training()
        network = self._open(backbone)
        references = self._shown(subject)
        images = [photo.image for photo in references]
        shown = [central_square(image) for image in images] if network.config.shown == "centre" else images
        patches = open_encoder(encoder_folder(self.encoder), backbone.device).patches(shown)
        blank = network.config.captions == "blank"
        sentences = ["" if blank else text.replace(SLOT, subject.phrase) for text in self._captions(subject)]
        captions = _pooled(backbone, sentences)
        if self.tune_steps:
            tuning = Tuning(self.tune_steps, self.tune_rate, self.tune_batch)
            latents = backbone.encode_images(images)
            tune(network, tuning, backbone, patches=patches, latents=latents, sentences=sentences, seed=seed)
            save_network(into / TUNED, network, network.config, dtype=torch.float32)
        with torch.no_grad():
            tokens = network.tokens_of(patches[None].to(backbone.device))[0]
        stored = {"tokens": tokens.cpu().half().contiguous(), "captions": captions.cpu().half().contiguous()}
        save_file(stored, into / FITTED, metadata={"phrase": subject.phrase})

    def load(self, fitted: Path, *, backbone: Backbone) -> PersonalisedSet:
        stored, metadata = read_tensors(fitted / FITTED)
        if not {"tokens", "captions"} <= stored.keys() or "phrase" not in metadata:
            raise MethodError(f"{fitted / FITTED}: not a fit of this method; fit the person again")
        tokens, captions, phrase = stored["tokens"].float(), stored["captions"].float(), metadata["phrase"]
        tuned = fitted / TUNED
        network = _load_network(tuned, backbone) if tuned.is_file() else self._checked(backbone)
        device = backbone.device
        return PersonalisedSet(phrase, tokens.to(device), captions.to(device), network, self.scale, backbone)

    def _shown(self, subject: Subject) -> tuple[Photo, ...]:
        return subject.references[: self.photos] if self.photos else subject.references

    def _captions(self, subject: Subject) -> tuple[str, ...]:
        return tuple(photo.caption for photo in self._shown(subject))

    def _checked(self, backbone: Backbone) -> LeaveOneOutNetwork:
        """Load the trained network; raises MethodError if aggregator or backbone differ."""
        # First, because no weights help where the family has no layers for them.
        _ = backbone.adapter_attention
        config = read_config(self.file)
        if config.aggregator != self.aggregator:
            raise MethodError(f"{self.file}: weights of {config.aggregator!r}, expected {self.aggregator!r}")
        if config.backbone != backbone.digest and not self.other_backbone:
            raise MethodError(
                f"{self.file}: trained with backbone {config.backbone[:12]}, "
                f"this one is {backbone.digest[:12]}; train it again, or set other_backbone = true"
            )
        return _load_network(self.file, backbone)

    def _open(self, backbone: Backbone) -> LeaveOneOutNetwork:
        """As `_checked`, and raises MethodError if the image encoder differs, which only a fit reads."""
        network = self._checked(backbone)
        config, encoder = network.config, open_encoder(encoder_folder(self.encoder), backbone.device)
        if config.encoder_digest != encoder.digest:
            raise MethodError(
                f"{self.file}: trained with image encoder {config.encoder!r} ({config.encoder_digest[:12]}), "
                f"{encoder.folder} has {encoder.digest[:12]}; use the encoder it was trained with"
            )
        return network


@dataclass(frozen=True)
class PersonalisedSet:
    """Tokens of one person's photographs, and the network that aggregates them for each prompt."""

    phrase: str
    tokens: Tensor
    """(n, T, D)."""
    captions: Tensor
    """(n, C)."""
    network: LeaveOneOutNetwork
    scale: Scale
    backbone: Backbone

    def generate(self, requests: Sequence[Request]) -> list[Image]:
        return generate_with_class_images(requests, self._generate, self.backbone)

    def _generate(self, requests: Sequence[Request]) -> list[Image]:
        prompts = [request.prompt(self.phrase) for request in requests]
        aggregated = [self.aggregate(prompt) for prompt in prompts]
        unconditional = ImageTokens(self.network.nothing, None)
        backbone = self.backbone
        attention = backbone.adapter_attention
        with backbone.clean(), self.network.adapter.attached(attention, scale=self.scale) as slot:

            def fill(rows: Sequence[int]) -> Mapping[str, Any]:
                tokens = stacked([aggregated[row] for row in rows])
                if backbone.is_guided:
                    slot.fill(*attention.guidance_passes(stacked([unconditional] * len(rows)), tokens))
                else:
                    slot.fill(tokens)
                return {}

            return backbone.generate(prompts, [request.seed for request in requests], before=fill)

    @torch.no_grad()
    def aggregate(self, prompt: str) -> ImageTokens:
        """Aggregate for one prompt. Prompts are not batched, so that results do not depend on the batch."""
        # A network trained without captions gets the empty sentence.
        features = _pooled(self.backbone, ["" if self.network.config.captions == "blank" else prompt])
        mask = torch.ones(1, len(self.tokens), dtype=torch.bool, device=self.tokens.device)
        return self.network.aggregate(self.tokens[None], self.captions[None], features, mask)


def stacked(rows: Sequence[ImageTokens]) -> ImageTokens:
    """Concatenate single rows, which have the same number of tokens, to one batch."""
    masks = [row.mask for row in rows if row.mask is not None]
    return ImageTokens(torch.cat([row.tokens for row in rows]), torch.cat(masks) if masks else None)


def _pooled(backbone: Backbone, sentences: Sequence[str]) -> Tensor:
    """The pooled features of N sentences, (N, C), float32, each computed once per run."""
    known: dict[str, Tensor] = backbone.cache.setdefault(("pooled features",), {})
    for sentence in sentences:
        if sentence not in known:
            known[sentence] = backbone.encode_text([sentence]).pooled.float()
    return torch.cat([known[sentence] for sentence in sentences])


def _load_network(path: Path, backbone: Backbone) -> LeaveOneOutNetwork:
    """Not cached, because tuning changes the network in place."""
    return load_network(path, backbone.adapter_attention).to(backbone.device)
