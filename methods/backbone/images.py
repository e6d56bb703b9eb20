"""Conversion between images, tensors in [0, 1] and latents."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image, ImageOps
from torch import Tensor

from methods.errors import MethodError
from methods.subject import FLAW


def square(image: Image.Image, size: int) -> Image.Image:
    """Return the central square, resized to `size` pixels; an image of that size is not resampled."""
    image = image.convert("RGB")
    if image.size == (size, size):
        return image
    return ImageOps.fit(image, (size, size), Image.Resampling.LANCZOS)


def central_square(image: Image.Image) -> Image.Image:
    """Return the central square without resampling; a square image is returned whole."""
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    return image.crop((left, top, left + side, top + side))


def stretched_to_square(image: Image.Image, size: int) -> Image.Image:
    """Return the whole image, resized to a square without cropping, so that no part of a face is lost."""
    image = image.convert("RGB")
    if image.size == (size, size):
        return image
    return image.resize((size, size), Image.Resampling.BICUBIC)


def tensor(images: Sequence[Image.Image]) -> Tensor:
    """Stack images of one size: (N, 3, H, W) in [0, 1]."""
    return from_bytes(np.stack([np.asarray(image) for image in images]))


def from_bytes(pixels: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> Tensor:
    """Convert N x H x W x 3 bytes to (N, 3, H, W) in [0, 1]."""
    return torch.from_numpy(np.ascontiguousarray(pixels)).permute(0, 3, 1, 2).float() / 255


def to_pil_images(pixels: NDArray[np.floating]) -> list[Image.Image]:
    """Convert N x H x W x 3 in [0, 1] to RGB images, rounded as diffusers does.

    An image with a NaN or an infinity is black, as in diffusers, and marked with `info["flaw"] = "nan"`.
    """
    finite = np.isfinite(pixels).all(axis=(1, 2, 3))
    valid = np.where(finite[:, None, None, None], pixels, 0.0)
    images = [Image.fromarray(row) for row in (valid * 255).round().astype(np.uint8)]
    for image, is_finite in zip(images, finite, strict=True):
        if not is_finite:
            image.info[FLAW] = "nan"
    return images


@dataclass(frozen=True)
class LatentScale:
    """The map between an autoencoder's latents and the denoiser's.

    SD 3 and FLUX.1 have a shift, few other checkpoints a mean and a deviation of each channel. FLUX.2 has a
    mean and a deviation of each channel and place in patches of 2 x 2, which become channels.
    """

    factor: float
    mean: Tensor | None = None
    """(1, C, 1, 1), float32."""
    deviation: Tensor | None = None
    shift: float = 0.0
    """Subtracted before scaling."""
    patch: int = 1
    """Side of the squares of latents that become channels before scaling."""

    @classmethod
    def of(cls, vae: Any) -> LatentScale:
        """Read the map from an autoencoder's config."""
        config = vae.config
        if getattr(vae, "bn", None) is not None:
            means, variances = (row.view(1, -1, 1, 1) for row in (vae.bn.running_mean, vae.bn.running_var))
            deviations = torch.sqrt(variances + config.batch_norm_eps)
            return cls(1.0, means, deviations, patch=config.patch_size[0])
        mean, deviation = getattr(config, "latents_mean", None), getattr(config, "latents_std", None)
        if mean is None or deviation is None:
            return cls(config.scaling_factor, shift=getattr(config, "shift_factor", None) or 0.0)
        columns = [torch.tensor(values).view(1, -1, 1, 1) for values in (mean, deviation)]
        return cls(config.scaling_factor, columns[0], columns[1])

    def scaled(self, latents: Tensor) -> Tensor:
        """The denoiser's input for an autoencoder's latents."""
        latents = self._in_patches(latents)
        if self.shift:
            return (latents - self.shift) * self.factor
        if self.mean is None or self.deviation is None:
            return latents * self.factor
        return (latents - self.mean.to(latents)) * self.factor / self.deviation.to(latents)

    def scaled_deviation(self, deviation: Tensor) -> Tensor:
        """The standard deviation of `scaled` latents."""
        deviation = self._in_patches(deviation)
        if self.deviation is None:
            return deviation * self.factor
        return deviation * self.factor / self.deviation.to(deviation)

    def unscaled(self, latents: Tensor) -> Tensor:
        """The autoencoder's latents for the denoiser's."""
        if self.shift:
            return latents / self.factor + self.shift
        if self.mean is None or self.deviation is None:
            return latents / self.factor
        scaled = latents * self.deviation.to(latents) / self.factor + self.mean.to(latents)
        return scaled if self.patch == 1 else F.pixel_shuffle(scaled, self.patch)

    def _in_patches(self, latents: Tensor) -> Tensor:
        # Without a patch the same tensor: a copy could have another memory layout, which changes bits.
        return latents if self.patch == 1 else F.pixel_unshuffle(latents, self.patch)


@torch.no_grad()
def encode(vae: Any, pixels: Tensor, device: torch.device) -> tuple[Tensor, Tensor]:
    """Encode (N, 3, H, W) in [0, 1]: mean and standard deviation of the posterior, scaled.

    In the autoencoder's own precision whatever the training's: SDXL's encoder overflows in fp16. Raises
    MethodError where a value is not finite.
    """
    with torch.autocast(device.type, enabled=False):
        posterior = vae.encode((pixels * 2 - 1).to(device, vae.dtype)).latent_dist
    scale = LatentScale.of(vae)
    mean, deviation = scale.scaled(posterior.mean), scale.scaled_deviation(posterior.std)
    if not bool((mean.isfinite() & deviation.isfinite()).all()):
        raise MethodError(
            f"backbone: the autoencoder's latents are not finite in {vae.dtype}; use dtype = 'bf16' or "
            "'fp32', or set vae to an autoencoder made for half precision"
        )
    return mean, deviation


@torch.no_grad()
def decode(pipe: Any, latents: Tensor) -> NDArray[np.floating]:
    """Decode to N x H x W x 3 in [0, 1]; an image with non-finite latents or pixels is all NaN."""
    vae = pipe.vae
    # Divided before the cast, as in the pipelines.
    pixels = vae.decode(LatentScale.of(vae).unscaled(latents).to(vae.dtype), return_dict=False)[0]
    finite = pixels.isfinite().flatten(1).all(dim=1) & latents.isfinite().flatten(1).all(dim=1)
    images: NDArray[np.floating] = pipe.image_processor.postprocess(pixels, output_type="np")
    images[~finite.cpu().numpy()] = np.nan
    # With model offload, a decoder called outside the pipeline would otherwise stay on the GPU.
    pipe.maybe_free_model_hooks()
    return images
