"""A random-weight folder in the published layout of Qwen-Image-Edit-2509, reduced in width and depth only.

The published files themselves were not at hand. All keys were compared with public copies:

* model_index.json: 2511's, of the same pipeline.
* transformer: 2509's, in lightx2v/Qwen-Image-Lightning.
* text_encoder: Qwen2.5-VL 7B's, in kohya-ss/musubi-tuner; with 3,217 bytes as large as 2509's listing says.
* vae, scheduler: Qwen-Image's, in several trainers (SimpleTuner, ai-toolkit).
* preprocessor_config.json: Qwen-Image-Edit's, in Tevior/qwen_image_edit.

The tokenizer's files and video_preprocessor_config.json are as the installed transformers writes them.
"""

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
    "dim_mult": [1, 2, 4, 4],
    "dropout": 0.0,
    "latents_mean": [
        *(-0.7571, -0.7089, -0.9113, 0.1075, -0.1745, 0.9653, -0.1517, 1.5508),
        *(0.4134, -0.0715, 0.5517, -0.3632, -0.1922, -0.9497, 0.2503, -0.2921),
    ],
    "latents_std": [
        *(2.8184, 1.4541, 2.3275, 2.6558, 1.2196, 1.7708, 2.6052, 2.0743),
        *(3.2687, 2.1526, 2.8652, 1.5579, 1.6382, 1.1253, 2.8251, 1.916),
    ],
    "num_res_blocks": 2,
    "temperal_downsample": [False, True, True],
    "z_dim": 16,
}
IMAGE_PROCESSOR: Final[dict[str, Any]] = {
    "crop_size": None,
    "data_format": "channels_first",
    "default_to_square": True,
    "device": None,
    "disable_grouping": None,
    "do_center_crop": None,
    "do_convert_rgb": True,
    "do_normalize": True,
    "do_rescale": True,
    "do_resize": True,
    "image_mean": [0.48145466, 0.4578275, 0.40821073],
    "image_processor_type": "Qwen2VLImageProcessorFast",
    "image_std": [0.26862954, 0.26130258, 0.27577711],
    "input_data_format": None,
    "max_pixels": 12845056,
    "merge_size": 2,
    "min_pixels": 3136,
    "patch_size": 14,
    "processor_class": "Qwen2VLProcessor",
    "resample": 3,
    "rescale_factor": 0.00392156862745098,
    "return_tensors": None,
    "size": {"longest_edge": 12845056, "shortest_edge": 3136},
    "temporal_patch_size": 2,
}
LANGUAGE: Final[dict[str, Any]] = {
    "architectures": ["Qwen2_5_VLForConditionalGeneration"],
    "attention_dropout": 0.0,
    "hidden_act": "silu",
    "hidden_size": WIDTH,
    "initializer_range": 0.02,
    "intermediate_size": 48,
    "max_position_embeddings": 128000,
    "max_window_layers": 28,
    "num_attention_heads": 2,
    "num_hidden_layers": 2,
    "num_key_value_heads": 1,
    "rms_norm_eps": 1e-06,
    "rope_scaling": {"mrope_section": [2, 3, 3], "rope_type": "default", "type": "default"},
    "rope_theta": 1000000.0,
    "use_cache": True,
    "use_sliding_window": False,
}
"""Settings of the language model, published both at the top and in `text_config`."""
VISION: Final[dict[str, Any]] = {
    "depth": 2,
    "fullatt_block_indexes": [1],
    "hidden_act": "silu",
    "hidden_size": 16,
    "in_channels": 3,
    "in_chans": 3,
    "initializer_range": 0.02,
    "intermediate_size": 24,
    "model_type": "qwen2_5_vl",
    "num_heads": 2,
    "out_hidden_size": WIDTH,
    "patch_size": 14,
    "spatial_merge_size": 2,
    "spatial_patch_size": 14,
    "temporal_patch_size": 2,
    "tokens_per_second": 2,
    "torch_dtype": "float32",
    "window_size": 112,
}


def write_qwen_image_edit(folder: Path) -> None:
    """Write the folder: random weights from a fixed seed."""
    write_json(folder / "model_index.json", INDEX)
    write_json(folder / "scheduler" / "scheduler_config.json", SCHEDULER)
    tokenizer = _tokenizer()
    tokenizer.save_pretrained(folder / "tokenizer")
    # Published are files of each part, where today's transformers writes one.
    for part in (tokenizer, Qwen2VLVideoProcessor()):
        part.save_pretrained(folder / "processor")
    write_json(folder / "processor" / "preprocessor_config.json", IMAGE_PROCESSOR)
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
    write_json(folder / "config.json", _text_config(tokenizer))
    state = randomised(Qwen2_5_VLForConditionalGeneration(Qwen2_5_VLConfig.from_pretrained(folder)))
    # The published names.
    names = {name: name.replace("model.language_model.", "model.") for name in state}
    published = {names[name].replace("model.visual.", "visual."): value for name, value in state.items()}
    save(folder / "model.safetensors", published, torch.float32)


def _text_config(tokenizer: Qwen2TokenizerFast) -> dict[str, Any]:
    """The published config, with the numbers of this tokenizer's tokens."""
    ids = dict(zip(SPECIAL, tokenizer.convert_tokens_to_ids(list(SPECIAL)), strict=True))
    vision = {
        "vision_end_token_id": ids["<|vision_end|>"],
        "vision_start_token_id": ids["<|vision_start|>"],
        # Published, but no token of the pipeline.
        "vision_token_id": ids["<|image_pad|>"],
    }
    language = {
        **LANGUAGE,
        **vision,
        "bos_token_id": ids["<|endoftext|>"],
        "eos_token_id": ids["<|im_end|>"],
        "vocab_size": len(tokenizer),
    }
    return {
        **language,
        "image_token_id": ids["<|image_pad|>"],
        "model_type": "qwen2_5_vl",
        "sliding_window": 32768,
        "text_config": {
            **language,
            "image_token_id": None,
            "layer_types": ["full_attention"] * LANGUAGE["num_hidden_layers"],
            "model_type": "qwen2_5_vl_text",
            "sliding_window": None,
            "torch_dtype": "float32",
            "video_token_id": None,
        },
        "tie_word_embeddings": False,
        "torch_dtype": "bfloat16",
        "transformers_version": "4.53.1",
        "video_token_id": ids["<|video_pad|>"],
        "vision_config": VISION,
    }
