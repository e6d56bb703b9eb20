"""Extra conditioning tokens for the U-Net with the attributes of a person; used in training only.

Captions do not describe the shape of a face. A U-Net trained on captions alone does not learn to generate
facial detail through cross-attention, which is the only way for image tokens to act. Stable Diffusion's U-Net
learns it from thousands of names. Here the renderer's parameters replace the names: one token for each group
of parameters. The shipped pipeline does not contain these tokens, and no method receives them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from methods.compute.atomic_io import atomic_file
from methods.errors import MethodError
from methods.pretraining.dataset import Descriptions

ATTRIBUTES_FILE: Final = "describer.safetensors"
"""Trained tokens, in the checkpoint folder; they do not ship."""
ATTRIBUTES_SHARE: Final = 0.7
"""Share of the training images whose U-Net input contains attribute tokens."""


class AttributeTokens(nn.Module):
    """One token for each group of a person's attributes: a linear map plus a small network."""

    def __init__(self, descriptions: Descriptions, width: int) -> None:
        super().__init__()
        self.numbers = torch.from_numpy(descriptions.numbers)
        self.groups = descriptions.groups
        self.lines = nn.ModuleList(nn.Linear(size, width) for size in self.groups)
        self.bends = nn.ModuleList(
            nn.Sequential(nn.Linear(size, width), nn.SiLU(), nn.Linear(width, width)) for size in self.groups
        )
        self.norm = nn.LayerNorm(width)

    def forward(self, rows: Tensor) -> Tensor:
        """B x groups x width, for rows (B) of the training set."""
        numbers = self.numbers[rows].to(self.norm.weight.device)
        parts = zip(numbers.split(self.groups, 1), self.lines, self.bends, strict=True)
        tokens: Tensor = self.norm(torch.stack([line(part) + bend(part) for part, line, bend in parts], 1))
        return tokens


class AttributeConditioning(nn.Module):
    """Appends attribute tokens to caption tokens; without descriptions, captions are unchanged."""

    def __init__(self, descriptions: Descriptions | None, width: int, *, new_to_unet: bool = False) -> None:
        super().__init__()
        # The attribute's name is part of the keys in saved files.
        self.describer = AttributeTokens(descriptions, width) if descriptions else None
        self.new_to_unet = new_to_unet and self.describer is not None
        """True for a trained U-Net that was trained without these tokens."""

    @property
    def available(self) -> bool:
        """Whether the training set describes its people."""
        return self.describer is not None

    def append_to(self, context: Tensor, rows: Tensor, described: Tensor) -> tuple[Tensor, Tensor | None]:
        """The U-Net's text input, B x (L + groups) x width, and its attention mask, B x (L + groups).

        `rows` (B) are rows of the training set; where `described` (B) is false, attribute tokens are masked.
        """
        if self.describer is None:
            return context, None
        tokens = self.describer(rows)
        captions = torch.ones(context.shape[:2], dtype=torch.bool)
        attributes = described[:, None].expand(-1, tokens.shape[1])
        mask = torch.cat([captions, attributes], 1).to(context.device)
        return torch.cat([context.to(tokens.dtype), tokens], 1), mask

    def save(self, path: Path) -> None:
        """Write the weights, for a later training to start from."""
        with atomic_file(path) as temporary:
            save_file({name: part.contiguous() for name, part in self.state_dict().items()}, temporary)

    def resume(self, path: Path) -> None:
        """Load a file that `save` wrote; raises MethodError if its attributes have other sizes."""
        saved = load_file(path)
        sizes = {name: tuple(part.shape) for name, part in saved.items()}
        if sizes != {name: tuple(part.shape) for name, part in self.state_dict().items()}:
            raise MethodError(f"{path}: made for other attributes of people; move it away to train new ones")
        self.load_state_dict(saved)
        self.new_to_unet = False
