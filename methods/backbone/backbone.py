"""The frozen diffusion model that all methods of a run share."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import torch
from PIL.Image import Image
from torch import Tensor

from methods.backbone.families.catalog import denoiser_class
from methods.backbone.families.text_features import PromptCache, TextFeatures, cast
from methods.backbone.images import decode, encode, square, tensor, to_pil_images
from methods.backbone.loaded_checkpoint import DTYPES, LoadedCheckpoint
from methods.backbone.locate import locate_checkpoint
from methods.backbone.memory_options import (
    check_memory_options,
    check_resolution,
    check_training,
    compile_network,
    move_to_device,
)
from methods.backbone.noise_schedule import NoiseSchedule
from methods.backbone.sampling import Before, denoise, padded_batches
from methods.backbone.spec import BackboneSpec
from methods.backbone.state_guard import TEXT_PARTS, BackboneState
from methods.compute.device import resolve_device
from methods.errors import MethodError


@dataclass(frozen=True)
class Backbone(LoadedCheckpoint):
    """A frozen diffusion model with sampling, encoders and noise schedule. Change it only inside `clean`.

    What differs between families of checkpoints is in `denoiser`; methods use the members here.
    """

    noise: NoiseSchedule
    state: BackboneState
    compiled: Any = None
    """The compiled network used for sampling where the spec sets `compile`; training is not compiled."""
    cache: dict[tuple[object, ...], Any] = field(default_factory=dict)
    """Objects that methods keep for the whole run, such as class images shared by several subjects."""

    @classmethod
    def open(cls, spec: BackboneSpec) -> Backbone:
        """Load the backbone; raises MethodError where it is missing, broken, or the options contradict."""
        # diffusers takes seconds to import, and a run without missing images opens no backbone.
        from methods.backbone.load import load_pipeline

        if spec.dtype not in DTYPES:
            raise MethodError(f"backbone: unknown dtype {spec.dtype!r}; known: {', '.join(DTYPES)}")
        device = resolve_device(spec.device)
        check_memory_options(spec, device)
        source = locate_checkpoint(spec, fetch=True)
        load = partial(load_pipeline, source, DTYPES[spec.dtype], device, spec.quantization)
        pipe = load()
        denoiser = denoiser_class(source.pipeline)(pipe, device)
        denoiser.check_settings(spec)
        check_resolution(spec, denoiser.pixels)
        move_to_device(pipe, spec, device)
        noise = denoiser.noise_schedule()
        pipe.scheduler = denoiser.make_scheduler(spec)
        pipe.set_progress_bar_config(disable=True)
        compiled = compile_network(denoiser, spec)
        with torch.no_grad():
            # transformers adds hooks at the first call that reads hidden states.
            denoiser.encode_text([""], clip_skip=1)
        pipe.maybe_free_model_hooks()
        state = BackboneState.of(pipe, load)
        return cls(spec, source, denoiser, noise, state, compiled)

    def guided(self, scale: float) -> Backbone:
        """Return a backbone with the same networks, another guidance scale and a cache of its own."""
        key = ("guidance", scale)
        if key not in self.cache:
            self.cache[key] = replace(self, spec=replace(self.spec, guidance=scale), cache={})
        backbone: Backbone = self.cache[key]
        return backbone

    def set_tokenizer(self, name: str, tokenizer: Any) -> None:
        """Use another tokenizer in the place of this name, inside `clean`."""
        setattr(self.pipe, name, tokenizer)

    def files(self) -> tuple[Path, ...]:
        """All files of the backbone: weights, configs, tokenizers."""
        return self.source.files()

    @cached_property
    def digest(self) -> str:
        """SHA-256 over the weight files; adapters store it to name their backbone."""
        return self.source.digest()

    @contextmanager
    def clean(self) -> Iterator[None]:
        """Context for every change to the backbone: remaining changes are undone and are an error.

        Raises MethodError, naming the remaining changes, where the body succeeded. An exception of the body
        is re-raised after the backbone is restored. Within another `clean`, the outer one checks.
        """
        with self.state.unchanged(self.pipe):
            yield

    def restore(self) -> None:
        """Undo all changes at once; raises MethodError where that is not possible."""
        self.state.restore(self.pipe)

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
        """As `generate`, without decoding: (N, C, h, w), scaled as the network's input, on the CPU.

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
        cache = self._prompt_cache()
        for count, batch in padded_batches(prompts, seeds, self.resolution, size, before):
            yield count, denoise(self.denoiser, self.spec, self.compiled, batch, cache)

    def _prompt_cache(self) -> PromptCache:
        """Prompts encoded earlier in the run; none where a method has changed what encodes them."""
        if not self.denoiser.prompt_embeds or self.state.leftovers(self.pipe, TEXT_PARTS):
            return PromptCache()
        cache: PromptCache = self.cache.setdefault(("encoded prompts",), PromptCache())
        return cache

    @torch.no_grad()
    def encode_text(self, prompts: Sequence[str]) -> TextFeatures:
        """Encode N prompts in one forward pass, padded to the tokenizer's length as in sampling.

        The empty prompt gives the features that guidance uses without a negative prompt (zeros for most SDXL
        checkpoints).
        """
        return self._encode_text(prompts)

    def encode_text_with_grad(self, prompts: Sequence[str]) -> TextFeatures:
        """As `encode_text`, with gradients; not with CPU offload, which moves encoders away before it."""
        self.check_training(text_encoders=True)
        return self._encode_text(prompts)

    def check_training(self, *, text_encoders: bool = False) -> None:
        """Raise MethodError where `cpu_offload` excludes training through the network, or text encoders too.

        Methods that train call it before any other work.
        """
        check_training(self.spec, text_encoders=text_encoders)

    def _encode_text(self, prompts: Sequence[str]) -> TextFeatures:
        spec = self.spec
        return self.denoiser.encode_text(
            prompts, clip_skip=spec.clip_skip, max_length=spec.max_sequence_length
        )

    def conditioning(
        self, text: TextFeatures, time_ids: Tensor | None = None, *, guidance_scale: float = 1.0
    ) -> dict[str, Any]:
        """Return keyword arguments of the network: `backbone.predict(x_t, t, backbone.conditioning(text))`.

        `time_ids`, (N, 6), are SDXL's original height and width, top and left of the crop, and target
        height and width, in pixels. None means an uncropped image of the backbone's resolution, as in
        sampling. `guidance_scale` is an input of FLUX.1 dev. The other families ignore them.
        """
        return self.denoiser.conditioning(
            text, resolution=self.resolution, time_ids=time_ids, guidance_scale=guidance_scale
        )

    def predict(self, x_t: Tensor, t: Tensor, arguments: Mapping[str, Any]) -> Tensor:
        """The network's output, (B, C, h, w), float32, for noised latents (B, C, h, w) at timesteps (B,).

        `arguments` are the network's keyword arguments, as of `conditioning`. In half precision all but image
        embeddings are cast to it. Raises MethodError where gradients are on and `cpu_offload` excludes them.
        """
        if torch.is_grad_enabled():
            self.check_training()
        if self.dtype is not torch.float32:
            x_t, arguments = x_t.to(self.dtype), cast(arguments, self.dtype)
        return self.denoiser.predict(x_t, t, arguments).float()

    @property
    def is_guided(self) -> bool:
        """Whether the pipeline computes an unconditional row for every image."""
        return self.denoiser.is_guided(self.spec)

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
