"""Counts time, memory and disk of the adapters that a suite's commands train (`bench train ip-adapter`)."""

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, Final

import published_networks as published
from torch import nn

from methods.backbone.attention.double_blocks import DoubleBlockAttention
from methods.backbone.attention.joint import JointAttention
from methods.ip_adapter.trainable_double_blocks import TrainableDoubleBlockAdapter
from methods.ip_adapter.trainable_joint import TrainableJointAdapter

COMMAND: Final = "bench train ip-adapter "
PHOTOS: Final = 20
"""Photographs of a person in CelebA, on average."""
SENTENCES: Final = 4
"""Captions per photograph at most: two of it and two of its mirror image."""
SIGLIP: Final = {"width": 1152, "tokens": 27**2}
"""Patch tokens of siglip-so400m-patch14-384."""
CLIP: Final = {"width": 1024, "tokens": 16**2 + 1, "embedding": 768}
"""Patch tokens and projected embedding of clip-vit-large-patch14."""
BYTES_PER_WEIGHT: Final = 20
"""In fp32: weight, gradient, AdamW's two moments and the moving average."""


@dataclass(frozen=True)
class Image:
    """Costs of the frozen networks for one image of a suite."""

    forward: float
    """TFLOP of the transformer."""
    activations: float
    """Gigabytes with gradient checkpointing, every tensor in fp32: an upper bound."""
    latents: int
    """Numbers of its latents."""
    text: int
    """Numbers of the features of its caption."""


@dataclass(frozen=True)
class AdapterTraining:
    """One training by its command in `[needs.sources]`."""

    options: Mapping[str, str]
    network: Any
    """The transformer, without memory for its weights."""
    image: Image

    @property
    def parameters(self) -> int:
        """Number of trained parameters."""
        return published.parameters(published.build({"": self._module})[""])

    @property
    def photographs(self) -> int:
        """Target photographs of all steps together."""
        return int(self.options["steps"]) * int(self.options["batch"])

    def hours(self, speed: float) -> float:
        """Forward, again by checkpointing, and backward; `speed` in TFLOP/s."""
        assert "gradient-checkpointing" in self.options
        return 3 * self.photographs * self.image.forward / speed / 3600

    @property
    def memory(self) -> float:
        """Gigabytes beside the frozen weights."""
        rows = int(self.options["batch"]) / int(self.options["accumulate"])
        return self.parameters * BYTES_PER_WEIGHT / 1e9 + rows * self.image.activations

    @property
    def disk(self) -> float:
        """Gigabytes of features in half precision, with those of the mirror images, at most."""
        encoder = SIGLIP if self._is_joint else CLIP
        patches = encoder["width"] * encoder["tokens"] + encoder.get("embedding", 0)
        each = 2 * (patches + self.image.latents) + SENTENCES * self.image.text
        return int(self.options["people"]) * PHOTOS * each * 2 / 1e9

    @property
    def _is_joint(self) -> bool:
        return self.options["layout"] == "time-resampler"

    def _module(self) -> nn.Module:
        pipe = SimpleNamespace(transformer=self.network)
        tokens = int(self.options["tokens"])
        if self._is_joint:
            hidden = int(self.options["hidden"])
            joint = JointAttention(pipe)
            return TrainableJointAdapter(joint, patch_width=SIGLIP["width"], tokens=tokens, hidden=hidden)
        double = DoubleBlockAttention(pipe)
        return TrainableDoubleBlockAdapter(double, embedding_width=CLIP["embedding"], tokens=tokens)


def trainings(sources: Mapping[str, str], network: Any, image: Image) -> dict[str, AdapterTraining]:
    """The trainings among the commands of `[needs.sources]`, by the name of their weights."""
    found = {}
    for text in sources.values():
        if text.startswith(COMMAND):
            options = _options(text.partition(" (")[0].removeprefix(COMMAND))
            found[options["name"]] = AdapterTraining(options, network, image)
    return found


def _options(command: str) -> dict[str, str]:
    """`--steps 9 --gradient-checkpointing` by name; a flag's value is empty."""
    options: dict[str, str] = {}
    name = ""
    for word in shlex.split(command):
        if word.startswith("--"):
            name = word.removeprefix("--")
            options[name] = ""
        else:
            options[name] = word
    return options
