"""IP-Adapter (Ye et al. 2023): photographs as tokens of decoupled cross-attention, without fitting."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
from PIL.Image import Image
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from methods.backbone import Backbone
from methods.backbone_files import LOAD_FAULTS, WEIGHTS, first_line, quiet
from methods.image_encoder import (
    ImageEncoder,
    encoder_files,
    encoder_folder,
    encoder_name,
    open_encoder,
)
from methods.interface import EMBEDDED, MethodError, Request, Subject

Weights = Mapping[str, Mapping[str, Tensor]]
"""The published layout: `image_proj` and `ip_adapter`, each by its own names."""

FITTED = "image_embeds.safetensors"


@dataclass(frozen=True)
class IPAdapter:
    """A frozen backbone that also attends to the photographs' tokens; base and Plus layouts.

    Photographs are squeezed to the encoder's square instead of cropped in the middle, as the authors
    advise for pictures that are not square.
    """

    name: ClassVar[str] = "ip-adapter"

    adapter: str = "embedded"
    """Weights in the published layout, safetensors; `embedded` for the ones that ship."""
    encoder: str = "embedded"
    """Folder of the CLIPVisionModelWithProjection that the adapter was trained with; or `embedded`."""
    scale: float = 1.0
    """Weight of the image tokens beside the text; diffusers' default. The authors advise 0.5 with prompts."""
    photos: Literal["concat", "mean", "first"] = "concat"
    """All photographs' tokens in one attention, the mean of their embeddings, or the first photograph."""
    other_backbone: bool = False
    """Use weights that name another backbone than the run's."""

    def __post_init__(self) -> None:
        if self.photos not in ("concat", "mean", "first"):
            raise MethodError(f"ip-adapter: photos is {self.photos!r}; known are concat, mean, first")

    @property
    def adapter_file(self) -> Path:
        """Where the weights lie."""
        return WEIGHTS / "ip-adapter.safetensors" if self.adapter == EMBEDDED else Path(self.adapter)

    @property
    def sees(self) -> frozenset[str]:
        return frozenset({encoder_name(encoder_folder(self.encoder))})

    @property
    def weights(self) -> tuple[Path, ...]:
        return (self.adapter_file, *encoder_files(encoder_folder(self.encoder)))

    def objection(self, subject: Subject) -> str | None:
        if not subject.references:
            return f"{subject.id}: no reference photos; ip-adapter needs at least 1"
        return None

    def fit(self, subject: Subject, into: Path, *, backbone: Backbone, seed: int) -> None:
        weights = read_adapter(self.adapter_file)
        _check_backbone(self.adapter_file, weights, backbone, other=self.other_backbone)
        encoder = open_encoder(encoder_folder(self.encoder), backbone.device)
        images = [photo.image for photo in subject.references]
        embeds, nothing = _embed(encoder, images[:1] if self.photos == "first" else images, weights)
        if self.photos == "mean":
            embeds = embeds.mean(dim=0, keepdim=True)
        stored = {"photos": embeds.half().contiguous(), "nothing": nothing.half().contiguous()}
        save_file(stored, into / FITTED, metadata={"phrase": subject.phrase})

    def load(self, fitted: Path, *, backbone: Backbone) -> PersonalisedImages:
        with safe_open(fitted / FITTED, "pt") as stored:
            photos, nothing = stored.get_tensor("photos"), stored.get_tensor("nothing")
            phrase = stored.metadata()["phrase"]
        weights = read_adapter(self.adapter_file)
        _check_backbone(self.adapter_file, weights, backbone, other=self.other_backbone)
        # One adapter; 1 x photos x ..., without and with guidance's other half.
        embeds = torch.stack([nothing.expand_as(photos), photos])
        return PersonalisedImages(phrase, embeds, weights, self.scale, backbone)


@dataclass(frozen=True)
class PersonalisedImages:
    """Image embeddings of one person, and the weights that read them."""

    phrase: str
    embeds: Tensor
    """2 x photos x ..., float16: nothing, then the photographs."""
    weights: Weights
    scale: float
    backbone: Backbone

    def generate(self, requests: Sequence[Request]) -> list[Image]:
        backbone = self.backbone
        prompts = [request.template.replace("{subject}", self.phrase) for request in requests]
        seeds = [request.seed for request in requests]
        with backbone.clean(), adapted(backbone, self.weights, scale=self.scale):
            tokens = self._tokens()
            # diffusers would project the same photographs again for every row and step.
            backbone.pipe.unet.encoder_hid_proj = torch.nn.Identity()
            return backbone.draw(prompts, seeds, before=lambda rows: {"ip_adapter_image_embeds": [tokens]})

    @torch.no_grad()
    def _tokens(self) -> Tensor:
        """2 x photos x tokens x width; without guidance, 1 x photos x tokens x width."""
        embeds = self.embeds.to(self.backbone.device, self.backbone.dtype)
        tokens: Tensor = self.backbone.pipe.unet.encoder_hid_proj([embeds])[0]
        return tokens if self.backbone.spec.guidance > 1 else tokens[1:]


@contextmanager
def adapted(backbone: Backbone, weights: Weights, *, scale: float) -> Iterator[None]:
    """The backbone with the adapter that diffusers' own loader puts on it."""
    pipe = backbone.pipe
    given: dict[str, Any] = {part: dict(state) for part, state in weights.items()}
    # diffusers builds the modules before it fills them, drawing from the global generator.
    with torch.random.fork_rng(), quiet():
        try:
            pipe.load_ip_adapter(given, subfolder="", weight_name="", image_encoder_folder=None)
        except LOAD_FAULTS as error:
            raise MethodError(
                f"ip-adapter: the weights do not fit this backbone ({first_line(error)})"
            ) from error
    try:
        pipe.unet.encoder_hid_proj.requires_grad_(False).eval()
        for processor in pipe.unet.attn_processors.values():
            if isinstance(processor, torch.nn.Module):
                processor.requires_grad_(False).eval()
        pipe.set_ip_adapter_scale(scale)
        yield
    finally:
        pipe.unload_ip_adapter()
        # diffusers leaves the one it made.
        pipe.register_modules(feature_extractor=None)


@lru_cache(maxsize=2)
def read_adapter(path: Path) -> Weights:
    """The tensors of a published checkpoint; raises MethodError where it is none."""
    if not path.is_file():
        raise MethodError(f"{path}: no such weights; make them with 'bench train ip-adapter', or name a file")
    try:
        flat = load_file(path)
    except (SafetensorError, OSError) as error:
        raise MethodError(f"{path}: not a safetensors file ({error})") from error
    parts: dict[str, dict[str, Tensor]] = {"image_proj": {}, "ip_adapter": {}}
    for name, value in flat.items():
        part, _, rest = name.partition(".")
        if part in parts:
            parts[part][rest] = value
    if not parts["image_proj"] or not parts["ip_adapter"]:
        raise MethodError(
            f"{path}: no 'image_proj.' and 'ip_adapter.' weights; wanted IP-Adapter's published layout"
        )
    if not (_is_base(parts) or "latents" in parts["image_proj"]):
        raise MethodError(f"{path}: neither IP-Adapter nor IP-Adapter Plus; other families are not built in")
    return parts


def _is_base(weights: Weights) -> bool:
    return "proj.weight" in weights["image_proj"]


def _embed(encoder: ImageEncoder, images: Sequence[Image], weights: Weights) -> tuple[Tensor, Tensor]:
    """Embeddings of the photographs (N, ...) and of none (1, ...), as this adapter's family takes them."""
    if _is_base(weights):
        embeds, wanted = encoder.embeddings(images), weights["image_proj"]["proj.weight"].shape[1]
        nothing = torch.zeros_like(embeds[:1])
    else:
        embeds, wanted = encoder.patches(images), weights["image_proj"]["proj_in.weight"].shape[1]
        nothing = encoder.nothing()
    if embeds.shape[-1] != wanted:
        raise MethodError(
            f"{encoder.folder}: says {embeds.shape[-1]} numbers a token, the adapter reads {wanted}; "
            "give the encoder it was trained with"
        )
    return embeds, nothing


def _check_backbone(path: Path, weights: Weights, backbone: Backbone, *, other: bool) -> None:
    key = next(value for name, value in weights["ip_adapter"].items() if name.endswith("to_k_ip.weight"))
    if key.shape[1] != backbone.cross_attention_dim:
        raise MethodError(
            f"{path}: made for cross-attention {key.shape[1]} wide, "
            f"this backbone's is {backbone.cross_attention_dim}"
        )
    with safe_open(path, "pt") as stored:
        metadata = stored.metadata() or {}
    named = metadata.get("backbone", backbone.digest)
    if named != backbone.digest and not other:
        raise MethodError(
            f"{path}: trained with backbone {named[:12]}, this one is {backbone.digest[:12]}; "
            "train it again, or set other_backbone = true"
        )
