"""The networks of SD 3.5 medium, FLUX.1 and FLUX.2 klein in their published sizes."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from torch import nn

from bench.torchvision_compat import ensure_torchvision_imports

ensure_torchvision_imports()
from diffusers import (
    AutoencoderKL,
    AutoencoderKLFlux2,
    Flux2Transformer2DModel,
    FluxTransformer2DModel,
    SD3Transformer2DModel,
)
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    Qwen3Config,
    Qwen3ForCausalLM,
    T5Config,
    T5EncoderModel,
)

SIDE: Final = 1024
"""Side of an image in pixels."""

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
# diffusers scripts/convert_flux2_to_diffusers.py, `klein-4b`, and black-forest-labs/flux2, Klein4BParams. The
# base model and the distilled one have the same sizes.
FLUX2_KLEIN_4B: Final[dict[str, Any]] = {
    "attention_head_dim": 128,
    "axes_dims_rope": (32, 32, 32, 32),
    "guidance_embeds": False,
    "in_channels": 128,
    "joint_attention_dim": 7680,
    "mlp_ratio": 3.0,
    "num_attention_heads": 24,
    "num_layers": 5,
    "num_single_layers": 20,
    "patch_size": 1,
}
# Qwen/Qwen3-4B, of which the transformer reads three layers.
QWEN3_4B: Final[dict[str, Any]] = {
    "head_dim": 128,
    "hidden_size": 2560,
    "intermediate_size": 9728,
    "num_attention_heads": 32,
    "num_hidden_layers": 36,
    "num_key_value_heads": 8,
    "tie_word_embeddings": True,
    "vocab_size": 151936,
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
FLUX2: Final[Mapping[str, Callable[[], nn.Module]]] = {
    "transformer": lambda: Flux2Transformer2DModel(**FLUX2_KLEIN_4B),
    # diffusers' defaults are the published configuration.
    "vae": lambda: AutoencoderKLFlux2(),
    "text_encoder": lambda: Qwen3ForCausalLM(Qwen3Config(**QWEN3_4B)),
}
"""The networks by their folders. FLUX.1 Kontext has the sizes of FLUX.1 dev."""
