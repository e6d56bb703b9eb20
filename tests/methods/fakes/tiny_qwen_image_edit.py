"""A random-weight folder in the published layout of Qwen-Image-Edit-2509, reduced in width only."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import torch
from diffusers import AutoencoderKLQwenImage, QwenImageTransformer2DModel
from tiny_pipelines import randomised, save, write_json, write_network
from tokenizers import pre_tokenizers
from transformers import (
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen2TokenizerFast,
    Qwen2VLImageProcessor,
    Qwen2VLVideoProcessor,
)

WIDTH: Final = 32
"""Width of Qwen2.5-VL, whose last layer the transformer reads."""
SPECIAL: Final = (
    *("<|endoftext|>", "<|im_start|>", "<|im_end|>"),
    *("<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>"),
)

INDEX: Final[dict[str, Any]] = {
    "_class_name": "QwenImageEditPlusPipeline",
    "_diffusers_version": "0.36.0.dev0",
    "processor": ["transformers", "Qwen2VLProcessor"],
    "scheduler": ["diffusers", "FlowMatchEulerDiscreteScheduler"],
    "text_encoder": ["transformers", "Qwen2_5_VLForConditionalGeneration"],
    "tokenizer": ["transformers", "Qwen2Tokenizer"],
    "transformer": ["diffusers", "QwenImageTransformer2DModel"],
    "vae": ["diffusers", "AutoencoderKLQwenImage"],
}
SCHEDULER: Final[dict[str, Any]] = {
    "_class_name": "FlowMatchEulerDiscreteScheduler",
    "_diffusers_version": "0.36.0.dev0",
    "base_image_seq_len": 256,
    "base_shift": 0.5,
    "invert_sigmas": False,
    "max_image_seq_len": 8192,
    "max_shift": 0.9,
    "num_train_timesteps": 1000,
    "shift": 1.0,
    "shift_terminal": 0.02,
    "stochastic_sampling": False,
    "time_shift_type": "exponential",
    "use_beta_sigmas": False,
    "use_dynamic_shifting": True,
    "use_exponential_sigmas": False,
    "use_karras_sigmas": False,
}
TRANSFORMER: Final[dict[str, Any]] = {
    "_class_name": "QwenImageTransformer2DModel",
    "_diffusers_version": "0.36.0.dev0",
    "attention_head_dim": 16,
    "axes_dims_rope": [4, 6, 6],
    "guidance_embeds": False,
    "in_channels": 64,
    "joint_attention_dim": WIDTH,
    "num_attention_heads": 2,
    "num_layers": 2,
    "out_channels": 16,
    "patch_size": 2,
}
VAE: Final[dict[str, Any]] = {
    "_class_name": "AutoencoderKLQwenImage",
    "_diffusers_version": "0.36.0.dev0",
    "attn_scales": [],
    "base_dim": 8,
    "dim_mult": [1, 1, 2, 2],
    "dropout": 0.0,
    "latents_mean": [0.1 * i for i in range(16)],
    "latents_std": [1.0 + 0.1 * i for i in range(16)],
    "num_res_blocks": 1,
    "temperal_downsample": [False, True, True],
    "z_dim": 16,
}
TEXT: Final[dict[str, Any]] = {
    "hidden_size": WIDTH,
    "intermediate_size": 48,
    "max_position_embeddings": 128000,
    "num_attention_heads": 2,
    "num_hidden_layers": 2,
    "num_key_value_heads": 1,
    "rms_norm_eps": 1e-06,
    "rope_parameters": {"mrope_section": [2, 3, 3], "rope_theta": 1000000.0, "rope_type": "default"},
}
VISION: Final[dict[str, Any]] = {
    "depth": 2,
    "fullatt_block_indexes": [1],
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_heads": 2,
    "out_hidden_size": WIDTH,
}


def write_qwen_image_edit(folder: Path) -> None:
    """Write the folder: random weights from a fixed seed."""
    write_json(folder / "model_index.json", INDEX)
    write_json(folder / "scheduler" / "scheduler_config.json", SCHEDULER)
    tokenizer = _tokenizer()
    tokenizer.save_pretrained(folder / "tokenizer")
    # Published are files of each part, where today's transformers writes one.
    for part in (tokenizer, Qwen2VLImageProcessor(), Qwen2VLVideoProcessor()):
        part.save_pretrained(folder / "processor")
    with torch.random.fork_rng():
        torch.manual_seed(6)
        write_network(folder / "transformer", QwenImageTransformer2DModel, TRANSFORMER)
        write_network(folder / "vae", AutoencoderKLQwenImage, VAE)
        _write_text_encoder(folder / "text_encoder", tokenizer)


def _tokenizer() -> Qwen2TokenizerFast:
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    return Qwen2TokenizerFast(
        vocab={letter: i for i, letter in enumerate(letters)},
        merges=[],
        pad_token=SPECIAL[0],
        eos_token=SPECIAL[2],
        additional_special_tokens=list(SPECIAL),
        model_max_length=131072,
    )


def _write_text_encoder(folder: Path, tokenizer: Qwen2TokenizerFast) -> None:
    ids = dict(zip(SPECIAL, tokenizer.convert_tokens_to_ids(list(SPECIAL)), strict=True))
    ends = {"bos_token_id": ids["<|endoftext|>"], "eos_token_id": ids["<|im_end|>"]}
    config = Qwen2_5_VLConfig(
        text_config={**TEXT, "vocab_size": len(tokenizer), **ends},
        vision_config=VISION,
        image_token_id=ids["<|image_pad|>"],
        video_token_id=ids["<|video_pad|>"],
        vision_start_token_id=ids["<|vision_start|>"],
        vision_end_token_id=ids["<|vision_end|>"],
    )
    config.architectures = ["Qwen2_5_VLForConditionalGeneration"]
    config.save_pretrained(folder)
    state = randomised(Qwen2_5_VLForConditionalGeneration(config))
    # The published names.
    names = {name: name.replace("model.language_model.", "model.") for name in state}
    published = {names[name].replace("model.visual.", "visual."): value for name, value in state.items()}
    save(folder / "model.safetensors", published, torch.float32)
