"""Random-weight folders in the published layouts of SD 3.5 and FLUX.1, reduced in width only."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import torch
from diffusers import AutoencoderKL, FluxTransformer2DModel, SD3Transformer2DModel
from safetensors.torch import save_file
from tiny_flux_2 import write_flux_2_klein
from tiny_pipelines import (
    CLIP_L,
    OPENCLIP_G,
    SIDE,
    randomised,
    save,
    text_weights,
    write_json,
    write_network,
    write_tokenizer,
)
from torch import Tensor
from transformers import T5Config, T5EncoderModel, T5TokenizerFast

from methods.backbone.backbone import Backbone
from methods.backbone.spec import BackboneSpec

FLOW_FAMILIES: Final = ("sd3", "flux")
TRANSFORMERS: Final = (*FLOW_FAMILIES, "flux2")

CHANNELS: Final = 16
IN_CONTEXT: Final = {"flux-kontext": "flux-kontext", "flux2-klein": "flux2"}
"""Families by the methods that need them."""
SETTINGS: Final[dict[str, dict[str, Any]]] = {"flux2": {"max_sequence_length": 64}}
"""Settings of the backbone: Qwen3's chat template alone takes 26 tokens."""
WORDS: Final = "a photo of man woman dog smiling sad blurry picture sks"
"""Words that are one token of T5."""
T5_WIDTH: Final = 72
IMAGE_TOKENS, CLIP_EMBEDDING = 4, 12
"""Tokens of an IP-Adapter, and the width of its encoder's projected embedding."""

VAE: Final[dict[str, Any]] = {
    "_class_name": "AutoencoderKL",
    "_diffusers_version": "0.31.0.dev0",
    "act_fn": "silu",
    "block_out_channels": [8, 8, 16, 16],
    "down_block_types": ["DownEncoderBlock2D"] * 4,
    "force_upcast": True,
    "in_channels": 3,
    "latent_channels": CHANNELS,
    "latents_mean": None,
    "latents_std": None,
    "layers_per_block": 2,
    "mid_block_add_attention": True,
    "norm_num_groups": 4,
    "out_channels": 3,
    "sample_size": SIDE,
    "scaling_factor": 1.5305,
    "shift_factor": 0.0609,
    "up_block_types": ["UpDecoderBlock2D"] * 4,
    "use_post_quant_conv": False,
    "use_quant_conv": False,
}

TRANSFORMER: Final[dict[str, Any]] = {
    "_class_name": "SD3Transformer2DModel",
    "_diffusers_version": "0.31.0.dev0",
    "attention_head_dim": 16,
    "caption_projection_dim": 64,
    "dual_attention_layers": [0],
    "in_channels": CHANNELS,
    "joint_attention_dim": T5_WIDTH,
    "num_attention_heads": 4,
    "num_layers": 2,
    "out_channels": CHANNELS,
    "patch_size": 2,
    "pooled_projection_dim": 24 + 40,
    "pos_embed_max_size": 12,
    "qk_norm": "rms_norm",
    "sample_size": SIDE // 8,
}

T5: Final[dict[str, Any]] = {
    "architectures": ["T5EncoderModel"],
    "classifier_dropout": 0.0,
    "d_ff": 96,
    "d_kv": 8,
    "d_model": T5_WIDTH,
    "decoder_start_token_id": 0,
    "dense_act_fn": "gelu_new",
    "dropout_rate": 0.1,
    "eos_token_id": 1,
    "feed_forward_proj": "gated-gelu",
    "initializer_factor": 1.0,
    "is_encoder_decoder": True,
    "is_gated_act": True,
    "layer_norm_epsilon": 1e-06,
    "model_type": "t5",
    "num_decoder_layers": 2,
    "num_heads": 4,
    "num_layers": 2,
    "output_past": True,
    "pad_token_id": 0,
    "relative_attention_max_distance": 128,
    "relative_attention_num_buckets": 32,
    "tie_word_embeddings": False,
    "torch_dtype": "float16",
    "transformers_version": "4.43.3",
    "use_cache": True,
}

SCHEDULER: Final[dict[str, Any]] = {
    "_class_name": "FlowMatchEulerDiscreteScheduler",
    "_diffusers_version": "0.29.0.dev0",
    "num_train_timesteps": 1000,
    "shift": 3.0,
}

INDEX: Final[dict[str, Any]] = {
    "_class_name": "StableDiffusion3Pipeline",
    "_diffusers_version": "0.30.3.dev0",
    "scheduler": ["diffusers", "FlowMatchEulerDiscreteScheduler"],
    "text_encoder": ["transformers", "CLIPTextModelWithProjection"],
    "text_encoder_2": ["transformers", "CLIPTextModelWithProjection"],
    "text_encoder_3": ["transformers", "T5EncoderModel"],
    "tokenizer": ["transformers", "CLIPTokenizer"],
    "tokenizer_2": ["transformers", "CLIPTokenizer"],
    "tokenizer_3": ["transformers", "T5TokenizerFast"],
    "transformer": ["diffusers", "SD3Transformer2DModel"],
    "vae": ["diffusers", "AutoencoderKL"],
}

CLIPS: Final[dict[str, dict[str, Any]]] = {
    "text_encoder": {**CLIP_L, "architectures": ["CLIPTextModelWithProjection"]},
    "text_encoder_2": OPENCLIP_G,
}


@dataclass(frozen=True)
class FlowFolders:
    """The folders by family and their backbones, each made at its first use."""

    root: Path
    backbones: dict[str, Backbone] = field(default_factory=dict)

    def __getitem__(self, family: str) -> Path:
        folder = self.root / family
        if not folder.is_dir():
            WRITERS[family](folder)
        return folder

    def backbone(self, family: str) -> Backbone:
        if family not in self.backbones:
            self.backbones[family] = Backbone.open(spec_of(self[family], **SETTINGS.get(family, {})))
        return self.backbones[family]


def spec_of(folder: Path, **settings: Any) -> BackboneSpec:
    chosen = {"steps": 2, "guidance": 3.0, "batch": 2, "device": "cpu", "max_sequence_length": 16}
    return BackboneSpec(path=str(folder), **{**chosen, "resolution": SIDE, **settings})


def write_stable_diffusion_3(folder: Path) -> None:
    """Write a folder of SD 3.5: random weights from a fixed seed."""
    write_json(folder / "model_index.json", INDEX)
    write_json(folder / "scheduler" / "scheduler_config.json", SCHEDULER)
    size = write_tokenizer(folder / "tokenizer", "sdxl")
    write_tokenizer(folder / "tokenizer_2", "sdxl-2")
    with torch.random.fork_rng():
        torch.manual_seed(3)
        write_network(folder / "transformer", SD3Transformer2DModel, TRANSFORMER)
        write_network(folder / "vae", AutoencoderKL, VAE)
        for part, own in CLIPS.items():
            config = {**own, "vocab_size": size}
            write_json(folder / part / "config.json", config)
            save(folder / part / "model.safetensors", text_weights(config), torch.float32)
        write_t5(folder / "text_encoder_3", folder / "tokenizer_3")


FLUX: Final[dict[str, Any]] = {
    "_class_name": "FluxTransformer2DModel",
    "_diffusers_version": "0.30.0.dev0",
    "_name_or_path": "../checkpoints/flux-dev/transformer",
    "attention_head_dim": 16,
    # Not in the published config, whose heads are 128 wide.
    "axes_dims_rope": [4, 6, 6],
    "guidance_embeds": True,
    "in_channels": 4 * CHANNELS,
    "joint_attention_dim": T5_WIDTH,
    "num_attention_heads": 4,
    "num_layers": 2,
    "num_single_layers": 2,
    "patch_size": 1,
    "pooled_projection_dim": 24,
}
FLUX_SCHEDULER: Final[dict[str, Any]] = {
    "_class_name": "FlowMatchEulerDiscreteScheduler",
    "_diffusers_version": "0.30.0.dev0",
    "base_image_seq_len": 256,
    "base_shift": 0.5,
    "max_image_seq_len": 4096,
    "max_shift": 1.15,
    "num_train_timesteps": 1000,
    "shift": 3.0,
    "use_dynamic_shifting": True,
}
FLUX_INDEX: Final[dict[str, Any]] = {
    "_class_name": "FluxPipeline",
    "_diffusers_version": "0.30.0.dev0",
    "scheduler": ["diffusers", "FlowMatchEulerDiscreteScheduler"],
    "text_encoder": ["transformers", "CLIPTextModel"],
    "text_encoder_2": ["transformers", "T5EncoderModel"],
    "tokenizer": ["transformers", "CLIPTokenizer"],
    "tokenizer_2": ["transformers", "T5TokenizerFast"],
    "transformer": ["diffusers", "FluxTransformer2DModel"],
    "vae": ["diffusers", "AutoencoderKL"],
}


def write_flux(folder: Path) -> None:
    """Write a folder of FLUX.1 dev: random weights from a fixed seed."""
    write_json(folder / "model_index.json", FLUX_INDEX)
    write_json(folder / "scheduler" / "scheduler_config.json", FLUX_SCHEDULER)
    size = write_tokenizer(folder / "tokenizer", "sdxl")
    with torch.random.fork_rng():
        torch.manual_seed(4)
        write_network(folder / "transformer", FluxTransformer2DModel, FLUX)
        vae = {**VAE, "scaling_factor": 0.3611, "shift_factor": 0.1159}
        write_network(folder / "vae", AutoencoderKL, vae)
        config = {**CLIP_L, "vocab_size": size}
        write_json(folder / "text_encoder" / "config.json", config)
        save(folder / "text_encoder" / "model.safetensors", text_weights(config), torch.float32)
        write_t5(folder / "text_encoder_2", folder / "tokenizer_2")


def write_flux_kontext(folder: Path) -> None:
    """Write a folder of FLUX.1 Kontext, which has the parts of FLUX.1 dev."""
    write_flux(folder)
    write_json(folder / "model_index.json", {**FLUX_INDEX, "_class_name": "FluxKontextPipeline"})


def write_flux_adapter(path: Path, *, blocks: int) -> Path:
    """A file in the layout of XLabs-AI/flux-ip-adapter, with random weights."""
    width = FLUX["num_attention_heads"] * FLUX["attention_head_dim"]
    generator = torch.Generator().manual_seed(0)

    def random(*shape: int) -> Tensor:
        return 0.3 * torch.randn(*shape, generator=generator)

    state = {
        "ip_adapter_proj_model.proj.weight": random(IMAGE_TOKENS * T5_WIDTH, CLIP_EMBEDDING),
        "ip_adapter_proj_model.proj.bias": random(IMAGE_TOKENS * T5_WIDTH),
        "ip_adapter_proj_model.norm.weight": 1 + random(T5_WIDTH),
        "ip_adapter_proj_model.norm.bias": random(T5_WIDTH),
    }
    for block in range(blocks):
        for kind in "kv":
            name = f"double_blocks.{block}.processor.ip_adapter_double_stream_{kind}_proj"
            state |= {f"{name}.weight": random(width, T5_WIDTH), f"{name}.bias": random(width)}
    save_file(state, path)
    return path


WRITERS: Final[dict[str, Callable[[Path], None]]] = {
    "sd3": write_stable_diffusion_3,
    "flux": write_flux,
    "flux-kontext": write_flux_kontext,
    "flux2": write_flux_2_klein,
}


def write_t5(folder: Path, tokenizer_folder: Path) -> None:
    """T5 with two layers, and its tokenizer without `spiece.model`, which is not read."""
    words = [f"▁{word}" for word in WORDS.split()]
    pieces = [*words, "▁", *"abcdefghijklmnopqrstuvwxyz,.!<>|-0123456789"]
    special = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0)]
    scores = [(piece, -2.0 if piece in words else -6.0) for piece in pieces]
    tokenizer = T5TokenizerFast(
        vocab=[*special, *scores, *((f"<extra_id_{i}>", 0.0) for i in range(99, -1, -1))],
        model_max_length=512,
    )
    tokenizer.save_pretrained(tokenizer_folder)
    config = {**T5, "vocab_size": len(tokenizer)}
    write_json(folder / "config.json", config)
    own = {key: value for key, value in config.items() if key not in ("torch_dtype", "transformers_version")}
    state = randomised(T5EncoderModel(T5Config(**own)))
    # Published files contain the shared table once.
    state.pop("encoder.embed_tokens.weight", None)
    save(folder / "model.safetensors", state, torch.float32)
