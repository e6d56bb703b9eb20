"""The trainable modules of an IP-Adapter, and their published tensor names."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from diffusers.models.attention_processor import IPAdapterAttnProcessor2_0
from diffusers.models.embeddings import ImageProjection, MultiIPAdapterImageProjection
from torch import Tensor, nn

from methods.backbone.attention.interface import AdapterAttention
from methods.backbone.attention.unet import UNetAttention
from methods.encoders.resampler import published, published_base
from methods.errors import MethodError
from methods.ip_adapter.checkpoint import PublishedAdapter


class ProjectedAdapter(nn.Module):
    """A projection whose tokens do not depend on the timestep, and the layers that read them, by name."""

    projection: nn.Module
    names: list[str]
    layers: nn.ModuleList

    def attach(self, attention: AdapterAttention) -> None:
        """Attach the modules to the backbone as diffusers' loader does."""
        placed = dict(zip(self.names, self.layers, strict=True))
        attention.attach(placed, MultiIPAdapterImageProjection([self.projection]))

    def image_tokens(self, images: Tensor, t: Tensor) -> Tensor:
        """The tokens (B, T, D) of the encoder's outputs; they do not depend on the timesteps."""
        tokens: Tensor = self.projection(images)
        return tokens

    def set_scale(self, scale: float) -> None:
        """Set the weight of the image tokens; 1 initially."""
        for layer in self.layers:
            layer.scale = [scale]  # type: ignore[assignment]  # torch types every attribute as a module


class TrainableAdapter(ProjectedAdapter):
    """The image projection, and the keys and values of every cross-attention layer."""

    def __init__(self, attention: UNetAttention, projection: nn.Module, tokens: int) -> None:
        super().__init__()
        self.projection = projection
        self.names = list(attention.cross_attention)
        self.layers = nn.ModuleList()
        for module in attention.cross_attention.values():
            key, value = module.to_k, module.to_v
            layer = IPAdapterAttnProcessor2_0(key.out_features, key.in_features, num_tokens=(tokens,))
            with torch.no_grad():
                layer.to_k_ip[0].weight.copy_(key.weight)
                layer.to_v_ip[0].weight.copy_(value.weight)
            self.layers.append(layer)

    def published(self) -> dict[str, Tensor]:
        """Tensors by their published names: `image_proj.*`, `ip_adapter.{1,3,5,..}.to_k_ip.weight`."""
        state = {f"image_proj.{k}": v for k, v in self._renamed(self.projection.state_dict()).items()}
        for index, layer in enumerate(self.layers):
            for name, value in layer.state_dict().items():
                # `to_k_ip.0.weight`: diffusers numbers the adapters, published files contain one.
                state[f"ip_adapter.{2 * index + 1}.{name.replace('.0.', '.')}"] = value
        return state

    @torch.no_grad()
    def load_matching_weights(self, stored: PublishedAdapter) -> None:
        """Copy the weights of a published file; raises MethodError if its layout or shapes differ."""
        # Renaming can also split tensors. Indices renamed like the weights map each published number back.
        own, begin, indices = self.projection.state_dict(), 0, {}
        for name, value in own.items():
            indices[name] = torch.arange(begin, begin + value.numel()).view(value.shape)
            begin += value.numel()
        flat, published_indices = torch.empty(begin), self._renamed(indices)
        check_shapes(stored.path, published_indices, stored.image_proj)
        for name, index in published_indices.items():
            flat[index] = stored.image_proj[name].float()
        self.projection.load_state_dict({name: flat[index] for name, index in indices.items()})
        layers = ((name.partition("."), value) for name, value in self.published().items())
        weights = {name: value for (part, _, name), value in layers if part == "ip_adapter"}
        check_shapes(stored.path, weights, stored.ip_adapter)
        for name, weight in weights.items():
            weight.copy_(stored.ip_adapter[name])

    def _renamed(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        base = isinstance(self.projection, ImageProjection)
        return published_base(state) if base else published(state)


@torch.no_grad()
def copy_published(stored: PublishedAdapter, into: Mapping[str, Tensor]) -> None:
    """Copy a file's weights to tensors with the names that diffusers reads, `image_proj.*`, `ip_adapter.*`.

    Raises MethodError if names or shapes differ.
    """
    found = {f"image_proj.{name}": value for name, value in stored.image_proj.items()}
    found |= {f"ip_adapter.{name}": value for name, value in stored.ip_adapter.items()}
    check_shapes(stored.path, into, found)
    for name, value in into.items():
        value.copy_(found[name])


def check_shapes(path: Path, expected: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> None:
    """Raise MethodError, naming the first, for a tensor of another shape or in one of the two only."""
    shapes = [{name: tuple(value.shape) for name, value in state.items()} for state in (expected, found)]
    for name in sorted(shapes[0].keys() | shapes[1].keys()):
        ours, theirs = (shape.get(name, "none") for shape in shapes)
        if ours != theirs:
            raise MethodError(
                f"{path}: {name} is {theirs}, this training's is {ours}; start from a file of the same "
                "layout and tokens, made for an encoder and a backbone of these sizes"
            )
