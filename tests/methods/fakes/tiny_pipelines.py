"""Random-weight folders in the published layouts of SD 1.5, SD 2.1 and SDXL, reduced in width only.

Config keys, tensor names and tokenizer files are the published ones: SD 1.5 with the old names of the
autoencoder's attention, SD 2 with two contradictory pad tokens.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Final

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from safetensors.torch import save_file
from torch import Tensor, nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

from methods.tiny_sd.tokenizer import learn_tokenizer

FAMILIES: Final = ("sd1", "sd2", "sdxl")
SIDE: Final = 64
"""Side of an image in pixels: eight latents, at the published downsampling factor of eight."""

CAPTIONS: Final = ["a photo of a man, smiling", "a photo of a woman, sad", "a blurry picture of a dog!"]

OLD_ATTENTION: Final = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}

UNET: Final[dict[str, Any]] = {
    "_class_name": "UNet2DConditionModel",
    "act_fn": "silu",
    "center_input_sample": False,
    "downsample_padding": 1,
    "flip_sin_to_cos": True,
    "freq_shift": 0,
    "in_channels": 4,
    "layers_per_block": 2,
    "mid_block_scale_factor": 1,
    "norm_eps": 1e-05,
    "norm_num_groups": 8,
    "out_channels": 4,
    "sample_size": SIDE // 8,
}
FOUR_BLOCKS: Final[dict[str, Any]] = {
    "block_out_channels": [16, 32, 32, 32],
    "down_block_types": ["CrossAttnDownBlock2D"] * 3 + ["DownBlock2D"],
    "up_block_types": ["UpBlock2D"] + ["CrossAttnUpBlock2D"] * 3,
}
UNETS: Final[dict[str, dict[str, Any]]] = {
    "sd1": {
        **UNET,
        **FOUR_BLOCKS,
        # Not 0.6.0, for which diffusers treats any size below 64 as an error.
        "_diffusers_version": "0.17.0.dev0",
        "addition_embed_type": None,
        "addition_embed_type_num_heads": 64,
        "attention_head_dim": 8,
        "class_embed_type": None,
        "class_embeddings_concat": False,
        "conv_in_kernel": 3,
        "conv_out_kernel": 3,
        "cross_attention_dim": 24,
        "cross_attention_norm": None,
        "dual_cross_attention": False,
        "encoder_hid_dim": None,
        "mid_block_only_cross_attention": None,
        "mid_block_type": "UNetMidBlock2DCrossAttn",
        "num_class_embeds": None,
        "only_cross_attention": False,
        "projection_class_embeddings_input_dim": None,
        "resnet_out_scale_factor": 1.0,
        "resnet_skip_time_act": False,
        "resnet_time_scale_shift": "default",
        "time_cond_proj_dim": None,
        "time_embedding_act_fn": None,
        "time_embedding_dim": None,
        "time_embedding_type": "positional",
        "timestep_post_act": None,
        "upcast_attention": None,
        "use_linear_projection": False,
    },
    "sd2": {
        **UNET,
        **FOUR_BLOCKS,
        "_diffusers_version": "0.10.0.dev0",
        "attention_head_dim": [2, 4, 4, 4],
        "cross_attention_dim": 32,
        "dual_cross_attention": False,
        "num_class_embeds": None,
        "only_cross_attention": False,
        "upcast_attention": True,
        "use_linear_projection": True,
    },
    "sdxl": {
        **UNET,
        "_diffusers_version": "0.19.0.dev0",
        "addition_embed_type": "text_time",
        "addition_embed_type_num_heads": 64,
        "addition_time_embed_dim": 8,
        "attention_head_dim": [2, 4, 4],
        "block_out_channels": [16, 32, 32],
        "class_embed_type": None,
        "class_embeddings_concat": False,
        "conv_in_kernel": 3,
        "conv_out_kernel": 3,
        "cross_attention_dim": 24 + 40,
        "cross_attention_norm": None,
        "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"],
        "dual_cross_attention": False,
        "encoder_hid_dim": None,
        "encoder_hid_dim_type": None,
        "mid_block_only_cross_attention": None,
        "mid_block_type": "UNetMidBlock2DCrossAttn",
        "num_attention_heads": None,
        "num_class_embeds": None,
        "only_cross_attention": False,
        "projection_class_embeddings_input_dim": 6 * 8 + 40,
        "resnet_out_scale_factor": 1.0,
        "resnet_skip_time_act": False,
        "resnet_time_scale_shift": "default",
        "time_cond_proj_dim": None,
        "time_embedding_act_fn": None,
        "time_embedding_dim": None,
        "time_embedding_type": "positional",
        "timestep_post_act": None,
        "transformer_layers_per_block": [1, 1, 2],
        "up_block_types": ["CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"],
        "upcast_attention": None,
        "use_linear_projection": True,
    },
}

VAE: Final[dict[str, Any]] = {
    "_class_name": "AutoencoderKL",
    "act_fn": "silu",
    "block_out_channels": [8, 8, 16, 16],
    "down_block_types": ["DownEncoderBlock2D"] * 4,
    "in_channels": 3,
    "latent_channels": 4,
    "layers_per_block": 2,
    "norm_num_groups": 4,
    "out_channels": 3,
    "up_block_types": ["UpDecoderBlock2D"] * 4,
}
VAES: Final[dict[str, dict[str, Any]]] = {
    "sd1": {**VAE, "_diffusers_version": "0.6.0", "sample_size": SIDE},
    "sd2": {**VAE, "_diffusers_version": "0.10.0.dev0", "sample_size": SIDE},
    "sdxl": {
        **VAE,
        "_diffusers_version": "0.20.0.dev0",
        "_name_or_path": "../sdxl-vae/",
        "force_upcast": True,
        "sample_size": SIDE,
        "scaling_factor": 0.13025,
    },
}

CLIP_L: Final[dict[str, Any]] = {
    "architectures": ["CLIPTextModel"],
    "attention_dropout": 0.0,
    "bos_token_id": 0,
    "dropout": 0.0,
    "eos_token_id": 2,
    "hidden_act": "quick_gelu",
    "hidden_size": 24,
    "initializer_factor": 1.0,
    "initializer_range": 0.02,
    "intermediate_size": 48,
    "layer_norm_eps": 1e-05,
    "max_position_embeddings": 77,
    "model_type": "clip_text_model",
    "num_attention_heads": 3,
    "num_hidden_layers": 3,
    "pad_token_id": 1,
    "projection_dim": 24,
    "torch_dtype": "float32",
    "transformers_version": "4.21.0.dev0",
}
OPENCLIP_H: Final = {**CLIP_L, "hidden_act": "gelu", "hidden_size": 32, "num_attention_heads": 4}
OPENCLIP_G: Final = {
    **OPENCLIP_H,
    "architectures": ["CLIPTextModelWithProjection"],
    "hidden_size": 40,
    "projection_dim": 40,
}
TEXT_ENCODERS: Final[dict[str, dict[str, dict[str, Any]]]] = {
    "sd1": {"text_encoder": CLIP_L},
    "sd2": {"text_encoder": {**OPENCLIP_H, "projection_dim": 16}},
    "sdxl": {"text_encoder": CLIP_L, "text_encoder_2": OPENCLIP_G},
}

SCHEDULE: Final[dict[str, Any]] = {
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "beta_start": 0.00085,
    "clip_sample": False,
    "num_train_timesteps": 1000,
    "prediction_type": "epsilon",
    "set_alpha_to_one": False,
    "skip_prk_steps": True,
    "steps_offset": 1,
    "trained_betas": None,
}
SCHEDULERS: Final[dict[str, dict[str, Any]]] = {
    "sd1": {"_class_name": "PNDMScheduler", "_diffusers_version": "0.6.0", **SCHEDULE},
    "sd2": {
        "_class_name": "DDIMScheduler",
        "_diffusers_version": "0.8.0",
        **SCHEDULE,
        "prediction_type": "v_prediction",
    },
    "sdxl": {
        "_class_name": "EulerDiscreteScheduler",
        "_diffusers_version": "0.19.0.dev0",
        **SCHEDULE,
        "interpolation_type": "linear",
        "sample_max_value": 1.0,
        "timestep_spacing": "leading",
        "use_karras_sigmas": False,
    },
}

INDEX: Final[dict[str, Any]] = {
    "_class_name": "StableDiffusionPipeline",
    "_diffusers_version": "0.6.0",
    "feature_extractor": ["transformers", "CLIPImageProcessor"],
    "safety_checker": ["stable_diffusion", "StableDiffusionSafetyChecker"],
    "scheduler": ["diffusers", "PNDMScheduler"],
    "text_encoder": ["transformers", "CLIPTextModel"],
    "tokenizer": ["transformers", "CLIPTokenizer"],
    "unet": ["diffusers", "UNet2DConditionModel"],
    "vae": ["diffusers", "AutoencoderKL"],
}
INDICES: Final[dict[str, dict[str, Any]]] = {
    "sd1": INDEX,
    "sd2": {
        **INDEX,
        "_diffusers_version": "0.8.0",
        "feature_extractor": ["transformers", "CLIPImageProcessor"],
        "requires_safety_checker": False,
        "safety_checker": [None, None],
        "scheduler": ["diffusers", "DDIMScheduler"],
    },
    "sdxl": {
        "_class_name": "StableDiffusionXLPipeline",
        "_diffusers_version": "0.19.0.dev0",
        "force_zeros_for_empty_prompt": True,
        "add_watermarker": None,
        "scheduler": ["diffusers", "EulerDiscreteScheduler"],
        "text_encoder": ["transformers", "CLIPTextModel"],
        "text_encoder_2": ["transformers", "CLIPTextModelWithProjection"],
        "tokenizer": ["transformers", "CLIPTokenizer"],
        "tokenizer_2": ["transformers", "CLIPTokenizer"],
        "unet": ["diffusers", "UNet2DConditionModel"],
        "vae": ["diffusers", "AutoencoderKL"],
    },
}


@dataclass(frozen=True)
class SmallFolders(Mapping[str, Path]):
    """The folders by family, each written at its first use."""

    root: Path
    written: dict[str, Path] = field(default_factory=dict)

    def __getitem__(self, family: str) -> Path:
        if family not in self.written:
            write_small_folder(family, self.root / family)
            self.written[family] = self.root / family
        return self.written[family]

    def __iter__(self) -> Iterator[str]:
        return iter(FAMILIES)

    def __len__(self) -> int:
        return len(FAMILIES)


def write_small_folder(
    family: str, folder: Path, *, dtype: torch.dtype = torch.float32, variant: str | None = None
) -> None:
    """Write a folder of the family: random weights from a fixed seed, of the given type and variant."""
    suffix = f".{variant}.safetensors" if variant else ".safetensors"
    size = write_tokenizer(folder / "tokenizer", family)
    if family == "sdxl":
        write_tokenizer(folder / "tokenizer_2", "sdxl-2")
    write_json(folder / "model_index.json", INDICES[family])
    write_json(folder / "scheduler" / "scheduler_config.json", SCHEDULERS[family])
    with torch.random.fork_rng():
        torch.manual_seed(FAMILIES.index(family))
        parts: list[tuple[str, Any, dict[str, Any], str]] = [
            ("unet", UNet2DConditionModel, UNETS[family], "diffusion_pytorch_model"),
            ("vae", AutoencoderKL, VAES[family], "diffusion_pytorch_model"),
        ]
        for part, cls, config, stem in parts:
            state = randomised(cls.from_config(config))
            write_json(folder / part / "config.json", config)
            save(folder / part / f"{stem}{suffix}", published_vae(state) if family == "sd1" else state, dtype)
        for part, own in TEXT_ENCODERS[family].items():
            config = {**own, "vocab_size": size}
            write_json(folder / part / "config.json", config)
            save(folder / part / f"model{suffix}", text_weights(config), dtype)


def text_weights(config: dict[str, Any]) -> dict[str, Tensor]:
    """A text encoder's weights under the published names, which begin with `text_model.`."""
    known = {
        key: value for key, value in config.items() if key not in ("torch_dtype", "transformers_version")
    }
    cls: Any = {"CLIPTextModel": CLIPTextModel, "CLIPTextModelWithProjection": CLIPTextModelWithProjection}[
        config["architectures"][0]
    ]
    state = randomised(cls(CLIPTextConfig(**known)))
    state["text_model.embeddings.position_ids"] = torch.arange(77)[None]
    return {
        name if name.startswith(("text_model.", "text_projection.")) else f"text_model.{name}": value
        for name, value in state.items()
    }


def randomised(model: nn.Module) -> dict[str, Tensor]:
    """Random weights, different in every layer including norms and biases, to reveal swapped names."""
    for name, p in model.named_parameters():
        noise = 0.05 * torch.randn_like(p)
        p.data = (p.data + noise) if p.dim() > 1 else noise + (1.0 if name.endswith("weight") else 0.0)
    return dict(model.state_dict())


def published_vae(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The names of 2022 for the attention inside encoder and decoder."""
    renamed = {}
    for name, value in state.items():
        if ".attentions." in name and "mid_block" in name and "transformer_blocks" not in name:
            for new, old in OLD_ATTENTION.items():
                name = name.replace(f".{new}.", f".{old}.")
        renamed[name] = value
    return renamed


def write_tokenizer(folder: Path, kind: str) -> int:
    """The four published files; returns the size of the vocabulary."""
    vocabulary, lines = byte_pairs()
    write_json(folder / "vocab.json", dict(vocabulary))
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *lines]) + "\n", encoding="utf-8")
    end = {
        "content": "<|endoftext|>",
        "lstrip": False,
        "normalized": True,
        "rstrip": False,
        "single_word": False,
    }
    start = {**end, "content": "<|startoftext|>"}
    # SD 2 has "!" in one file and the end-of-text token in the other; SDXL's second has "!" in both.
    pad = "!" if kind == "sdxl-2" else "<|endoftext|>"
    write_json(
        folder / "tokenizer_config.json",
        {
            "add_prefix_space": False,
            "bos_token": {"__type": "AddedToken", **start},
            "do_lower_case": True,
            "eos_token": {"__type": "AddedToken", **end},
            "errors": "replace",
            "model_max_length": 77,
            "pad_token": pad,
            "tokenizer_class": "CLIPTokenizer",
            "unk_token": {"__type": "AddedToken", **end},
        },
    )
    write_json(
        folder / "special_tokens_map.json",
        {
            "bos_token": start,
            "eos_token": end,
            "pad_token": "!" if kind in ("sd2", "sdxl-2") else "<|endoftext|>",
            "unk_token": end,
        },
    )
    return len(vocabulary)


@cache
def byte_pairs() -> tuple[list[tuple[str, int]], list[str]]:
    """Vocabulary and merges, the same for all tokenizers, as in the published folders."""
    tokenizer = learn_tokenizer(CAPTIONS, vocabulary=600)
    merges = json.loads(tokenizer.backend_tokenizer.to_str())["model"]["merges"]
    lines = [pair if isinstance(pair, str) else " ".join(pair) for pair in merges]
    return sorted(tokenizer.get_vocab().items(), key=lambda item: item[1]), lines


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=2), encoding="utf-8")


def write_network(folder: Path, cls: Any, config: dict[str, Any]) -> None:
    write_json(folder / "config.json", config)
    state = randomised(cls.from_config(config))
    save(folder / "diffusion_pytorch_model.safetensors", state, torch.float32)


def save(path: Path, state: Mapping[str, Tensor], dtype: torch.dtype) -> None:
    own = {name: v.to(dtype) if v.is_floating_point() else v for name, v in state.items()}
    save_file({name: v.contiguous() for name, v in own.items()}, path, metadata={"format": "pt"})
