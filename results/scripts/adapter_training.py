"""Counts time, memory and disk of the adapters that a suite's commands train.

The commands are those of `[needs.sources]`: `bench train ip-adapter` and `bench train loo`.
"""

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, Final

import network_costs as costs
from diffusers import SD3Transformer2DModel
from torch import nn

from methods.backbone.attention.double_blocks import DoubleBlockAttention
from methods.backbone.attention.joint import JointAttention
from methods.ip_adapter.trainable_double_blocks import TrainableDoubleBlockAdapter
from methods.ip_adapter.trainable_joint import TrainableJointAdapter
from methods.leave_one_out.network import LeaveOneOutNetwork, NetworkConfig
from methods.leave_one_out.objective import Objective
from methods.leave_one_out.training import LeaveOneOutTraining

IP_ADAPTER: Final = "bench train ip-adapter "
LEAVE_ONE_OUT: Final = "bench train loo "
PHOTOS: Final = 20
"""Photographs of a person in CelebA, on average."""
SENTENCES: Final = 4
"""Captions per photograph at most: two of it and two of its mirror image."""
SIGLIP: Final = {"width": 1152, "tokens": 27**2}
"""Patch tokens of siglip-so400m-patch14-384."""
CLIP: Final = {"width": 1024, "tokens": 16**2 + 1, "embedding": 768}
"""Patch tokens and projected embedding of clip-vit-large-patch14."""
VALIDATION: Final = 2 * 64
"""Images of a batch in validation: with the adapter and without."""
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
        return costs.parameters(self._built)

    @property
    def file(self) -> float:
        """Gigabytes of the weights, in half precision."""
        return self.parameters * 2 / 1e9

    @property
    def photographs(self) -> int:
        """Target photographs of all steps together."""
        return int(self.options["steps"]) * int(self.options["batch"])

    def hours(self, speed: float) -> float:
        """Forward, again by checkpointing, and backward, and forward in validation; `speed` in TFLOP/s."""
        assert "gradient-checkpointing" in self.options
        validations = int(self.options["steps"]) // LeaveOneOutTraining.validate_every
        batches = 2 * validations + 8
        forward = 3 * self.photographs + VALIDATION * batches
        return forward * self.image.forward / speed / 3600

    @property
    def memory(self) -> float:
        """Gigabytes beside the frozen weights, without the adapter's layers in the block that is computed."""
        rows = int(self.options["batch"]) // int(self.options["accumulate"])
        each = self.image.activations + self._own_activations
        return self.parameters * BYTES_PER_WEIGHT / 1e9 + rows * each

    @property
    def disk(self) -> float:
        """Gigabytes of features in half precision, with those of the mirror images, at most."""
        patches = self._encoder["width"] * self._encoder["tokens"] + self._encoder.get("embedding", 0)
        each = 2 * (patches + self.image.latents) + SENTENCES * self.image.text
        return int(self.options["people"]) * PHOTOS * each * 2 / 1e9

    @property
    def is_leave_one_out(self) -> bool:
        """Whether it trains an aggregator, not an IP-Adapter."""
        return "aggregator" in self.options

    @property
    def _is_joint(self) -> bool:
        return isinstance(self.network, SD3Transformer2DModel)

    @property
    def _encoder(self) -> dict[str, int]:
        return SIGLIP if self._is_joint else CLIP

    @property
    def _own_activations(self) -> float:
        """Gigabytes that an aggregator keeps for one row with the largest set of photographs, in fp32."""
        if not self.is_leave_one_out:
            return 0.0
        network, photographs = self._built, Objective().largest_set
        patches = costs.empty(1, photographs, self._encoder["tokens"], self._encoder["width"])
        captions = costs.empty(1, photographs, network.config.caption_width)
        mask = costs.empty(1, photographs).bool()
        return costs.saved_gigabytes(
            network,
            lambda: network.aggregate(network.tokens_of(patches), captions, captions[:, 0], mask),
        )

    @property
    def _built(self) -> Any:
        return costs.build({"": self._module})[""]

    def _module(self) -> nn.Module:
        pipe = SimpleNamespace(transformer=self.network)
        tokens = int(self.options["tokens"])
        attention = JointAttention(pipe) if self._is_joint else DoubleBlockAttention(pipe)
        if self.is_leave_one_out:
            return LeaveOneOutNetwork(self._config(attention.token_width), attention)
        if isinstance(attention, JointAttention):
            hidden = int(self.options["hidden"])
            return TrainableJointAdapter(attention, patch_width=SIGLIP["width"], tokens=tokens, hidden=hidden)
        return TrainableDoubleBlockAdapter(attention, embedding_width=CLIP["embedding"], tokens=tokens)

    def _config(self, width: int) -> NetworkConfig:
        sizes = {name: int(self.options[name]) for name in ("tokens", "hidden", "depth")}
        return NetworkConfig(
            self.options["aggregator"],
            patch_width=self._encoder["width"],
            caption_width=self.network.config.pooled_projection_dim,
            width=width,
            **sizes,
        )


def trainings(sources: Mapping[str, str], network: Any, image: Image) -> dict[str, AdapterTraining]:
    """The trainings among the commands of `[needs.sources]`, by the name of their weights."""
    found = {}
    for text in sources.values():
        for command in (IP_ADAPTER, LEAVE_ONE_OUT):
            if text.startswith(command):
                options = _options(text.partition(" (")[0].removeprefix(command))
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
