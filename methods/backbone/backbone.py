"""The text-to-image model that all methods of a run share: a Stable Diffusion folder, opened once."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from diffusers import DDPMScheduler
from PIL.Image import Image
from torch import Tensor, nn

from methods.backbone import memory_options as backbone_savers
from methods.backbone.images import pictures_of, square, tensor
from methods.backbone.load import pipeline_of, scheduler_of
from methods.backbone.locate import CheckpointLocation, source_of
from methods.backbone.noise_schedule import NoiseSchedule
from methods.backbone.sampling import Rows, decode, denoise
from methods.backbone.spec import BackboneSpec
from methods.backbone.state_guard import BackboneState
from methods.backbone.text_encoding import Family, TextFeatures, conditioning, family_of, text_features
from methods.compute.device import resolve_device
from methods.errors import MethodError

Before = Callable[[Sequence[int]], Mapping[str, Any]]
"""Called before each batch with the rows about to be drawn; returns more arguments for the pipeline."""

DTYPES: Mapping[str, torch.dtype] = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}


@dataclass(frozen=True)
class Backbone:
    """A frozen Stable Diffusion: it draws, encodes and noises. Methods change it only inside `clean`."""

    spec: BackboneSpec
    source: CheckpointLocation
    pipe: Any
    """A stock StableDiffusionPipeline or StableDiffusionXLPipeline."""
    device: torch.device
    noise: NoiseSchedule
    state: BackboneState
    compiled: Any = None
    """The U-Net as it draws where the spec says `compile`; training is not compiled."""
    remembered: dict[tuple[object, ...], Any] = field(default_factory=dict)
    """What methods keep for the run, such as class pictures shared by several subjects."""

    @classmethod
    def open(cls, spec: BackboneSpec) -> Backbone:
        """Load it; raises MethodError where it is missing, broken, or cannot be had in that way."""
        if spec.dtype not in DTYPES:
            raise MethodError(f"backbone: unknown dtype {spec.dtype!r}; known are {', '.join(DTYPES)}")
        device = resolve_device(spec.device)
        backbone_savers.check(spec, device)
        source = source_of(spec, fetch=True)
        pipe = pipeline_of(source, DTYPES[spec.dtype])
        if spec.resolution is not None and spec.resolution % pipe.vae_scale_factor:
            raise MethodError(
                f"backbone: resolution {spec.resolution}; wanted is a multiple of {pipe.vae_scale_factor}"
            )
        backbone_savers.place(pipe, spec, device)
        training = DDPMScheduler.from_config(pipe.scheduler.config)
        noise = NoiseSchedule(training.alphas_cumprod.clone(), training.config.prediction_type)
        pipe.scheduler = scheduler_of(spec.scheduler, pipe.scheduler)
        pipe.set_progress_bar_config(disable=True)
        compiled = backbone_savers.compiled(pipe, spec)
        return cls(spec, source, pipe, device, noise, BackboneState.of(pipe), compiled)

    def guided(self, scale: float) -> Backbone:
        """The same networks, drawing by this guidance scale; one for each scale and run.

        What this one remembers was drawn by its own scale, and stays behind.
        """
        key = ("guided by", scale)
        if key not in self.remembered:
            self.remembered[key] = replace(self, spec=replace(self.spec, guidance=scale), remembered={})
        backbone: Backbone = self.remembered[key]
        return backbone

    @property
    def folder(self) -> Path:
        """Where the configs and tokenizers lie, and the weights too unless they are a single file."""
        return self.source.folder

    @property
    def unet(self) -> nn.Module:
        module: nn.Module = self.pipe.unet
        return module

    @property
    def family(self) -> Family:
        """The layout: SD 1.5-class, SD 2.x or SDXL."""
        return family_of(self.pipe)

    @property
    def dtype(self) -> torch.dtype:
        return DTYPES[self.spec.dtype]

    @property
    def resolution(self) -> int:
        """Side of a picture in pixels."""
        own: int = self.pipe.unet.config.sample_size * self.pipe.vae_scale_factor
        return self.spec.resolution or own

    @property
    def cross_attention_dim(self) -> int:
        width: int = self.pipe.unet.config.cross_attention_dim
        return width

    def files(self) -> tuple[Path, ...]:
        """Every file the backbone is made of: weights, configs, tokenizers."""
        return self.source.files()

    @cached_property
    def digest(self) -> str:
        """SHA-256 over the weight files' names and bytes: what adapters say they were trained for.

        A single file counts by its bytes, whatever it is called.
        """
        digest = hashlib.sha256()
        for path in sorted(path for path in self.source.weights if path.suffix == ".safetensors"):
            if self.source.single is None:
                digest.update(path.relative_to(self.folder).as_posix().encode())
            with path.open("rb") as stream:
                digest.update(hashlib.file_digest(stream, "sha256").digest())
        return digest.hexdigest()

    @contextmanager
    def clean(self) -> Iterator[None]:
        """Around all that changes the backbone: what is left behind is taken away, and is an error.

        Raises MethodError, naming what stayed, where the body ended well; a body that failed keeps its
        own exception and the backbone is mended all the same.
        """
        try:
            yield
        except BaseException:
            self.state.restore(self.pipe)
            raise
        if leftovers := self.state.leftovers(self.pipe):
            self.state.restore(self.pipe)
            raise MethodError(f"backbone handed back changed: {'; '.join(leftovers)}")

    def generate(
        self,
        prompts: Sequence[str],
        seeds: Sequence[int],
        *,
        before: Before | None = None,
        few: bool = False,
    ) -> list[Image]:
        """One RGB picture per prompt and seed, by classifier-free guidance.

        A picture's noise comes from its own seed alone, through a CPU generator, and every batch has
        exactly `spec.batch` rows, or with `few` a quarter of them, filled up where there are no more
        prompts; so its bytes depend neither on its neighbours nor on their order. One that came out as no
        numbers (half precision) is black and says so: `image.info["flaw"] == "nan"`.
        """
        size = max(1, self.spec.batch // 4) if few else self.spec.batch
        images: list[Image] = []
        for rows, latents in self._batches(prompts, seeds, size, before):
            images += pictures_of(decode(self.pipe, latents)[:rows])
        return images

    def generate_latents(self, prompts: Sequence[str], seeds: Sequence[int]) -> Tensor:
        """As `draw`, before the decoder: (N, C, h, w), scaled as the U-Net wants them, on the CPU.

        Raises MethodError where they are not all numbers: nothing can be learnt from such a picture.
        """
        batches = self._batches(prompts, seeds, self.spec.batch, None)
        latents = torch.cat([batch[:rows].cpu() for rows, batch in batches])
        if not bool(latents.isfinite().all()):
            raise MethodError(
                f"backbone: what it draws in {self.spec.dtype} is not finite; use dtype = 'bf16' or 'fp32'"
            )
        return latents

    def _batches(
        self, prompts: Sequence[str], seeds: Sequence[int], size: int, before: Before | None
    ) -> Iterator[tuple[int, Tensor]]:
        """Whole batches of `size` latents, each with the number of its rows that were asked for."""
        for start in range(0, len(prompts), size):
            rows = list(range(start, min(start + size, len(prompts))))
            padded = rows + [rows[-1]] * (size - len(rows))
            further = before(padded) if before else {}
            batch = Rows(
                [prompts[row] for row in padded], [seeds[row] for row in padded], self.resolution, further
            )
            latents = denoise(self.pipe, self.spec, self.compiled, batch)
            yield len(rows), latents

    @torch.no_grad()
    def encode_text(self, prompts: Sequence[str]) -> TextFeatures:
        """Features of N sentences, padded to the tokenizer's length as when drawing; one forward pass.

        The empty sentence gives what guidance reads without a negative prompt (zeros for most of SDXL).
        """
        return text_features(self.pipe, prompts, self.device)

    def encode_text_to_learn(self, prompts: Sequence[str]) -> TextFeatures:
        """As `encode_text`, with gradients to the text encoders."""
        return text_features(self.pipe, prompts, self.device)

    def conditioning(self, text: TextFeatures, time_ids: Tensor | None = None) -> dict[str, Any]:
        """The U-Net's keyword arguments for N sentences: `unet(x_t, t, **backbone.conditioning(text))`.

        `time_ids`, (N, 6), are SDXL's original height and width, top and left of the crop, and target
        height and width, in pixels; None is a whole picture of the backbone's resolution, as when drawing.
        The other families have no use for them.
        """
        return conditioning(self.pipe, text, resolution=self.resolution, time_ids=time_ids)

    def encode_images(self, images: Sequence[Image]) -> Tensor:
        """Latents of pictures, cut to the backbone's square: (N, C, h, w), the posterior's mode, scaled."""
        return self.encode_pixels(tensor([square(image, self.resolution) for image in images]))

    def encode_pixels(self, pixels: Tensor) -> Tensor:
        """Latents of (N, 3, H, W) in [0, 1], the posterior's mode, scaled."""
        return self.encode_posterior(pixels)[0]

    @torch.no_grad()
    def encode_posterior(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation of the latents of (N, 3, H, W) in [0, 1], both scaled."""
        vae = self.pipe.vae
        posterior = vae.encode((pixels * 2 - 1).to(self.device, vae.dtype)).latent_dist
        scale = vae.config.scaling_factor
        return (posterior.mean * scale).to(self.dtype), (posterior.std * scale).to(self.dtype)

    def reset_peak_memory(self) -> None:
        """Start measuring the device's peak memory anew."""
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)

    def peak_memory(self) -> int | None:
        """Most bytes held on the device since the last reset; None on a CPU."""
        if self.device.type != "cuda":
            return None
        return torch.cuda.max_memory_allocated(self.device)
