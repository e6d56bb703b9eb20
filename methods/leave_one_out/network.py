"""The learned part of leave-one-out, from photographs to the U-Net's cross-attention; and its file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from methods.compute.atomic_io import atomic_file
from methods.encoders.resampler import new_resampler
from methods.errors import MethodError
from methods.leave_one_out.aggregators import AGGREGATORS, AggregatedTokens, Aggregator
from methods.leave_one_out.cross_attention import Adapter

OLD_NAMES = {"lean": "timestep_power"}
"""Names of settings in files written by version 0.1."""


@dataclass(frozen=True)
class NetworkConfig:
    """What it takes to build the network and to judge whether its weights fit; it travels in their file."""

    aggregator: str
    patch_width: int
    caption_width: int
    width: int
    """Width of the U-Net's cross-attention."""
    tokens: int = 8
    """Tokens per photograph."""
    hidden: int = 128
    depth: int = 2
    shortcut: bool = False
    """The class token also goes straight into the photo tokens, by one linear layer."""
    noising: str = "held-out"
    leave_out: bool = True
    captions: str = "given"
    smallest_set: int = 1
    largest_set: int = 6
    timestep_power: float = 1.0
    """The objective it was trained with; see `Objective`."""
    family: str = "sd1"
    """The backbone's layout: sd1, sd2, sdxl."""
    backbone: str = ""
    """Digest of the backbone it was trained with."""
    encoder: str = ""
    """Name of the image encoder it was trained with."""
    encoder_digest: str = ""
    training_data: str = ""
    """Name of the photographs it has seen, for the leak ledger."""
    training_people: int = 0
    """How many persons they show."""
    steps: int = 0
    started_from: str = ""
    """The aggregator whose other weights these went on from, and after how many steps; empty for none."""


class LeaveOneOutNetwork(nn.Module):
    """Everything that learns; the backbone and the image encoder stay frozen."""

    def __init__(self, config: NetworkConfig, unet: Any) -> None:
        super().__init__()
        if config.aggregator not in AGGREGATORS:
            raise MethodError(f"unknown aggregator {config.aggregator!r}; known are {', '.join(AGGREGATORS)}")
        self.config = config
        self.photo = new_resampler(
            patch_width=config.patch_width,
            width=config.width,
            tokens=config.tokens,
            hidden=config.hidden,
            depth=config.depth,
        )
        self.shortcut = _Shortcut(config) if config.shortcut else None
        self.aggregator = AGGREGATORS[config.aggregator](config.width, config.caption_width, config.tokens)
        self.adapter = Adapter(unet)
        self.nothing = nn.Parameter(0.02 * torch.randn(1, config.tokens, config.width))

    def zero_init(self) -> None:
        """As training starts: the adapter adds nothing, and with a shortcut the Resampler says nothing.

        Measured on the embedded world after 100 steps: see `Adapter.silence`; the Resampler's silence adds a
        fifth to what the photographs are worth where there is a shortcut to speak in its stead.
        """
        self.adapter.zero_init()
        if self.shortcut is not None:
            nn.init.zeros_(self.photo.norm_out.weight)  # type: ignore[union-attr,arg-type]

    def load_matching_weights(self, other: LeaveOneOutNetwork) -> None:
        """Copy all of another network's weights but its aggregator's."""
        kept = {name: v for name, v in other.state_dict().items() if not name.startswith("aggregator.")}
        own = {name: v.shape for name, v in self.state_dict().items() if not name.startswith("aggregator.")}
        if own != {name: v.shape for name, v in kept.items()}:
            raise MethodError(
                "leave-one-out: the weights to go on from have other sizes; give the same settings"
            )
        self.load_state_dict(kept, strict=False)

    def tokens_of(self, patches: Tensor) -> Tensor:
        """Tokens of each photograph by itself: (B, n, L, E) -> (B, n, T, D)."""
        photos = patches.flatten(0, 1)
        tokens: Tensor = self.photo(photos)
        if self.shortcut is not None:
            tokens = tokens + self.shortcut(photos)
        shaped: Tensor = tokens.unflatten(0, patches.shape[:2])
        return shaped

    def gather(self, tokens: Tensor, captions: Tensor, wanted: Tensor, mask: Tensor) -> AggregatedTokens:
        """G: the tokens of a set of photographs for a wanted caption."""
        gathered: AggregatedTokens = self.aggregator(tokens, captions, wanted, mask)
        return gathered

    def blend(self, latents: Tensor, captions: Tensor, wanted: Tensor, mask: Tensor) -> Tensor:
        """G in latent space: (B, n, C, h, w) -> (B, C, h, w)."""
        joining: Aggregator = self.aggregator  # type: ignore[assignment]  # every module of the table is one
        return joining.blend(latents, captions, wanted, mask)

    def without(self, gathered: AggregatedTokens, dropped: Tensor) -> AggregatedTokens:
        """The same with "no photographs" in the rows that `dropped` (B,) names."""
        tokens, keep = gathered
        count = self.nothing.shape[1]
        # A padded row: concatenated sets have more tokens than "nothing" has.
        nothing = torch.zeros_like(tokens)
        nothing[:, :count] = self.nothing.to(tokens.dtype)
        tokens = torch.where(dropped[:, None, None], nothing, tokens)
        if keep is None and tokens.shape[1] == count:
            return AggregatedTokens(tokens, None)
        keep = torch.ones(tokens.shape[:2], dtype=torch.bool, device=tokens.device) if keep is None else keep
        first = torch.arange(tokens.shape[1], device=tokens.device) < count
        return AggregatedTokens(tokens, torch.where(dropped[:, None], first, keep))


class _Shortcut(nn.Module):
    """A photograph's class token as tokens, beside the Resampler's, as in IP-Adapter FaceID-Plus.

    A small encoder says who somebody is in its class token; a Resampler starts from the average of the
    patches and would first have to find it.
    """

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.before = nn.LayerNorm(config.patch_width)
        self.project = nn.Linear(config.patch_width, config.tokens * config.width)
        self.tokens = config.tokens

    def forward(self, patches: Tensor) -> Tensor:
        """(N, L, E), the class token first, -> (N, T, D)."""
        projected: Tensor = self.project(self.before(patches[:, 0])).unflatten(1, (self.tokens, -1))
        return projected


def save_network(
    path: Path, network: LeaveOneOutNetwork, config: NetworkConfig, *, dtype: torch.dtype
) -> None:
    """Write the weights with their config as safetensors metadata; the file appears whole."""
    state = {
        name: value.detach().to("cpu", dtype).contiguous() for name, value in network.state_dict().items()
    }
    with atomic_file(path) as temporary:
        save_file(state, temporary, metadata={"config": json.dumps(asdict(config), sort_keys=True)})


def read_config(path: Path) -> NetworkConfig:
    """The config in a weights file; raises MethodError where there is none."""
    if not path.is_file():
        raise MethodError(f"{path}: no such weights; make them with 'bench train loo', or name a file")
    try:
        with safe_open(path, "pt") as stored:
            metadata: Mapping[str, str] = stored.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise MethodError(f"{path}: not a safetensors file ({error})") from error
    known = {field.name for field in fields(NetworkConfig)}
    try:
        values = json.loads(metadata["config"])
        values = {OLD_NAMES.get(key, key): value for key, value in values.items()}
        return NetworkConfig(**{key: value for key, value in values.items() if key in known})
    except (KeyError, TypeError, ValueError) as error:
        raise MethodError(
            f"{path}: no leave-one-out config in its metadata; wanted a file of 'bench train loo'"
        ) from error


def load_network(path: Path, unet: Any, *, width: int) -> LeaveOneOutNetwork:
    """The network in a file, in float32, for a U-Net whose cross-attention is `width` wide."""
    config = read_config(path)
    if config.width != width:
        raise MethodError(f"{path}: made for cross-attention {config.width} wide, this backbone's is {width}")
    # Building draws random numbers that the file then replaces; the caller's must stay as they are.
    with torch.random.fork_rng():
        network = LeaveOneOutNetwork(config, unet)
    with safe_open(path, "pt") as stored:
        state = {name: stored.get_tensor(name).float() for name in stored.keys()}  # noqa: SIM118  # no mapping
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        raise MethodError(
            f"{path}: the weights do not fit this backbone ({str(error).splitlines()[0]})"
        ) from error
    return network.requires_grad_(False).eval()
