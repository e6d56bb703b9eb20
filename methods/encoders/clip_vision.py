"""The frozen vision tower, of a CLIP or SigLIP, that ip-adapter and leave-one-out condition on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, Final

import torch
from PIL.Image import Image
from torch import Tensor, nn

from methods.backbone.images import stretched_to_square, tensor
from methods.backbone.spec import EMBEDDED
from methods.compute.loading import LOAD_FAULTS, first_line, quiet
from methods.errors import MethodError
from methods.shipped import WEIGHTS

EMBEDDED_CLIP: Final = WEIGHTS / "clip"

CLIP_MEAN: Final = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD: Final = (0.26862954, 0.26130258, 0.27577711)
SIGLIP_MEAN: Final = (0.5, 0.5, 0.5)
SIGLIP_STD: Final = (0.5, 0.5, 0.5)


@dataclass(frozen=True)
class ImageEncoder:
    """A CLIP or SigLIP vision tower in float32. Images are resized to its square without cropping."""

    folder: Path
    model: nn.Module
    size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    device: torch.device

    @property
    def name(self) -> str:
        """The encoder's name in reports: `clip-embedded`, or the folder's name."""
        return encoder_name(self.folder)

    @property
    def width(self) -> int:
        """Width of a patch token."""
        hidden: int = self.model.config.hidden_size  # type: ignore[union-attr,assignment]
        return hidden

    @property
    def embedding_width(self) -> int:
        """Width of a projected embedding."""
        projected: int = self.model.config.projection_dim  # type: ignore[union-attr,assignment]
        return projected

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the weights and the preprocessing, independent of the file layout."""
        digest = hashlib.sha256(repr((self.size, self.mean, self.std)).encode())
        for name, value in sorted(self.model.state_dict().items()):
            digest.update(name.encode())
            digest.update(value.cpu().float().contiguous().numpy().tobytes())
        return digest.hexdigest()

    def patches(self, images: Sequence[Image]) -> Tensor:
        """Return penultimate-layer patch tokens (IP-Adapter Plus): (N, L, E), float32, on the CPU.

        One image per pass, so its tokens do not depend on the others.
        """
        rows = [self.of_pixels(tensor([stretched_to_square(image, self.size)])) for image in images]
        return self._released(torch.cat(rows))

    @torch.no_grad()
    def of_pixels(self, pixels: Tensor) -> Tensor:
        """Return patch tokens of (N, 3, size, size) in [0, 1], on the encoder's device."""
        hidden: Tensor = self._run(self._normalised(pixels)).hidden_states[-2]
        return hidden

    @torch.no_grad()
    def embeddings_of_pixels(self, pixels: Tensor) -> Tensor:
        """Return projected embeddings of (N, 3, size, size) in [0, 1], on the encoder's device."""
        output = self._run(self._normalised(pixels))
        if not hasattr(output, "image_embeds"):
            raise MethodError(
                f"{self.folder}: a SigLIP has no projected embedding; use a CLIP for this adapter"
            )
        embeds: Tensor = output.image_embeds
        return embeds

    def embeddings(self, images: Sequence[Image]) -> Tensor:
        """Return projected embeddings (IP-Adapter base): (N, P), float32, on the CPU."""
        rows = [
            self.embeddings_of_pixels(tensor([stretched_to_square(image, self.size)])) for image in images
        ]
        return self._released(torch.cat(rows))

    @torch.no_grad()
    def nothing(self) -> Tensor:
        """Return patch tokens of an all-zero input, IP-Adapter Plus's unconditional input: (1, L, E), CPU."""
        zeros = torch.zeros(1, 3, self.size, self.size, device=self.device)
        hidden: Tensor = self._run(zeros).hidden_states[-2]
        return self._released(hidden)

    def _released(self, features: Tensor) -> Tensor:
        """Return features on the CPU, and leave the network there: ViT-H takes 2.5 GB of a GPU."""
        self.model.cpu()
        return features.cpu()

    def _normalised(self, pixels: Tensor) -> Tensor:
        mean, std = (torch.tensor(v, device=self.device).view(1, 3, 1, 1) for v in (self.mean, self.std))
        return (pixels.to(self.device) - mean) / std

    def _run(self, pixels: Tensor):  # type: ignore[no-untyped-def]  # transformers' output class is untyped
        return self.model.to(self.device)(pixel_values=pixels, output_hidden_states=True)


@lru_cache(maxsize=2)
def open_encoder(folder: Path, device: torch.device) -> ImageEncoder:
    """Load a CLIPVisionModelWithProjection or SiglipVisionModel, once per process; also of a whole model."""
    from transformers import CLIPVisionModelWithProjection, SiglipVisionModel

    if not (folder / "config.json").is_file():
        raise MethodError(
            f"{folder}: no image encoder there; train it with 'bench train clip', or give its folder"
        )
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        is_siglip = str(config.get("model_type")).startswith("siglip")
        cls: Any = SiglipVisionModel if is_siglip else CLIPVisionModelWithProjection
        with quiet():
            model, loading = cls.from_pretrained(
                folder,
                use_safetensors=True,
                local_files_only=True,
                output_loading_info=True,
                dtype=torch.float32,
            )
    except LOAD_FAULTS as error:
        raise MethodError(f"{folder}: the image encoder cannot be loaded ({first_line(error)})") from error
    if missing := [key for key in loading["missing_keys"] if not key.endswith("position_ids")]:
        raise MethodError(f"{folder}: {len(missing)} weights are missing, such as {sorted(missing)[0]}")
    model = model.requires_grad_(False).eval().to(device)
    mean, std = _normalisation(folder, (SIGLIP_MEAN, SIGLIP_STD) if is_siglip else (CLIP_MEAN, CLIP_STD))
    return ImageEncoder(folder, model, model.config.image_size, mean, std, device)


Normalisation = tuple[tuple[float, ...], tuple[float, ...]]
"""Mean and deviation of each colour."""


def _normalisation(folder: Path, default: Normalisation) -> Normalisation:
    path = folder / "preprocessor_config.json"
    if not path.is_file():
        return default
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
        found = tuple(
            tuple(map(float, config.get(k, v)))
            for k, v in zip(("image_mean", "image_std"), default, strict=True)
        )
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise MethodError(f"{path}: cannot be read ({first_line(error)}); get the encoder again") from error
    if any(len(values) != 3 for values in found) or 0 in found[1]:
        raise MethodError(f"{path}: image_mean and image_std are {found}; expected three numbers each")
    return found[0], found[1]


def encoder_name(folder: Path) -> str:
    """Return the encoder's name in reports."""
    return "clip-embedded" if folder == EMBEDDED_CLIP else folder.name


def encoder_names(folder: Path) -> frozenset[str]:
    """Return the names to compare with a metric's encoders; a custom folder counts as `clip`, too."""
    name = encoder_name(folder)
    return frozenset({name}) if folder == EMBEDDED_CLIP else frozenset({"clip", name})


def encoder_folder(name: str) -> Path:
    """Return the folder for a setting: `embedded` is the vision tower that ships."""
    return EMBEDDED_CLIP if name == EMBEDDED else Path(name).expanduser()


def encoder_files(folder: Path) -> tuple[Path, ...]:
    """Return the files that determine the encoder's output."""
    return tuple(sorted([*folder.glob("*.safetensors"), *folder.glob("preprocessor_config.json")]))
