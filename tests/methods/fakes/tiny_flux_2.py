"""A random-weight folder in the published layout of FLUX.2 klein 4B, reduced in width only."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import torch
from diffusers import AutoencoderKLFlux2, Flux2Transformer2DModel
from tiny_pipelines import randomised, save, write_json, write_network
from tokenizers import pre_tokenizers
from transformers import Qwen2TokenizerFast, Qwen3Config, Qwen3ForCausalLM

WIDTH: Final = 16
"""Width of Qwen3, of which the transformer reads three layers."""
CHANNELS: Final = 32

INDEX: Final[dict[str, Any]] = {
    "_class_name": "Flux2KleinPipeline",
    "_diffusers_version": "0.37.0.dev0",
    "is_distilled": False,
    "scheduler": ["diffusers", "FlowMatchEulerDiscreteScheduler"],
    "text_encoder": ["transformers", "Qwen3ForCausalLM"],
    "tokenizer": ["transformers", "Qwen2TokenizerFast"],
    "transformer": ["diffusers", "Flux2Transformer2DModel"],
    "vae": ["diffusers", "AutoencoderKLFlux2"],
}
SCHEDULER: Final[dict[str, Any]] = {
    "_class_name": "FlowMatchEulerDiscreteScheduler",
    "_diffusers_version": "0.37.0.dev0",
    "base_image_seq_len": 256,
    "base_shift": 0.5,
    "invert_sigmas": False,
    "max_image_seq_len": 4096,
    "max_shift": 1.15,
    "num_train_timesteps": 1000,
    "shift": 3.0,
    "shift_terminal": None,
    "stochastic_sampling": False,
    "time_shift_type": "exponential",
    "use_beta_sigmas": False,
    "use_dynamic_shifting": True,
    "use_exponential_sigmas": False,
    "use_karras_sigmas": False,
}
TRANSFORMER: Final[dict[str, Any]] = {
    "_class_name": "Flux2Transformer2DModel",
    "_diffusers_version": "0.37.0.dev0",
    "attention_head_dim": 16,
    "axes_dims_rope": [4, 4, 4, 4],
    "eps": 1e-06,
    "guidance_embeds": False,
    "in_channels": 4 * CHANNELS,
    "joint_attention_dim": 3 * WIDTH,
    "mlp_ratio": 3.0,
    "num_attention_heads": 4,
    "num_layers": 2,
    "num_single_layers": 2,
    "out_channels": None,
    "patch_size": 1,
    "rope_theta": 2000,
    "timestep_guidance_channels": 256,
}
VAE: Final[dict[str, Any]] = {
    "_class_name": "AutoencoderKLFlux2",
    "_diffusers_version": "0.37.0.dev0",
    "act_fn": "silu",
    "batch_norm_eps": 0.0001,
    "batch_norm_momentum": 0.1,
    "block_out_channels": [8, 8, 16, 16],
    "down_block_types": ["DownEncoderBlock2D"] * 4,
    "force_upcast": True,
    "in_channels": 3,
    "latent_channels": CHANNELS,
    "layers_per_block": 2,
    "mid_block_add_attention": True,
    "norm_num_groups": 4,
    "out_channels": 3,
    "patch_size": [2, 2],
    "sample_size": 1024,
    "up_block_types": ["UpDecoderBlock2D"] * 4,
    "use_post_quant_conv": True,
    "use_quant_conv": True,
}
QWEN: Final[dict[str, Any]] = {
    "architectures": ["Qwen3ForCausalLM"],
    "attention_bias": False,
    "attention_dropout": 0.0,
    "head_dim": 8,
    "hidden_act": "silu",
    "hidden_size": WIDTH,
    "initializer_range": 0.02,
    "intermediate_size": 24,
    "max_position_embeddings": 40960,
    "max_window_layers": 36,
    "model_type": "qwen3",
    "num_attention_heads": 4,
    "num_hidden_layers": 36,
    "num_key_value_heads": 2,
    "rms_norm_eps": 1e-06,
    "rope_scaling": None,
    "rope_theta": 1000000,
    "sliding_window": None,
    "tie_word_embeddings": True,
    "torch_dtype": "bfloat16",
    "transformers_version": "4.56.1",
    "use_cache": True,
    "use_sliding_window": False,
}
CHAT: Final = """\
{%- for message in messages %}
{{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>' + '\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}
{{- '<|im_start|>assistant\\n' }}
{%- if enable_thinking is defined and enable_thinking is false %}
{{- '<think>\\n\\n</think>\\n\\n' }}
{%- endif %}
{%- endif %}"""
"""The part of Qwen3's template that a single message of the user reads."""
SPECIAL: Final = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<think>", "</think>")


def write_flux_2_klein(folder: Path) -> None:
    """Write a folder of FLUX.2 klein, not distilled: random weights from a fixed seed."""
    write_json(folder / "model_index.json", INDEX)
    write_json(folder / "scheduler" / "scheduler_config.json", SCHEDULER)
    size = _write_tokenizer(folder / "tokenizer")
    with torch.random.fork_rng():
        torch.manual_seed(6)
        write_network(folder / "transformer", Flux2Transformer2DModel, TRANSFORMER)
        write_json(folder / "vae" / "config.json", VAE)
        vae = randomised(AutoencoderKLFlux2.from_config(VAE))
        vae["bn.running_mean"] = torch.randn(4 * CHANNELS)
        vae["bn.running_var"] = 0.5 + torch.rand(4 * CHANNELS)
        save(folder / "vae" / "diffusion_pytorch_model.safetensors", vae, torch.float32)
        _write_qwen(folder / "text_encoder", size)


def _write_qwen(folder: Path, size: int) -> None:
    config = {**QWEN, "vocab_size": size, "bos_token_id": size - 5, "eos_token_id": size - 3}
    write_json(folder / "config.json", config)
    own = {key: value for key, value in config.items() if key not in ("torch_dtype", "transformers_version")}
    state = randomised(Qwen3ForCausalLM(Qwen3Config(**own)))
    # Published files contain the shared table once.
    state.pop("lm_head.weight", None)
    save(folder / "model.safetensors", state, torch.float32)


def _write_tokenizer(folder: Path) -> int:
    """Qwen's tokenizer with the template in its own file, `chat_template.jinja`; returns its size."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Qwen2TokenizerFast(
        vocab={letter: i for i, letter in enumerate(letters)},
        merges=[],
        pad_token=SPECIAL[0],
        eos_token=SPECIAL[2],
        additional_special_tokens=list(SPECIAL),
        model_max_length=131072,
    )
    tokenizer.chat_template = CHAT
    tokenizer.save_pretrained(folder)
    return len(tokenizer)
