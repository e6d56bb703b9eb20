"""The frozen Stable Diffusion that all methods of a run share."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import torch
from PIL.Image import Image
from torch import Tensor, nn

from methods.backbone.images import decode, encode, square, tensor, to_pil_images
from methods.backbone.locate import CheckpointLocation, locate_checkpoint
from methods.backbone.memory_options import (
    check_memory_options,
    check_resolution,
    compile_unet,
    move_to_device,
)
from methods.backbone.noise_schedule import NoiseSchedule
from methods.backbone.sampling import SamplingBatch, denoise
from methods.backbone.spec import BackboneSpec, Family
from methods.backbone.state_guard import BackboneState
from methods.backbone.text_encoding import TextFeatures, cast, conditioning, family_of, text_features
from methods.compute.device import resolve_device
from methods.compute.loading import file_digest
from methods.errors import MethodError

Before = Callable[[Sequence[int]], Mapping[str, Any]]
"""Called before each batch with its row numbers; returns additional arguments for the pipeline."""

DTYPES: Mapping[str, torch.dtype] = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}


@dataclass(frozen=True)
class Backbone:
    """A frozen Stable Diffusion with sampling, encoders and noise schedule. Change it only inside `clean`."""

    spec: BackboneSpec
    source: CheckpointLocation
    pipe: Any
    """An unmodified StableDiffusionPipeline or StableDiffusionXLPipeline of diffusers."""
    device: torch.device
    noise: NoiseSchedule
    state: BackboneState
    compiled: Any = None
    """The compiled U-Net used for sampling where the spec sets `compile`; training is not compiled."""
    cache: dict[tuple[object, ...], Any] = field(default_factory=dict)
    """Objects that methods keep for the whole run, such as class images shared by several subjects."""

    @classmethod
    def open(cls, spec: BackboneSpec) -> Backbone:
        """Load the backbone; raises MethodError where it is missing, broken, or the options contradict."""
        # diffusers takes seconds to import, and a run without missing images opens no backbone.
        from methods.backbone.load import load_pipeline, make_scheduler

        if spec.dtype not in DTYPES:
            raise MethodError(f"backbone: unknown dtype {spec.dtype!r}; known: {', '.join(DTYPES)}")
        device = resolve_device(spec.device)
        check_memory_options(spec, device)
        source = locate_checkpoint(spec, fetch=True)
        pipe = load_pipeline(source, DTYPES[spec.dtype])
        check_resolution(spec, pipe.vae_scale_factor)
        move_to_device(pipe, spec, device)
        noise = NoiseSchedule.of(pipe.scheduler)
        pipe.scheduler = make_scheduler(spec.scheduler, pipe.scheduler, karras=spec.use_karras_sigmas)
        pipe.set_progress_bar_config(disable=True)
        compiled = compile_unet(pipe, spec)
        with torch.no_grad():
            # transformers adds hooks at the first call that reads hidden states.
            text_features(pipe, [""], device, clip_skip=1)
        pipe.maybe_free_model_hooks()
        state = BackboneState.of(pipe, partial(load_pipeline, source, DTYPES[spec.dtype]))
        return cls(spec, source, pipe, device, noise, state, compiled)

    def guided(self, scale: float) -> Backbone:
        """Return a backbone with the same networks, another guidance scale and a cache of its own."""
        key = ("guidance", scale)
        if key not in self.cache:
            self.cache[key] = replace(self, spec=replace(self.spec, guidance=scale), cache={})
        backbone: Backbone = self.cache[key]
        return backbone

    @property
    def folder(self) -> Path:
        """The folder of the configs and tokenizers, and of the weights unless they are a single file."""
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
        """Side of an image in pixels."""
        own: int = self.pipe.unet.config.sample_size * self.pipe.vae_scale_factor
        return self.spec.resolution or own

    @property
    def cross_attention_dim(self) -> int:
        width: int = self.pipe.unet.config.cross_attention_dim
        return width

    def files(self) -> tuple[Path, ...]:
        """All files of the backbone: weights, configs, tokenizers."""
        return self.source.files()

    @cached_property
    def digest(self) -> str:
        """SHA-256 over the weight files' names and bytes; adapters store it to name their backbone.

        Of a single file and of another autoencoder only the bytes count, not the name.
        """
        digest = hashlib.sha256()
        for path in sorted(path for path in self.source.weights if path.suffix == ".safetensors"):
            if path != self.source.single and path.is_relative_to(self.folder):
                digest.update(path.relative_to(self.folder).as_posix().encode())
            digest.update(file_digest(path))
        return digest.hexdigest()

    @contextmanager
    def clean(self) -> Iterator[None]:
        """Context for every change to the backbone: remaining changes are undone and are an error.

        Raises MethodError, naming the remaining changes, where the body succeeded. An exception of the body
        is re-raised after the backbone is restored. Within another `clean`, the outer one checks.
        """
        with self.state.unchanged(self.pipe):
            yield

    def generate(
        self,
        prompts: Sequence[str],
        seeds: Sequence[int],
        *,
        before: Before | None = None,
        small_batches: bool = False,
    ) -> list[Image]:
        """Return one RGB image per prompt and seed, sampled with classifier-free guidance.

        An image's noise depends on its own seed alone and comes from a CPU generator. Every batch has
        exactly `spec.batch` rows, or a quarter of them with `small_batches`; the last batch is padded. So an
        image's bytes depend neither on the other rows nor on their order. A non-finite image (half
        precision) is black and marked: `image.info["flaw"] == "nan"`.
        """
        size = max(1, self.spec.batch // 4) if small_batches else self.spec.batch
        images: list[Image] = []
        for rows, latents in self._batches(prompts, seeds, size, before):
            images += to_pil_images(decode(self.pipe, latents)[:rows])
        return images

    def generate_latents(self, prompts: Sequence[str], seeds: Sequence[int]) -> Tensor:
        """As `generate`, without decoding: (N, C, h, w), scaled as the U-Net's input, on the CPU.

        Raises MethodError where a value is not finite: such images are useless for training.
        """
        batches = self._batches(prompts, seeds, self.spec.batch, None)
        latents = torch.cat([batch[:rows].cpu() for rows, batch in batches])
        if not bool(latents.isfinite().all()):
            raise MethodError(
                f"backbone: latents in {self.spec.dtype} are not finite; use dtype = 'bf16' or 'fp32'"
            )
        return latents

    def _batches(
        self, prompts: Sequence[str], seeds: Sequence[int], size: int, before: Before | None
    ) -> Iterator[tuple[int, Tensor]]:
        """Yield padded batches of `size` latents, each with the number of rows that are not padding."""
        for start in range(0, len(prompts), size):
            rows = list(range(start, min(start + size, len(prompts))))
            padded = rows + [rows[-1]] * (size - len(rows))
            arguments = before(padded) if before else {}
            batch = SamplingBatch(
                [prompts[row] for row in padded], [seeds[row] for row in padded], self.resolution, arguments
            )
            latents = denoise(self.pipe, self.spec, self.compiled, batch)
            yield len(rows), latents

    @torch.no_grad()
    def encode_text(self, prompts: Sequence[str]) -> TextFeatures:
        """Encode N prompts in one forward pass, padded to the tokenizer's length as in sampling.

        The empty prompt gives the features that guidance uses without a negative prompt (zeros for most SDXL
        checkpoints).
        """
        return text_features(self.pipe, prompts, self.device, clip_skip=self.spec.clip_skip)

    def encode_text_with_grad(self, prompts: Sequence[str]) -> TextFeatures:
        """As `encode_text`, with gradients; not with CPU offload, which moves encoders away before it."""
        if self.spec.cpu_offload:
            raise MethodError("backbone: cpu_offload cannot train text encoders or embeddings; leave it out")
        return text_features(self.pipe, prompts, self.device, clip_skip=self.spec.clip_skip)

    def conditioning(self, text: TextFeatures, time_ids: Tensor | None = None) -> dict[str, Any]:
        """Return the U-Net's keyword arguments: `unet(x_t, t, **backbone.conditioning(text))`.

        `time_ids`, (N, 6), are SDXL's original height and width, top and left of the crop, and target
        height and width, in pixels. None means an uncropped image of the backbone's resolution, as in
        sampling. The other families ignore them.
        """
        return conditioning(self.pipe, text, resolution=self.resolution, time_ids=time_ids)

    def predict(self, x_t: Tensor, t: Tensor, said: Mapping[str, Any]) -> Tensor:
        """The U-Net's output for noised latents (B, C, h, w) at steps (B,), float32.

        `said` are the U-Net's keyword arguments, as of `conditioning`. In half precision all but image
        embeddings are cast to it.
        """
        if self.dtype is not torch.float32:
            x_t, said = x_t.to(self.dtype), cast(said, self.dtype)
        predicted: Tensor = self.unet(x_t, t, **said, return_dict=False)[0]
        return predicted.float()

    @property
    def is_guided(self) -> bool:
        """Whether the pipeline computes an unconditional row for every image; a distilled U-Net has none."""
        return self.spec.guidance > 1 and self.pipe.unet.config.time_cond_proj_dim is None

    def encode_images(self, images: Sequence[Image]) -> Tensor:
        """Encode images, cropped to the backbone's square: (N, C, h, w), the posterior's mode, scaled."""
        return self.encode_pixels(tensor([square(image, self.resolution) for image in images]))

    def encode_pixels(self, pixels: Tensor) -> Tensor:
        """Encode (N, 3, H, W) in [0, 1]: the posterior's mode, scaled."""
        return self.encode_posterior(pixels)[0]

    @torch.no_grad()
    def encode_posterior(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Encode (N, 3, H, W) in [0, 1]: mean and standard deviation of the posterior, both scaled.

        Raises MethodError where a value is not finite.
        """
        mean, deviation = encode(self.pipe.vae, pixels, self.device)
        return mean.to(self.dtype), deviation.to(self.dtype)
