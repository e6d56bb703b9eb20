"""Published settings by name, each with its source; a suite's own settings override a preset's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final


@dataclass(frozen=True)
class Preset:
    """Settings that belong together: the differences from the method's defaults."""

    source: str
    settings: Mapping[str, Any] = field(default_factory=dict)


# The SDXL scripts use other weight decays and compute in half precision.
_SDXL: Final = {
    "weight_decay": 1e-4,
    "text_weight_decay": 1e-3,
    "text_learning_rate": 5e-6,
    "mixed_precision": "fp16",
}

# The script for SD 3 has them as defaults, with the precision of the README's command.
_SD3: Final = {
    "weight_decay": 1e-4,
    "text_weight_decay": 1e-3,
    "text_learning_rate": 5e-6,
    "weighting_scheme": "logit_normal",
    "precondition_outputs": True,
    "mixed_precision": "fp16",
}

_AI_TOOLKIT: Final = {
    "steps": 2000,
    "rank": 16,
    "captions": "per-photo",
    "mixed_precision": "bf16",
    "gradient_checkpointing": True,
}

# Prior preservation, rank and text encoders as for faces of people whom the model does not know.
_FACES: Final = {
    "steps": 1200,
    "batch": 2,
    "prior_weight": 1.0,
    "class_pictures": 200,
    "text_encoder": True,
    "rank": 16,
}

# On both tiny backbones.
_EMBEDDED: Final = {
    "steps": 80,
    "batch": 4,
    "learning_rate": 3e-3,
    "rank": 16,
    "captions": "per-photo",
    "crop": "squeeze",
    "latents": "mode",
    "prior_weight": 1.0,
    "class_pictures": 14,
    "mixed_precision": "auto",
    "merged": True,
}

# The tiny U-Net needs more layers and a higher rate than Stable Diffusion's recipes.
_EMBEDDED_TARGETS: Final = (
    *("to_k", "to_q", "to_v", "to_out.0"),
    *("ff.net.0.proj", "ff.net.2", "proj_in", "proj_out", "conv1", "conv2"),
)

# Attention, feed-forward networks and modulation of the tiny transformer.
_EMBEDDED_FLOW_TARGETS: Final = (
    *("to_k", "to_q", "to_v", "to_out.0", "add_k_proj", "add_q_proj", "add_v_proj", "to_add_out"),
    *("ff.net.0.proj", "ff.net.2", "ff_context.net.0.proj", "ff_context.net.2"),
    *("norm1.linear", "norm1_context.linear"),
)

DREAMBOOTH: Final[dict[str, Preset]] = {
    "embedded": Preset(
        "this project: for the built-in synthetic benchmark, chosen on two of the shipped people (emma, "
        "ruth); steps and rate chosen on six validation people, where 120 steps at 2e-3 gave .01 less "
        "identity by sface and .06 more by face-rendered",
        {**_EMBEDDED, "targets": _EMBEDDED_TARGETS},
    ),
    "embedded-flow": Preset(
        "this project: as embedded, on the built-in flow transformer; chosen on two of the shipped people "
        "(emma, ruth) among eight settings of rate, shift, density, rank, steps and layers, which differ by "
        "at most .012 in identity by sface",
        {
            **_EMBEDDED,
            "weighting_scheme": "logit_normal",
            "shift": 2.0,
            "targets": _EMBEDDED_FLOW_TARGETS,
        },
    ),
    "diffusers-readme": Preset(
        "diffusers examples/dreambooth/README.md, the command for train_dreambooth_lora.py; the defaults"
    ),
    "diffusers-readme-sdxl": Preset(
        "diffusers examples/dreambooth/README_sdxl.md, the command for train_dreambooth_lora_sdxl.py",
        {**_SDXL, "accumulation": 4},
    ),
    "diffusers-readme-sd3": Preset(
        "diffusers examples/dreambooth/README_sd3.md, the command for train_dreambooth_lora_sd3.py and its "
        "defaults; T5 reads max_sequence_length tokens of the backbone, in the script 77",
        {**_SD3, "learning_rate": 4e-4, "accumulation": 4},
    ),
    "ai-toolkit-sd3": Preset(
        "ostris/ai-toolkit config/examples/train_lora_sd35_large_24gb.yaml; without its 8-bit optimiser and "
        "weights, its dropout of captions and its average of the weights; LoRA on attention only",
        {**_AI_TOOLKIT, "shift": 1.0},
    ),
    "diffusers-readme-flux": Preset(
        "diffusers examples/dreambooth/README_flux.md, the command for train_dreambooth_lora_flux.py: with "
        "Prodigy and guidance scale 1",
        {
            "weight_decay": 1e-4,
            "text_weight_decay": 1e-3,
            "mixed_precision": "bf16",
            "optimizer": "prodigy",
            "learning_rate": 1.0,
            "accumulation": 4,
        },
    ),
    "ai-toolkit-flux": Preset(
        "ostris/ai-toolkit config/examples/train_lora_flux_24gb.yaml; without its 8-bit optimiser and "
        "weights, its dropout of captions, average of the weights and other resolutions; LoRA on the layers "
        "of diffusers' script",
        _AI_TOOLKIT,
    ),
    "diffusers-readme-flux2": Preset(
        "diffusers examples/dreambooth/README_flux2.md (commit 58eb52c), the commands for FLUX.2 klein 4B "
        "and 9B and the defaults of train_dreambooth_lora_flux2_klein.py; without its 8-bit optimiser, in "
        "bf16 in place of fp8; text from layers 9, 18 and 27 of Qwen3 as in the pipeline, where the script "
        "has those of FLUX.2 dev, 10, 20 and 30",
        {
            "latents": "mode",
            "weight_decay": 1e-4,
            "accumulation": 4,
            "mixed_precision": "bf16",
            "gradient_checkpointing": True,
        },
    ),
    "faces-sd3": Preset(
        "this project, not measured: the preset faces with rates, weight decays, timesteps and loss of "
        "diffusers examples/dreambooth/README_sd3.md",
        {**_SD3, **_FACES, "mixed_precision": "bf16", "gradient_checkpointing": True},
    ),
    "faces": Preset(
        "Hugging Face's article on DreamBooth (2022) for faces: 800 to 1200 steps of 2, prior preservation, "
        "text encoder trained; class images and LoRA's rates as in diffusers examples/dreambooth/README.md; "
        "rank 16 is the choice of this project, the script's default is 4",
        _FACES,
    ),
    "faces-sdxl": Preset(
        "this project, not measured: the preset faces with rates, weight decays and precision of diffusers "
        "examples/dreambooth/README_sdxl.md; gradient checkpointing for GPUs of 40 GB",
        {**_SDXL, **_FACES, "gradient_checkpointing": True},
    ),
    "dreambench-plus": Preset(
        "yuangpeng/dreambench_plus generate_models.py, dreambooth_lora_sd: no rare token",
        {"steps": 100, "token": ""},
    ),
    "dreambench-plus-sdxl": Preset(
        "yuangpeng/dreambench_plus generate_models.py, dreambooth_lora_sdxl: no rare token",
        {**_SDXL, "steps": 500, "learning_rate": 5e-5, "token": ""},
    ),
}

TI_LORA: Final[dict[str, Preset]] = {
    "embedded": Preset(
        "this project, not measured: the settings of dreambooth-lora on the built-in backbone, with the rate "
        "and the vectors of textual-inversion there",
        {
            **DREAMBOOTH["embedded"].settings,
            "vectors": 4,
            "initializer": "{noun}",
            "text_learning_rate": 1e-2,
        },
    ),
    "cog-sdxl": Preset("replicate/cog-sdxl trainer_pti.py, is_lora: rates, rank, steps; the defaults"),
    "diffusers-advanced-sdxl": Preset(
        "diffusers examples/advanced_diffusion_training/README.md, the command with Prodigy for "
        "train_dreambooth_lora_sdxl_advanced.py",
        {
            "batch": 3,
            "rank": 8,
            "learning_rate": 1.0,
            "text_learning_rate": 1.0,
            "optimizer": "prodigy",
            "min_snr": 5.0,
            "captions": "per-photo",
            "mixed_precision": "bf16",
            "gradient_checkpointing": True,
        },
    ),
}

TEXTUAL_INVERSION: Final[dict[str, Preset]] = {
    "embedded": Preset(
        "this project: for the built-in synthetic benchmark, chosen in the same way: a few vectors, and far "
        "fewer steps with more photographs each",
        {
            "captions": "per-photo",
            "flip": False,
            "latents": "mode",
            "vectors": 4,
            "steps": 80,
            "batch": 4,
            "accumulation": 1,
            "learning_rate": 1e-2,
            "mixed_precision": "auto",
        },
    ),
    "diffusers-readme": Preset(
        "diffusers examples/textual_inversion/README.md, the command for textual_inversion.py, with "
        "--scale_lr applied: 5e-4 times 4; the defaults"
    ),
    "diffusers-readme-sdxl": Preset(
        "diffusers examples/textual_inversion/README_sdxl.md, the command for textual_inversion_sdxl.py",
        {"steps": 500, "mixed_precision": "bf16"},
    ),
    "dreambench-plus": Preset(
        "yuangpeng/dreambench_plus generate_models.py, textual_inversion_sd",
        {"accumulation": 1, "learning_rate": 5e-4, "placeholder": "<sks>"},
    ),
}
