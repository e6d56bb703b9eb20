"""The text-to-image model that all methods of a run share: a Stable Diffusion folder, opened once."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from PIL.Image import Image
from torch import Tensor, nn

from bench.torchvision_ops import ensure_torchvision_imports
from methods.interface import BackboneSpec, MethodError
from methods.noise import NoiseSchedule
from methods.pictures import square, tensor

ensure_torchvision_imports()

from diffusers import DDPMScheduler, StableDiffusionPipeline  # noqa: E402

from methods.backbone_files import folder_of, pipeline_of, resolve_device, scheduler_of  # noqa: E402
from methods.backbone_state import BackboneState  # noqa: E402

Before = Callable[[Sequence[int]], Mapping[str, Any]]
"""Called before each batch with the rows about to be drawn; returns more arguments for the pipeline."""

DTYPES: Mapping[str, torch.dtype] = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}


@dataclass(frozen=True)
class TextFeatures:
    """What the text encoder says of sentences."""

    tokens: Tensor
    """(N, L, D), the last hidden states: what cross-attention reads."""
    pooled: Tensor
    """(N, C), the state at the end of the sentence."""


@dataclass(frozen=True)
class Backbone:
    """A frozen Stable Diffusion: it draws, encodes and noises. Methods change it only inside `clean`."""

    spec: BackboneSpec
    folder: Path
    pipe: StableDiffusionPipeline
    device: torch.device
    noise: NoiseSchedule
    state: BackboneState
    remembered: dict[tuple[object, ...], Any] = field(default_factory=dict)
    """What methods keep for the run, such as class pictures shared by several subjects."""

    @classmethod
    def open(cls, spec: BackboneSpec) -> Backbone:
        """Load the folder; raises MethodError where it is missing, broken or incomplete."""
        if spec.batch < 1 or spec.steps < 1:
            raise MethodError(f"backbone: batch {spec.batch}, steps {spec.steps}; both must be at least 1")
        folder = folder_of(spec.path, spec.revision)
        device = resolve_device(spec.device)
        pipe = pipeline_of(folder, DTYPES[spec.dtype]).to(device)
        training = DDPMScheduler.from_config(pipe.scheduler.config)
        noise = NoiseSchedule(training.alphas_cumprod.clone(), training.config.prediction_type)
        pipe.scheduler = scheduler_of(spec.scheduler, pipe.scheduler)
        pipe.set_progress_bar_config(disable=True)
        return cls(spec, folder, pipe, device, noise, BackboneState.of(pipe))

    @property
    def unet(self) -> nn.Module:
        module: nn.Module = self.pipe.unet
        return module

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
        """Every file the backbone is made of: weights, configs, tokenizer."""
        parts = ("model_index.json", "unet", "vae", "text_encoder", "tokenizer", "scheduler")
        found = (path for part in parts for path in [self.folder / part, *(self.folder / part).rglob("*")])
        return tuple(sorted(path for path in found if path.is_file()))

    @cached_property
    def digest(self) -> str:
        """SHA-256 over the weight files' names and bytes: what adapters say they were trained for."""
        digest = hashlib.sha256()
        for path in self.files():
            if path.suffix in (".safetensors", ".bin"):
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

    def draw(
        self, prompts: Sequence[str], seeds: Sequence[int], *, before: Before | None = None
    ) -> list[Image]:
        """One RGB picture per prompt and seed, by classifier-free guidance.

        A picture's noise comes from its own seed alone, through a CPU generator, and every batch has
        exactly `spec.batch` rows, so its bytes depend neither on its neighbours nor on their order.
        """
        images: list[Image] = []
        for batch in self._batches(prompts, seeds, before, "pil"):
            images += batch
        return images

    def draw_latents(self, prompts: Sequence[str], seeds: Sequence[int]) -> Tensor:
        """As `draw`, before the decoder: (N, C, h, w), scaled as the U-Net wants them, on the CPU."""
        return torch.cat([batch.cpu() for batch in self._batches(prompts, seeds, None, "latent")])

    def _batches(
        self, prompts: Sequence[str], seeds: Sequence[int], before: Before | None, output: str
    ) -> Iterator[Any]:
        size = self.spec.batch
        for start in range(0, len(prompts), size):
            rows = list(range(start, min(start + size, len(prompts))))
            padded = rows + [rows[-1]] * (size - len(rows))
            further = before(padded) if before else {}
            # A copy: schedulers keep their last run's state.
            scheduler, self.pipe.scheduler = self.pipe.scheduler, copy.deepcopy(self.pipe.scheduler)
            try:
                drawn = self.pipe(
                    [prompts[row] for row in padded],
                    height=self.resolution,
                    width=self.resolution,
                    num_inference_steps=self.spec.steps,
                    guidance_scale=self.spec.guidance,
                    negative_prompt=[self.spec.negative_prompt] * size,
                    generator=[torch.Generator().manual_seed(seeds[row]) for row in padded],
                    output_type=output,
                    **further,
                )
            finally:
                self.pipe.scheduler = scheduler
            yield drawn.images[: len(rows)]

    @torch.no_grad()
    def encode_text(self, prompts: Sequence[str]) -> TextFeatures:
        """Features of sentences, padded to the tokenizer's length as when drawing; one forward pass."""
        tokenizer = self.pipe.tokenizer
        ids = tokenizer(
            list(prompts),
            padding="max_length",
            max_length=tokenizer.model_max_length,
            truncation=True,
            return_tensors="pt",
        ).input_ids
        output = self.pipe.text_encoder(ids.to(self.device))
        return TextFeatures(output.last_hidden_state, output.pooler_output)

    def encode_images(self, images: Sequence[Image]) -> Tensor:
        """Latents of pictures, cut to the backbone's square: (N, C, h, w), the posterior's mode, scaled."""
        return self.encode_pixels(tensor([square(image, self.resolution) for image in images]))

    @torch.no_grad()
    def encode_pixels(self, pixels: Tensor) -> Tensor:
        """Latents of (N, 3, H, W) in [0, 1], the posterior's mode, scaled."""
        posterior = self.pipe.vae.encode((pixels * 2 - 1).to(self.device, self.dtype)).latent_dist
        latents: Tensor = posterior.mode() * self.pipe.vae.config.scaling_factor
        return latents

    def reset_peak_memory(self) -> None:
        """Start measuring the device's peak memory anew."""
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)

    def peak_memory(self) -> int | None:
        """Most bytes held on the device since the last reset; None on a CPU."""
        if self.device.type != "cuda":
            return None
        return torch.cuda.max_memory_allocated(self.device)
