"""Settings of the backbone: the checkpoint to load and the sampler."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Final, Literal

from methods.setting_checks import Bounds, Share

EMBEDDED: Final = "embedded"
"""Setting value for the backbone, encoder or adapter that ships with the package."""
EMBEDDED_FLOW: Final = "embedded-flow"
"""Setting value for the backbone with a transformer and rectified flow, and for its adapters."""
SHIPPED_BACKBONES: Final = (EMBEDDED, EMBEDDED_FLOW)

Family = Literal["sd1", "sd2", "sdxl", "sd3", "flux", "flux2"]
"""Stable Diffusion 1.x, 2.x, XL, 3 and 3.5, FLUX.1, or FLUX.2 klein."""
Dtype = Literal["fp32", "fp16", "bf16"]
CpuOffload = bool | Literal["model", "sequential"]
Guidance = Annotated[float, Bounds(1, 1000)]


@dataclass(frozen=True)
class BackboneSpec:
    """The checkpoint and the sampling settings of a run."""

    path: str = EMBEDDED
    """A folder of Stable Diffusion (1, 2, XL, 3, 3.5), FLUX.1 or FLUX.2 klein in diffusers' layout, a hub id,
    a single `.safetensors` file (not of FLUX.2; of SD 3 and FLUX.1 only the transformer is read), or
    `embedded` or `embedded-flow`, which ship."""
    revision: str | None = None
    """The hub's commit, 40 digits; required for a hub id, ignored for a folder."""
    variant: str | None = None
    """Variant of the weight files, such as `fp16` for `model.fp16.safetensors`; None: no variant."""
    config: str | None = None
    """For a single file: the folder, or hub id and commit (`owner/name@commit`), of the model it was made
    from. Supplies configs, tokenizers and scheduler, including the U-Net's prediction type; for SD 3 and
    FLUX.1 the autoencoder and the text encoders, too."""
    vae: str | None = None
    """Folder, or hub id and commit (`owner/name@commit`), of another autoencoder, such as an SDXL one for
    half precision; None: the checkpoint's own."""
    scheduler: str = "own"
    """`ddim`, `dpm++`, `euler`, `unipc`, `pndm`, or `own` for the checkpoint's."""
    steps: Annotated[int, Bounds(1, 1000)] = 30
    guidance: Guidance = 7.5
    """Scale of classifier-free guidance; 1 is none. FLUX.1 dev reads it as an input instead."""
    true_cfg_scale: Guidance = 1.0
    """For `flux`: scale of classifier-free guidance, which takes two passes; 1 is none."""
    guidance_rescale: Share = 0.0
    """Rescaling of the guided prediction (Lin et al. 2024), for models with zero terminal SNR; 0: none."""
    use_karras_sigmas: bool = False
    """Noise levels of Karras et al. (2022), for `dpm++`, `euler`, `unipc`; false: the scheduler's own."""
    clip_skip: Annotated[int, Bounds(1, 10)] | None = None
    """Last layers of the text encoders that are not used, in training and in sampling; None: as published."""
    shift: Annotated[float, Bounds(0.01, 100)] | None = None
    """For `sd3`, `flux` and `flux2`: shift of the sampler's noise levels towards noise, by diffusers'
    scheduler; None: the checkpoint's own, which FLUX.1 dev and FLUX.2 compute from the resolution."""
    t5: bool = True
    """For `sd3`: load the T5 text encoder; false: zeros in the place of its tokens, less memory."""
    max_sequence_length: Annotated[int, Bounds(0, 512)] | None = None
    """For `sd3` and `flux`: tokens of T5 per prompt, in training and in sampling; None: 256 and 512, as in
    diffusers. Without T5 the tokens are zeros, and 0 leaves them out. For `flux2`: tokens of Qwen3 with those
    of its chat template; None: 512."""
    negative_prompt: str = ""
    resolution: Annotated[int, Bounds(8, 8192)] | None = None
    """Side of an image in pixels; None is the network's native size."""
    dtype: Dtype = "fp32"
    quantization: Literal["torchao-int8"] | None = None
    """For transformers: int8 weights of the network that predicts, by diffusers and the package torchao; text
    encoders and autoencoder keep `dtype`. Images differ from those without. None: not quantised."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    batch: Annotated[int, Bounds(1, 4096)] = 8
    """Images per batch. Batches are padded to this size: an image's bytes depend on the batch size."""
    attention_slicing: bool = False
    """Compute attention one image at a time: less memory, slower. Not applied to a method's own layers."""
    vae_slicing: bool = False
    """Decode and encode one image at a time."""
    vae_tiling: bool = False
    """Decode and encode large images in overlapping tiles, with faint differences at the seams."""
    cpu_offload: CpuOffload = False
    """For small GPUs. `true` or `model`: each network is on the GPU only while it runs, slower. `sequential`:
    each layer is, with the least memory, slowest, in sampling only."""
    compile: bool = False
    """Sample with a compiled network (`torch.compile`): minutes of start-up, then faster."""


@dataclass(frozen=True)
class TextLimit:
    """How much of a prompt one text encoder reads."""

    encoder: str
    """`CLIP`, `T5` or `Qwen3`."""
    tokenizer: str
    """Its folder."""
    tokens: int | None = None
    """Tokens unless the backbone's max_sequence_length replaces them; None: as in the tokenizer's config."""
    is_chat: bool = False
    """Whether the prompt follows the beginning of the tokenizer's chat template, which counts, too."""
