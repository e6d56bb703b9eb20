"""Counts memory, disk and time of the suites on SD 3.5 and FLUX.1, as their files state them.

    python results/scripts/count_transformers.py

No published weights are needed: parameters and operations are exact, from the published configurations. The
speeds of the GPU and the size of PNG files are assumed. Kernels, cuDNN's workspaces and fragments of the
allocator are not counted.
"""

import sys
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, Final

import adapter_training
import published_networks as published
import torch
from adapter_training import AdapterTraining
from published_networks import FLUX, SD3, SIDE, empty, gigabytes, tflop
from torch import Tensor, nn

from bench.suite.suite import open_suite
from methods.backbone.families import flux, stable_diffusion_3
from methods.catalog import make
from methods.dreambooth_lora.method import DreamBoothLora
from methods.dreambooth_lora.training import TEXT_TARGETS
from methods.textual_inversion.method import TextualInversion

GENERATION: Final = 100.0
"""Assumed TFLOP/s of an A100 in bf16, a third of its peak of 312."""
TRAINING: Final = 60.0
"""The same in training, with small batches."""
PNG_BYTES: Final = 2
"""Assumed bytes per pixel."""
CLIP_TOKENS: Final = 77
LATENT: Final = SIDE // 8
NETWORKS: Final = {"celeba-sd35": SD3, "celeba-flux": FLUX, "celeba-kontext": FLUX}
NOT_GENERATED: Final = "photo-copy"


@dataclass(frozen=True)
class Fit:
    """The training of one row for one person."""

    tflop: float
    trained: int
    """Number of trained parameters."""
    activations: float
    """Gigabytes kept for the backward pass, with every tensor in fp32: an upper bound of mixed precision."""
    class_images: int

    @property
    def seconds(self) -> float:
        return self.tflop / TRAINING

    @property
    def file(self) -> float:
        """Gigabytes of the stored weights, in fp32."""
        return self.trained * 4 / 1e9

    @property
    def memory(self) -> float:
        """Gigabytes beside the frozen weights: weights, gradients, AdamW's two moments, activations."""
        return self.trained * 16 / 1e9 + self.activations


class Count:
    """What is counted for one suite."""

    def __init__(self, name: str) -> None:
        file = open_suite(name)
        self.suite, self.text = file.suite, file.text
        self.is_flux, self.has_context = name != "celeba-sd35", name == "celeba-kontext"
        self.networks = published.build(NETWORKS[name])
        self.encoders = [part for part in self.networks if part.startswith("text")]
        self.people = self.suite.dataset.identities or 0

    # Operations

    @cached_property
    def forward(self) -> float:
        """TFLOP of the transformer for one image."""
        network = self.networks["transformer"]
        return tflop(lambda: network(**self._inputs()), network)

    @cached_property
    def text_encoding(self) -> float:
        """TFLOP of all text encoders for one prompt."""
        return sum(tflop(partial(self._encode, part), self.networks[part]) for part in self.encoders)

    @cached_property
    def image(self) -> float:
        """TFLOP of one image; classifier-free guidance of SD 3.5 takes two passes and two prompts."""
        decoder = tflop(lambda: self.networks["vae"].decode(empty(1, 16, LATENT, LATENT)))
        passes = 1 if self.is_flux else 2
        return passes * (self.suite.backbone.steps * self.forward + self.text_encoding) + decoder

    @property
    def image_seconds(self) -> float:
        return self.image / GENERATION

    # Training

    @cached_property
    def fits(self) -> dict[str, Fit]:
        """The rows that are fitted."""
        methods = {label: self._method(label, dict(own)) for label, own in self.suite.methods.items()}
        return {
            label: self._fit(method)
            for label, method in methods.items()
            if isinstance(method, DreamBoothLora | TextualInversion)
        }

    def _method(self, label: str, own: dict[str, Any]) -> object:
        return make(own.pop("base", label), own)

    def _fit(self, method: DreamBoothLora | TextualInversion) -> Fit:
        assert method.gradient_checkpointing
        batches = method.steps * method.accumulation
        encoder = tflop(lambda: self.networks["vae"].encode(empty(1, 3, SIDE, SIDE)))
        images, class_images, trained, texts = method.batch, 0, 0, self.encoders
        if isinstance(method, DreamBoothLora):
            if method.prior_weight:
                images, class_images = 2 * images, method.class_pictures
            texts = [part for part in self.encoders if method.text_encoder and not self._is_t5(part)]
            trained = method.rank * sum(self._lora(part) for part in ("transformer", *texts))
        # Forward, again by checkpointing, and backward, where frozen weights need no gradient of their own.
        # Text features are cached unless the encoders are trained. DreamBooth has no backward pass through
        # T5, which takes most of the operations for text.
        text_passes = 1 if isinstance(method, DreamBoothLora) else 2
        passes = images * (3 * self.forward + (text_passes * self.text_encoding if texts else 0.0))
        kept, block = self.activations
        activations = images * (kept + block + sum(self._saved[part] for part in texts))
        return Fit(batches * (passes + method.batch * encoder), trained, activations, class_images)

    def _lora(self, part: str) -> int:
        """Parameters of LoRA of rank 1."""
        family = flux.Flux if self.is_flux else stable_diffusion_3.StableDiffusion3
        targets = family.lora_targets if part == "transformer" else TEXT_TARGETS
        layers = [
            layer
            for name, layer in self.networks[part].named_modules()
            if isinstance(layer, nn.Linear) and any(f".{name}".endswith(f".{target}") for target in targets)
        ]
        return sum(layer.in_features + layer.out_features for layer in layers)

    @cached_property
    def activations(self) -> tuple[float, float]:
        """As of `transformer_activations`, for one image without a context."""
        network = self.networks["transformer"]
        return published.transformer_activations(network, lambda: network(**self._inputs(context=False)))

    @cached_property
    def _saved(self) -> dict[str, float]:
        """Gigabytes that each text encoder keeps for one prompt."""
        return {
            part: published.saved_gigabytes(self.networks[part], partial(self._encode, part))
            for part in self.encoders
        }

    @cached_property
    def adapters(self) -> dict[str, AdapterTraining]:
        """The trainings of adapters, once for all people, by the name of their weights."""
        inputs = self._inputs(context=False)
        text = inputs["encoder_hidden_states"].numel() + inputs["pooled_projections"].numel()
        image = adapter_training.Image(self.forward, sum(self.activations), 16 * LATENT**2, text)
        return adapter_training.trainings(self.suite.needs.sources, self.networks["transformer"], image)

    # Inputs

    def _is_t5(self, part: str) -> bool:
        return published.is_t5(self.networks[part])

    @property
    def _t5_tokens(self) -> int:
        return flux.T5_TOKENS if self.is_flux else stable_diffusion_3.T5_TOKENS

    def _encode(self, part: str) -> object:
        """Encode one prompt, padded as in the pipeline."""
        tokens = self._t5_tokens if self._is_t5(part) else CLIP_TOKENS
        return self.networks[part](torch.zeros(1, tokens, dtype=torch.long, device="meta"))

    def _inputs(self, *, context: bool = True) -> dict[str, Tensor]:
        """The transformer's inputs for one image; Kontext's context is about as large as the image."""
        if not self.is_flux:
            return {
                "hidden_states": empty(1, 16, LATENT, LATENT),
                "encoder_hidden_states": empty(1, CLIP_TOKENS + self._t5_tokens, 4096),
                "pooled_projections": empty(1, 2048),
                "timestep": empty(1),
            }
        tokens = (LATENT // 2) ** 2 * (2 if self.has_context and context else 1)
        return {
            "hidden_states": empty(1, tokens, 64),
            "encoder_hidden_states": empty(1, self._t5_tokens, 4096),
            "pooled_projections": empty(1, 768),
            "timestep": empty(1),
            "guidance": empty(1),
            "img_ids": empty(tokens, 3),
            "txt_ids": empty(self._t5_tokens, 3),
        }

    # Sums

    @property
    def weights(self) -> float:
        """Gigabytes of all networks in bf16."""
        return sum(map(gigabytes, self.networks.values()))

    @property
    def memory(self) -> dict[str, float]:
        """Gigabytes of GPU memory by the state of the run."""
        rows = self.suite.backbone.batch * (1 if self.is_flux else 2) * (2 if self.has_context else 1)
        # Sampling needs one block in bf16. The decoder, for one image at a time, has residual blocks of 256
        # channels at full size: input, normalised, both convolutions, output.
        sampling = max(rows * self.activations[1] / 2, 5 * 256 * SIDE**2 * 2 / 1e9)
        training = max((fit.memory for fit in self.fits.values()), default=0.0)
        # One network at a time is on the GPU; training encoders or embeddings excludes it.
        largest = max(map(gigabytes, self.networks.values()))
        adapters = {
            f"training of {name}": self.weights + training.memory for name, training in self.adapters.items()
        }
        return {
            **adapters,
            "sampling": self.weights + sampling,
            "training": self.weights + training,
            "sampling with cpu_offload": largest + sampling,
        }

    @property
    def images(self) -> int:
        """Images per row."""
        prompts = self.suite.prompts
        each = (len(self.suite.shared_prompts) + prompts.recaptions) * self.suite.samples + prompts.priors
        return self.people * each * self.suite.fits

    @property
    def rows(self) -> int:
        """Number of rows whose images the backbone generates."""
        return len(set(self.suite.rows or ()) - {NOT_GENERATED})

    @property
    def disk(self) -> float:
        """Gigabytes of the run folder: images and stored weights."""
        images = self.rows * self.images * SIDE**2 * PNG_BYTES / 1e9
        return images + self.people * sum(fit.file for fit in self.fits.values())

    @property
    def features(self) -> float:
        """Gigabytes of the features that the trainings of adapters share."""
        return max((training.disk for training in self.adapters.values()), default=0.0)

    @property
    def hours(self) -> dict[str, float]:
        class_images = max((fit.class_images for fit in self.fits.values()), default=0)
        return {
            "generation": self.rows * self.images * self.image_seconds / 3600,
            "class images": class_images * self.image_seconds / 3600,
            "fitting": self.people * sum(fit.seconds for fit in self.fits.values()) / 3600,
        }


def summary(count: Count) -> str:
    """Return the numbers as lines of text."""
    lines = [count.suite.name]
    for part, network in count.networks.items():
        lines.append(f"  {part}: {published.parameters(network):,} parameters, {gigabytes(network):.2f} GB")
    lines.append(f"  weights {count.weights:.1f} GB; one pass {count.forward:.1f} TFLOP")
    lines.append(f"  one image {count.image:.0f} TFLOP, {count.image_seconds:.1f} s")
    lines.append(f"  {count.images} images per row, {count.rows} generating rows")
    for label, fit in count.fits.items():
        lines.append(
            f"  {label}: {fit.tflop / 1000:.0f} PFLOP, {fit.seconds / 60:.0f} min per person, "
            f"{fit.memory:.1f} GB beside the weights, {fit.file * 1000:.0f} MB stored"
        )
    for label, training in count.adapters.items():
        lines.append(
            f"  {label}: {training.parameters:,} parameters, {training.photographs:,} photographs, "
            f"{training.hours(TRAINING):.1f} h once, at most {training.disk:.0f} GB of features"
        )
    lines += [f"  memory, {state}: {size:.1f} GB" for state, size in count.memory.items()]
    lines += [f"  {phase}: {hours:.1f} h" for phase, hours in count.hours.items()]
    lines.append(f"  run folder {count.disk:.1f} GB; {sum(count.hours.values()):.1f} hours")
    return "\n".join(lines)


if __name__ == "__main__":
    for name in NETWORKS:
        sys.stdout.write(f"{summary(Count(name))}\n")
