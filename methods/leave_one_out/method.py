"""The proposed method: a person as what their photographs say, learnt by restoring each from the others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from PIL.Image import Image
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from methods.backbone.backbone import Backbone
from methods.backbone.prior_prompts import drawn_apart
from methods.encoders.clip_vision import encoder_files, encoder_folder, ledger_names, open_encoder
from methods.errors import MethodError
from methods.interface import MethodBase
from methods.leave_one_out.aggregators import AGGREGATORS, AggregatedTokens
from methods.leave_one_out.cross_attention import guided
from methods.leave_one_out.network import LeaveOneOutNetwork, load_network, read_config, save_network
from methods.leave_one_out.tuning import Tuning, tune
from methods.setting_checks import check_bounds, check_settings
from methods.shipped import WEIGHTS
from methods.subject import Photo, Request, Subject
from methods.trained_on import data_named

FITTED = "photos.safetensors"
TUNED = "network.safetensors"


@dataclass(frozen=True)
class LeaveOneOut(MethodBase):
    """Amortised by default: trained over many people, no step for a new one; `tune_steps` adds some."""

    aggregator: str = "mean"
    network: str = ""
    """Trained weights; empty for the ones that ship for this aggregator."""
    encoder: str = "embedded"
    """Folder of the image encoder the weights were trained with; `embedded` for the one that ships."""
    scale: float = 1.0
    """Weight of the image tokens beside the text; 1 is what was trained."""
    photos: int = 0
    """Only the first so many reference photographs; 0 is all of them."""
    tune_steps: int = 0
    """Leave-one-out steps on the new person's own photographs."""
    tune_rate: float = 1e-4
    tune_batch: int = 4
    other_backbone: bool = False
    """Use weights that name another backbone than the run's."""

    def __post_init__(self) -> None:
        if self.aggregator not in AGGREGATORS:
            raise MethodError(
                f"leave-one-out: unknown aggregator {self.aggregator!r}; known are {', '.join(AGGREGATORS)}"
            )
        check_settings(self)
        check_bounds(self, {"photos": 0, "tune_steps": 0, "tune_rate": 0, "tune_batch": 1})

    @property
    def name(self) -> str:
        return f"loo-{self.aggregator}"

    @property
    def file(self) -> Path:
        """Where the trained weights lie."""
        return Path(self.network) if self.network else WEIGHTS / f"loo-{self.aggregator}.safetensors"

    @property
    def conditioning_encoders(self) -> frozenset[str]:
        return ledger_names(encoder_folder(self.encoder))

    @property
    def trained_on(self) -> frozenset[str]:
        return data_named(self.file, "config", "training_data")

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

    def fit(self, subject: Subject, into: Path, *, backbone: Backbone, seed: int) -> None:
        network = self._open(backbone)
        shown = self._shown(subject)
        images = [photo.image for photo in shown]
        patches = open_encoder(encoder_folder(self.encoder), backbone.device).patches(images)
        sentences = [photo.caption.replace("{subject}", subject.phrase) for photo in shown]
        if network.config.captions == "blank":
            sentences = [""] * len(shown)
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
        with safe_open(fitted / FITTED, "pt") as stored:
            tokens, captions = (stored.get_tensor(key).float() for key in ("tokens", "captions"))
            phrase = stored.metadata()["phrase"]
        tuned = fitted / TUNED
        network = _read(tuned, backbone) if tuned.is_file() else self._open(backbone)
        device = backbone.device
        return PersonalisedSet(phrase, tokens.to(device), captions.to(device), network, self.scale, backbone)

    def _shown(self, subject: Subject) -> tuple[Photo, ...]:
        return subject.references[: self.photos] if self.photos else subject.references

    def _open(self, backbone: Backbone) -> LeaveOneOutNetwork:
        """The trained network, checked against what it is to be used with."""
        config = read_config(self.file)
        if config.aggregator != self.aggregator:
            raise MethodError(f"{self.file}: weights of {config.aggregator!r}, asked for {self.aggregator!r}")
        if config.backbone != backbone.digest and not self.other_backbone:
            raise MethodError(
                f"{self.file}: trained with backbone {config.backbone[:12]}, "
                f"this one is {backbone.digest[:12]}; train it again, or set other_backbone = true"
            )
        encoder = open_encoder(encoder_folder(self.encoder), backbone.device)
        if config.encoder_digest != encoder.digest:
            raise MethodError(
                f"{self.file}: trained with image encoder {config.encoder!r} ({config.encoder_digest[:12]}), "
                f"{encoder.folder} holds {encoder.digest[:12]}; give the encoder it was trained with"
            )
        return _read(self.file, backbone)


@dataclass(frozen=True)
class PersonalisedSet:
    """Tokens of one person's photographs, and the network that joins them for each prompt."""

    phrase: str
    tokens: Tensor
    """(n, T, D)."""
    captions: Tensor
    """(n, C)."""
    network: LeaveOneOutNetwork
    scale: float
    backbone: Backbone

    def generate(self, requests: Sequence[Request]) -> list[Image]:
        return drawn_apart(requests, self._draw, self.backbone)

    def _draw(self, requests: Sequence[Request]) -> list[Image]:
        prompts = [request.prompt(self.phrase) for request in requests]
        gathered = [self.gather(prompt) for prompt in prompts]
        nothing = AggregatedTokens(self.network.nothing, None)
        backbone = self.backbone
        with backbone.clean(), self.network.adapter.on(backbone.unet, scale=self.scale) as slot:

            def fill(rows: Sequence[int]) -> Mapping[str, Any]:
                wanted = stacked([gathered[row] for row in rows])
                if backbone.spec.guidance > 1:
                    wanted = guided(stacked([nothing] * len(rows)), wanted)
                slot.gathered = wanted
                return {}

            return backbone.generate(prompts, [request.seed for request in requests], before=fill)

    @torch.no_grad()
    def gather(self, prompt: str) -> AggregatedTokens:
        """What the photographs say for one prompt; one at a time, so that no prompt's depends on another."""
        # A network that never read captions is asked for none.
        wanted = _pooled(self.backbone, ["" if self.network.config.captions == "blank" else prompt])
        mask = torch.ones(1, len(self.tokens), dtype=torch.bool, device=self.tokens.device)
        return self.network.gather(self.tokens[None], self.captions[None], wanted, mask)


def stacked(rows: Sequence[AggregatedTokens]) -> AggregatedTokens:
    """Rows of one row each as one batch; they have equally many tokens."""
    keeps = [row.keep for row in rows if row.keep is not None]
    return AggregatedTokens(torch.cat([row.tokens for row in rows]), torch.cat(keeps) if keeps else None)


def _pooled(backbone: Backbone, sentences: Sequence[str]) -> Tensor:
    return torch.cat([backbone.encode_text([sentence]).pooled for sentence in sentences]).float()


def _read(path: Path, backbone: Backbone) -> LeaveOneOutNetwork:
    """A fresh network each time: tuning changes it, and it is small."""
    return load_network(path, backbone.unet, width=backbone.cross_attention_dim).to(backbone.device)
