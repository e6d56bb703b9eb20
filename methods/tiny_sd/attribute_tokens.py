"""Who a person is, told to the U-Net beside the caption; in training only.

Captions leave open what a nose is shaped like. A U-Net that learns from them alone has nothing to do with its
cross-attention there, and image tokens, which work through it, cannot draw a face. Stable Diffusion's U-Net
has met thousands of names. Here the renderer's own numbers take their place: one more token for each group of
them. They are not part of the pipeline that ships, and no method sees them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from methods.errors import MethodError
from methods.pretraining.dataset import Descriptions

DESCRIBED: Final = 0.7
"""Share of the training pictures whose person is described."""


class AttributeTokens(nn.Module):
    """One token for each group of a person's numbers: a linear map plus a small network's."""

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


class Description(nn.Module):
    """Puts the tokens behind the captions'; without descriptions, the captions stay as they are."""

    def __init__(self, descriptions: Descriptions | None, width: int, *, strange: bool = False) -> None:
        super().__init__()
        self.describer = AttributeTokens(descriptions, width) if descriptions else None
        self.strange = strange and self.describer is not None
        """Whether a U-Net is to read it that has learnt already, and has never met these tokens."""

    def beside(self, context: Tensor, rows: Tensor, described: Tensor) -> tuple[Tensor, Tensor | None]:
        """The tokens that the U-Net reads, B x (L + groups) x width, and which of them it may look at.

        `rows` (B) are rows of the training set; where `described` (B) is false only the caption is seen.
        """
        if self.describer is None:
            return context, None
        tokens = self.describer(rows)
        seen = torch.ones(context.shape[:2], dtype=torch.bool)
        told = described[:, None].expand(-1, tokens.shape[1])
        return torch.cat([context.to(tokens.dtype), tokens], 1), torch.cat([seen, told], 1).to(context.device)

    def save(self, path: Path) -> None:
        """For a later training to go on from."""
        save_file({name: part.contiguous() for name, part in self.state_dict().items()}, path)

    def resume(self, path: Path) -> None:
        """Go on from a file that `save` wrote; MethodError where it told of people in other numbers."""
        saved = load_file(path)
        sizes = {name: tuple(part.shape) for name, part in saved.items()}
        if sizes != {name: tuple(part.shape) for name, part in self.state_dict().items()}:
            raise MethodError(f"{path}: made for other descriptions of people; move it away to begin anew")
        self.load_state_dict(saved)
        self.strange = False
