"""Counts memory, disk and time of the suites on SD 3.5, FLUX.1 and FLUX.2 klein, as their files state them.

    python results/scripts/count_transformers.py

No published weights are needed: parameters and operations are exact, from the published configurations. The
speeds of the GPU and the size of PNG files are assumed. Kernels, cuDNN's workspaces and fragments of the
allocator are not counted.
"""

import sys
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import adapter_training
import network_costs as costs
from adapter_training import AdapterTraining
from pipeline_costs import (
    FLUX_1,
    FLUX_2_KLEIN,
    IMAGE_TOKENS,
    LATENT,
    STABLE_DIFFUSION_3,
    PipelineCosts,
)
from published_networks import SIDE

from bench.suite.suite import open_suite
from methods.catalog import make
from methods.dreambooth_lora.method import DreamBoothLora
from methods.textual_inversion.method import TextualInversion

GENERATION: Final = 100.0
"""Assumed TFLOP/s of an A100 in bf16, a third of its peak of 312."""
TRAINING: Final = 60.0
"""The same in training, with small batches."""
PNG_BYTES: Final = 2
"""Assumed bytes per pixel."""
REFERENCES: Final = 4
"""Photographs of a person that the suites' methods read."""
CELEBA_TOKENS: Final = (178 // 16) * (218 // 16)
"""Tokens of an aligned photograph of CelebA in FLUX.2's context: it is cut to multiples of 16 pixels."""
PIPELINES: Final = {
    "celeba-sd35": PipelineCosts(STABLE_DIFFUSION_3),
    "celeba-flux": PipelineCosts(FLUX_1),
    # Kontext enlarges its context to about the size of the image.
    "celeba-kontext": PipelineCosts(FLUX_1, context=IMAGE_TOKENS),
    "celeba-flux2-klein": PipelineCosts(FLUX_2_KLEIN, context=REFERENCES * CELEBA_TOKENS),
}
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
        self.pipeline = PIPELINES[name]
        self.people = self.suite.dataset.identities or 0

    @cached_property
    def image(self) -> float:
        """TFLOP of one image, with its context."""
        return self.pipeline.image(self.suite.backbone.steps)

    @property
    def image_seconds(self) -> float:
        return self.image / GENERATION

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
        pipeline = self.pipeline
        batches = method.steps * method.accumulation
        images, class_images, trained, texts = method.batch, 0, 0, pipeline.encoders
        if isinstance(method, DreamBoothLora):
            if method.prior_weight:
                images, class_images = 2 * images, method.class_pictures
            texts = [part for part in texts if method.text_encoder and not pipeline.is_t5(part)]
            trained = method.rank * sum(map(pipeline.lora_parameters, ("transformer", *texts)))
        # Forward, again by checkpointing, and backward, where frozen weights need no gradient of their own.
        # Text features are cached unless the encoders are trained. DreamBooth has no backward pass through
        # T5, which takes most of the operations for text.
        text_passes = 1 if isinstance(method, DreamBoothLora) else 2
        text = text_passes * pipeline.text_encoding if texts else 0.0
        passes = images * (3 * pipeline.training_forward + text)
        kept = images * (sum(pipeline.activations) + sum(pipeline.text_activations[part] for part in texts))
        return Fit(batches * (passes + method.batch * pipeline.image_encoding), trained, kept, class_images)

    @cached_property
    def adapters(self) -> dict[str, AdapterTraining]:
        """The trainings of adapters, once for all people, by the name of their weights."""
        pipeline = self.pipeline
        image = adapter_training.Image(
            pipeline.training_forward,
            sum(pipeline.activations),
            pipeline.pipeline.latent_channels * LATENT**2,
            pipeline.text_numbers,
        )
        network = pipeline.networks["transformer"]
        return adapter_training.trainings(self.suite.needs.sources, network, image)

    @property
    def memory(self) -> dict[str, float]:
        """Gigabytes of GPU memory by the state of the run."""
        pipeline = self.pipeline
        sampling = pipeline.sampling(self.suite.backbone.batch)
        # Training encoders or embeddings excludes `cpu_offload`.
        training = max((fit.memory for fit in self.fits.values()), default=0.0)
        adapters = {
            f"training of {name}": pipeline.weights + training.memory
            for name, training in self.adapters.items()
        }
        return {
            **adapters,
            "sampling": pipeline.weights + sampling,
            "training": pipeline.weights + training,
            "sampling with cpu_offload": pipeline.largest + sampling,
            "sampling with sequential offload": pipeline.layer + sampling,
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
    lines, pipeline = [count.suite.name], count.pipeline
    for part, network in pipeline.networks.items():
        lines.append(f"  {part}: {costs.parameters(network):,} parameters, {costs.gigabytes(network):.2f} GB")
    lines.append(f"  weights {pipeline.weights:.1f} GB; one pass {pipeline.forward:.1f} TFLOP")
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
    for name in PIPELINES:
        sys.stdout.write(f"{summary(Count(name))}\n")
