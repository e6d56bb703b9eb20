"""Folders of Stable Diffusion 1.5 and 3.5 medium in the published sizes, with random weights.

The networks are made and stored without the hub. `tiny` has the same parts with small widths, to run the
speed tests without a GPU. SD 3.5 has no T5, for which both pipelines then read zeros.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import torch
from diffusers import (
    AutoencoderKL,
    FlowMatchEulerDiscreteScheduler,
    PNDMScheduler,
    SD3Transformer2DModel,
    StableDiffusion3Pipeline,
    StableDiffusionPipeline,
    UNet2DConditionModel,
)
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    CLIPVisionConfig,
    CLIPVisionModelWithProjection,
)

from methods.backbone.backbone import Backbone
from methods.backbone.spec import BackboneSpec

Config = dict[str, Any]

DOWN, UP = "DownEncoderBlock2D", "UpDecoderBlock2D"

UNETS: Final[dict[str, Config]] = {
    "full": {
        "sample_size": 64,
        "block_out_channels": (320, 640, 1280, 1280),
        "cross_attention_dim": 768,
        # Heads, in spite of the name.
        "attention_head_dim": 8,
    },
    "tiny": {
        "sample_size": 8,
        "block_out_channels": (16, 32, 32, 32),
        "cross_attention_dim": 24,
        "attention_head_dim": 2,
        "norm_num_groups": 8,
    },
}
TRANSFORMERS: Final[dict[str, Config]] = {
    "full": {
        "sample_size": 128,
        "num_layers": 24,
        "attention_head_dim": 64,
        "num_attention_heads": 24,
        "joint_attention_dim": 4096,
        "caption_projection_dim": 1536,
        "pooled_projection_dim": 768 + 1280,
        "pos_embed_max_size": 384,
        "dual_attention_layers": tuple(range(13)),
    },
    "tiny": {
        "sample_size": 16,
        "num_layers": 2,
        "attention_head_dim": 16,
        "num_attention_heads": 4,
        "joint_attention_dim": 72,
        "caption_projection_dim": 64,
        "pooled_projection_dim": 24 + 40,
        "pos_embed_max_size": 24,
        "dual_attention_layers": (0,),
    },
}
CLIP_L: Final[dict[str, Config]] = {
    "full": {
        "hidden_size": 768,
        "intermediate_size": 3072,
        "num_hidden_layers": 12,
        "num_attention_heads": 12,
        "projection_dim": 768,
    },
    "tiny": {
        "hidden_size": 24,
        "intermediate_size": 48,
        "num_hidden_layers": 3,
        "num_attention_heads": 3,
        "projection_dim": 24,
    },
}
OPENCLIP_G: Final[dict[str, Config]] = {
    "full": {
        "hidden_size": 1280,
        "intermediate_size": 5120,
        "num_hidden_layers": 32,
        "num_attention_heads": 20,
        "projection_dim": 1280,
        "hidden_act": "gelu",
    },
    "tiny": {**CLIP_L["tiny"], "hidden_size": 40, "num_attention_heads": 4, "projection_dim": 40},
}
CLIP_VISION: Final[dict[str, Config]] = {
    # OpenCLIP's ViT-H/14, the encoder of the published IP-Adapters for SD 1.5.
    "full": {
        "hidden_size": 1280,
        "intermediate_size": 5120,
        "num_hidden_layers": 32,
        "num_attention_heads": 16,
        "image_size": 224,
        "patch_size": 14,
        "projection_dim": 1024,
        "hidden_act": "gelu",
    },
    "tiny": {
        "hidden_size": 16,
        "intermediate_size": 32,
        "num_hidden_layers": 3,
        "num_attention_heads": 2,
        "image_size": 16,
        "patch_size": 8,
        "projection_dim": 12,
    },
}
VAE_CHANNELS: Final = {"full": (128, 256, 512, 512), "tiny": (8, 8, 16, 16)}


def write_stable_diffusion_15(folder: Path, size: str, device: str, dtype: torch.dtype) -> Path:
    """Write a pipeline's folder with weights of the type `dtype`, initialised on the device."""
    tokenizer = embedded_tokenizer()
    with torch.random.fork_rng(), torch.device(device):
        torch.manual_seed(0)
        networks: Config = {
            "unet": UNet2DConditionModel(**UNETS[size]),
            "vae": autoencoder(size, latent_channels=4, sample_size=UNETS[size]["sample_size"] * 8),
            "text_encoder": CLIPTextModel(text_config(CLIP_L[size], tokenizer)),
        }
    scheduler = PNDMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        set_alpha_to_one=False,
        skip_prk_steps=True,
        steps_offset=1,
    )
    StableDiffusionPipeline(
        **stored(networks, dtype),
        tokenizer=tokenizer,
        scheduler=scheduler,
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    ).save_pretrained(folder)
    return folder


def write_stable_diffusion_35_medium(folder: Path, size: str, device: str, dtype: torch.dtype) -> Path:
    """Write a pipeline's folder as above, 6.7 GB in half precision."""
    tokenizer = embedded_tokenizer()
    with torch.random.fork_rng(), torch.device(device):
        torch.manual_seed(1)
        networks: Config = {
            "transformer": SD3Transformer2DModel(
                patch_size=2, in_channels=16, out_channels=16, qk_norm="rms_norm", **TRANSFORMERS[size]
            ),
            "vae": autoencoder(
                size,
                latent_channels=16,
                sample_size=TRANSFORMERS[size]["sample_size"] * 8,
                scaling_factor=1.5305,
                shift_factor=0.0609,
                use_quant_conv=False,
                use_post_quant_conv=False,
            ),
            "text_encoder": CLIPTextModelWithProjection(text_config(CLIP_L[size], tokenizer)),
            "text_encoder_2": CLIPTextModelWithProjection(text_config(OPENCLIP_G[size], tokenizer)),
        }
    StableDiffusion3Pipeline(
        **stored(networks, dtype),
        tokenizer=tokenizer,
        tokenizer_2=tokenizer,
        scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0),
        text_encoder_3=None,
        tokenizer_3=None,
    ).save_pretrained(folder)
    return folder


def write_vision_tower(folder: Path, size: str, device: str, dtype: torch.dtype) -> Path:
    """Write the folder of a CLIP vision tower."""
    with torch.random.fork_rng(), torch.device(device):
        torch.manual_seed(2)
        model = CLIPVisionModelWithProjection(CLIPVisionConfig(**CLIP_VISION[size]))
    model.to("cpu", dtype).save_pretrained(folder)
    return folder


def autoencoder(size: str, **config: Any) -> AutoencoderKL:
    channels = VAE_CHANNELS[size]
    return AutoencoderKL(
        block_out_channels=channels,
        down_block_types=(DOWN,) * 4,
        up_block_types=(UP,) * 4,
        layers_per_block=2,
        norm_num_groups=min(32, channels[0] // 2),
        **config,
    )


def text_config(config: Config, tokenizer: Any) -> CLIPTextConfig:
    """The published vocabulary's size, with the special tokens of the tokenizer."""
    return CLIPTextConfig(
        vocab_size=49408,
        max_position_embeddings=77,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.eos_token_id,
        **config,
    )


def embedded_tokenizer() -> Any:
    """The built-in backbone's tokenizer, padding to the published length."""
    tokenizer = Backbone.open(BackboneSpec(device="cpu")).pipe.tokenizer
    tokenizer.model_max_length = 77
    return tokenizer


def stored(networks: Config, dtype: torch.dtype) -> Config:
    """The networks on the CPU in their stored precision."""
    return {name: network.to("cpu", dtype) for name, network in networks.items()}
