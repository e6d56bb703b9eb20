"""The networks of SD 3.5 medium and FLUX.1 in their published sizes, without weights, and their costs."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any, Final

import torch
from torch import Tensor, nn

from bench.torchvision_compat import ensure_torchvision_imports

ensure_torchvision_imports()
from diffusers import AutoencoderKL, FluxTransformer2DModel, SD3Transformer2DModel
from torch.utils.flop_counter import FlopCounterMode
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    T5Config,
    T5EncoderModel,
)

SIDE: Final = 1024
"""Side of an image in pixels."""
LONG: Final = 1000
"""Tokens from which an attention matrix is one of images, which fused kernels do not store."""

SD35_MEDIUM: Final[dict[str, Any]] = {
    "attention_head_dim": 64,
    "caption_projection_dim": 1536,
    "dual_attention_layers": list(range(13)),
    "in_channels": 16,
    "joint_attention_dim": 4096,
    "num_attention_heads": 24,
    "num_layers": 24,
    "out_channels": 16,
    "patch_size": 2,
    "pooled_projection_dim": 2048,
    "pos_embed_max_size": 384,
    "qk_norm": "rms_norm",
    "sample_size": 128,
}
FLUX_DEV: Final[dict[str, Any]] = {
    "attention_head_dim": 128,
    "axes_dims_rope": (16, 56, 56),
    "guidance_embeds": True,
    "in_channels": 64,
    "joint_attention_dim": 4096,
    "num_attention_heads": 24,
    "num_layers": 19,
    "num_single_layers": 38,
    "patch_size": 1,
    "pooled_projection_dim": 768,
}
VAE: Final[dict[str, Any]] = {
    "block_out_channels": [128, 256, 512, 512],
    "down_block_types": ["DownEncoderBlock2D"] * 4,
    "up_block_types": ["UpDecoderBlock2D"] * 4,
    "latent_channels": 16,
    "layers_per_block": 2,
    "sample_size": SIDE,
    "use_post_quant_conv": False,
    "use_quant_conv": False,
}
CLIP_L: Final[dict[str, Any]] = {
    "hidden_size": 768,
    "intermediate_size": 3072,
    "num_attention_heads": 12,
    "num_hidden_layers": 12,
    "projection_dim": 768,
    "vocab_size": 49408,
}
CLIP_G: Final[dict[str, Any]] = {
    "hidden_act": "gelu",
    "hidden_size": 1280,
    "intermediate_size": 5120,
    "num_attention_heads": 20,
    "num_hidden_layers": 32,
    "projection_dim": 1280,
    "vocab_size": 49408,
}
T5_XXL: Final[dict[str, Any]] = {
    "d_ff": 10240,
    "d_kv": 64,
    "d_model": 4096,
    "feed_forward_proj": "gated-gelu",
    "num_heads": 64,
    "num_layers": 24,
    "vocab_size": 32128,
}

SD3: Final[Mapping[str, Callable[[], nn.Module]]] = {
    "transformer": lambda: SD3Transformer2DModel(**SD35_MEDIUM),
    "vae": lambda: AutoencoderKL(**VAE),
    "text_encoder": lambda: CLIPTextModelWithProjection(CLIPTextConfig(**CLIP_L)),
    "text_encoder_2": lambda: CLIPTextModelWithProjection(CLIPTextConfig(**CLIP_G)),
    "text_encoder_3": lambda: T5EncoderModel(T5Config(**T5_XXL)),
}
FLUX: Final[Mapping[str, Callable[[], nn.Module]]] = {
    "transformer": lambda: FluxTransformer2DModel(**FLUX_DEV),
    "vae": lambda: AutoencoderKL(**VAE),
    "text_encoder": lambda: CLIPTextModel(CLIPTextConfig(**CLIP_L)),
    "text_encoder_2": lambda: T5EncoderModel(T5Config(**T5_XXL)),
}
"""The networks by their folders. FLUX.1 Kontext has the sizes of FLUX.1 dev."""


def build(networks: Mapping[str, Callable[[], nn.Module]]) -> dict[str, Any]:
    """Build the networks without memory for their weights."""
    with torch.device("meta"):
        return {part: make_network() for part, make_network in networks.items()}


def empty(*shape: int) -> Tensor:
    return torch.empty(*shape, device="meta")


def is_t5(network: nn.Module) -> bool:
    return isinstance(network, T5EncoderModel)


def parameters(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


def gigabytes(network: nn.Module) -> float:
    """Weights and buffers in bf16."""
    return 2 * (parameters(network) + sum(b.numel() for b in network.buffers())) / 1e9


def tflop(call: Callable[[], object], transformer: nn.Module | None = None) -> float:
    """Count the operations of a call, a multiplication and an addition as two.

    Equal blocks of `transformer` run once and are multiplied.
    """
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        if transformer is not None:
            return extrapolated(transformer, call, counter.get_total_flops) / 1e12
        call()
        return counter.get_total_flops() / 1e12


@contextmanager
def distinct_blocks(network: nn.Module) -> Iterator[dict[nn.Module, int]]:
    """Leave one of the equal blocks in every list of blocks; yields the number of each.

    Even on the meta device a block takes 50 ms. In a transformer, equal blocks have inputs of one shape and
    so the same costs.
    """
    lists = [
        (parent, name, blocks)
        for parent in network.modules()
        for name, blocks in parent.named_children()
        if isinstance(blocks, nn.ModuleList) and len({repr(block) for block in blocks}) < len(blocks)
    ]
    numbers: dict[nn.Module, int] = {}
    for parent, name, blocks in lists:
        count = Counter(map(repr, blocks))
        first = {repr(block): block for block in reversed(blocks)}
        kept = sorted(first.values(), key=list(blocks).index)
        numbers |= {block: count[repr(block)] for block in kept}
        setattr(parent, name, nn.ModuleList(kept))
    try:
        yield numbers
    finally:
        for parent, name, blocks in lists:
            setattr(parent, name, blocks)


def extrapolated(network: nn.Module, call: Callable[[], object], reading: Callable[[], float]) -> float:
    """Return what a cumulative `reading` would be after a call that runs all of the equal blocks."""
    starts: list[float] = []
    rest = 0.0

    def before(*_: object) -> None:
        starts.append(reading())

    with distinct_blocks(network) as numbers, ExitStack() as hooks:

        def after(block: nn.Module, *_: object) -> None:
            nonlocal rest
            rest += (numbers[block] - 1) * (reading() - starts[-1])

        for block in numbers:
            hooks.callback(block.register_forward_pre_hook(before).remove)
            hooks.callback(block.register_forward_hook(after).remove)
        call()
    return reading() + rest


class SavedTensors(torch.autograd.graph.saved_tensors_hooks):
    """Context that records what autograd keeps for the backward pass."""

    def __init__(self) -> None:
        self.found: dict[int, Tensor] = {}
        super().__init__(self._keep, lambda tensor: tensor)

    def _keep(self, tensor: Tensor) -> Tensor:
        # Views of one storage count once.
        self.found[tensor.untyped_storage()._cdata] = tensor
        return tensor

    def gigabytes(self, network: nn.Module) -> float:
        """Gigabytes in fp32 without the network's weights and without attention matrices of images."""
        weights = {p.untyped_storage()._cdata for p in network.parameters()}
        kept = [t for key, t in self.found.items() if key not in weights]
        stored = [t for t in kept if t.dim() < 3 or min(t.shape[-2:]) < LONG or t.shape[-1] != t.shape[-2]]
        return sum(t.untyped_storage().nbytes() for t in stored) / 1e9


def saved_gigabytes(network: nn.Module, call: Callable[[], object]) -> float:
    """Gigabytes in fp32 that a call of the network keeps for its backward pass."""
    found = SavedTensors()
    with found:
        return extrapolated(network, call, lambda: found.gigabytes(network))


def transformer_activations(network: nn.Module, call: Callable[[], object]) -> tuple[float, float]:
    """Gigabytes in fp32 with gradient checkpointing: inputs of all blocks, and the largest block's own."""
    kept: list[float] = []
    saved: list[SavedTensors] = []

    def after(*_: object) -> None:
        saved[-1].__exit__()

    with distinct_blocks(network) as numbers, ExitStack() as hooks:

        def before(block: nn.Module, args: tuple[Any, ...], named: dict[str, Any]) -> None:
            tensors = [value for value in (*args, *named.values()) if isinstance(value, Tensor)]
            kept.append(numbers[block] * sum(tensor.numel() * 4 for tensor in tensors) / 1e9)
            saved.append(SavedTensors())
            saved[-1].__enter__()

        for block in numbers:
            hooks.callback(block.register_forward_pre_hook(before, with_kwargs=True).remove)
            hooks.callback(block.register_forward_hook(after).remove)
        call()
    return sum(kept), max(found.gigabytes(network) for found in saved)
