"""The trainable modules of an IP-Adapter for Stable Diffusion 3, and their published tensor names."""

from __future__ import annotations

from typing import Any, Final

import torch
import torch.nn.functional as F
from diffusers.models.attention_processor import SD3IPAdapterJointAttnProcessor2_0
from diffusers.models.embeddings import IPAdapterTimeImageProjection
from torch import Tensor, nn

from methods.backbone.attention.interface import AdapterAttention
from methods.backbone.attention.joint import OWN, JointAttention
from methods.ip_adapter.checkpoint import PublishedAdapter
from methods.ip_adapter.trainable_adapter import copy_published

HEAD: Final = 64
"""Width of a head of the Resampler, which diffusers' loader assumes."""
RESAMPLER_NAMES: Final = {
    "ln0": "0.norm1",
    "ln1": "0.norm2",
    "attn.to_q": "0.to_q",
    "attn.to_kv": "0.to_kv",
    "attn.to_out.0": "0.to_out",
    "adaln_norm": "1.0",
    "ff.net.0.proj": "1.1",
    "ff.net.2": "1.3",
    "adaln_proj": "2.1",
}
"""Published names of the modules of a Resampler's layer, by diffusers'."""


class TrainableJointAdapter(nn.Module):
    """The Resampler, which also reads the timestep, and the keys and values of every joint attention."""

    def __init__(self, attention: JointAttention, *, patch_width: int, tokens: int, hidden: int) -> None:
        super().__init__()
        self.projection = IPAdapterTimeImageProjection(
            embed_dim=patch_width,
            output_dim=attention.width,
            hidden_dim=hidden,
            heads=hidden // HEAD,
            num_queries=tokens,
        )
        self.names = attention.processor_names
        self.layers = nn.ModuleList(_layer(attention, name, hidden) for name in self.names)

    def attach(self, attention: AdapterAttention) -> None:
        """Attach the modules to the transformer as diffusers' loader does."""
        attention.attach(dict(zip(self.names, self.layers, strict=True)), self.projection)

    def image_tokens(self, images: Tensor, t: Tensor) -> Tensor:
        """The tokens (B, T, D) of patch tokens (B, L, E) at the timesteps t (B,)."""
        tokens: Tensor = self.projection(images, t)[0]
        return tokens

    def set_scale(self, scale: float) -> None:
        """Set the weight of the image tokens; 1 initially."""
        for layer in self.layers:
            layer.scale = scale  # type: ignore[assignment]  # torch types every attribute as a module

    def published(self) -> dict[str, Tensor]:
        """Tensors by their published names: `image_proj.*`, `ip_adapter.{0,1,2,..}.to_k_ip.weight`."""
        state = {
            f"image_proj.{_published(name)}": value for name, value in self.projection.state_dict().items()
        }
        for index, layer in enumerate(self.layers):
            state |= {f"ip_adapter.{index}.{name}": value for name, value in layer.state_dict().items()}
        return state

    def load_matching_weights(self, stored: PublishedAdapter) -> None:
        """Copy the weights of a published file; raises MethodError if its layout or shapes differ."""
        copy_published(stored, self.published())


class _JointLayer(SD3IPAdapterJointAttnProcessor2_0):  # type: ignore[misc]  # diffusers is untyped
    """diffusers' layer in operations whose backward pass is fast on every attention kernel.

    diffusers' own needs the flash kernel, whose backward pass on a CPU takes longer than all the rest.
    """

    def __call__(
        self,
        attn: Any,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        ip_hidden_states: Tensor | None = None,
        temb: Tensor | None = None,
    ) -> Any:
        # By name: diffusers passes on only what the signature has.
        result = OWN(attn, hidden_states, encoder_hidden_states, attention_mask)
        if ip_hidden_states is None or self.scale == 0:
            return result
        latents, *text = result if isinstance(result, tuple) else (result,)
        image = self._image_attention(attn, hidden_states, self.norm_ip(ip_hidden_states, temb=temb))
        # `to_out` is linear: its bias has been added.
        latents = latents + self.scale * F.linear(image, attn.to_out[0].weight)
        return (latents, *text) if text else latents

    def _image_attention(self, attn: Any, latents: Tensor, image: Tensor) -> Tensor:
        """Attention of the latents' queries (B, S, D) to the latents and the image tokens: (B, S, D)."""

        def heads(projected: Tensor) -> Tensor:
            split: Tensor = projected.unflatten(2, (attn.heads, -1))
            return split.transpose(1, 2)

        queries = self.norm_q(heads(attn.to_q(latents)))
        keys = [self.norm_k(heads(attn.to_k(latents))), self.norm_ip_k(heads(self.to_k_ip(image)))]
        values = [heads(attn.to_v(latents)), heads(self.to_v_ip(image))]
        attended: Tensor = F.scaled_dot_product_attention(queries, torch.cat(keys, 2), torch.cat(values, 2))
        return attended.transpose(1, 2).flatten(2)


def _layer(attention: JointAttention, name: str, hidden: int) -> _JointLayer:
    """A layer that starts with the backbone's own keys, values and norms."""
    module = attention.module(name)
    head = module.to_q.out_features // module.heads
    layer = _JointLayer(attention.width, attention.width, head, hidden, scale=1.0)
    with torch.no_grad():
        layer.to_k_ip.weight.copy_(module.to_k.weight)
        layer.to_v_ip.weight.copy_(module.to_v.weight)
        for own, norm in ((layer.norm_q, module.norm_q), (layer.norm_k, module.norm_k)):
            if norm is not None:
                own.weight.copy_(norm.weight)
    return layer


def _published(name: str) -> str:
    if not name.startswith("layers."):
        return name
    _, number, rest = name.split(".", 2)
    module, _, tensor = rest.rpartition(".")
    return f"layers.{number}.{RESAMPLER_NAMES[module]}.{tensor}"
