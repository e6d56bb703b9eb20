"""Which backbone to load and how to sample from it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

EMBEDDED: Final = "embedded"


@dataclass(frozen=True)
class BackboneSpec:
    """Which backbone, and how it draws."""

    path: str = EMBEDDED
    """A Stable Diffusion (1, 2 or XL) folder in diffusers' layout, a hub id, a single `.safetensors` file,
    or `embedded` for the one that ships here."""
    revision: str | None = None
    """The hub's commit, 40 digits, which a hub id needs; of no meaning for a folder."""
    variant: str | None = None
    """Which of a folder's weights, such as `fp16` for `model.fp16.safetensors`; None: the unmarked."""
    config: str | None = None
    """For a single file: the folder, or hub id and commit (`owner/name@commit`), of the model it was made
    from, whose configs, tokenizers and scheduler it goes with. Above all they say what the U-Net predicts."""
    scheduler: str = "own"
    """`ddim`, `dpm++`, `euler`, `unipc`, `pndm`, or `own` for the folder's."""
    steps: int = 30
    guidance: float = 7.5
    negative_prompt: str = ""
    resolution: int | None = None
    """Side of a picture in pixels; None is the one the U-Net was made for."""
    dtype: Literal["fp32", "fp16", "bf16"] = "fp32"
    device: Literal["auto", "cpu", "cuda"] = "auto"
    batch: int = 8
    """Pictures drawn at once. Always exactly so many: a picture's bytes depend on the batch's size."""
    attention_slicing: bool = False
    """Draw with attention to one picture at a time: less memory, slower. A method's own layers stay whole."""
    vae_slicing: bool = False
    """Decode and encode one picture at a time."""
    vae_tiling: bool = False
    """Decode and encode large pictures in overlapping tiles, with faint differences where they meet."""
    cpu_offload: bool = False
    """Each network on the GPU only while it works: fits a small GPU, slower."""
    compile: bool = False
    """Draw with a compiled U-Net (`torch.compile`): minutes to begin with, then faster. Needs a compiler."""
