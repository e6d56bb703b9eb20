"""The trainable part of leave-one-out, from patch tokens to the backbone's attention; and its file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from methods.backbone.attention.interface import AdapterAttention
from methods.backbone.attention.token_layers import ImageTokens
from methods.compute.atomic_io import atomic_file
from methods.compute.loading import first_line, read_tensors
from methods.encoders.resampler import new_resampler
from methods.errors import MethodError
from methods.leave_one_out.adapter import Adapter
from methods.leave_one_out.aggregators import AGGREGATORS, Aggregator

OLD_NAMES = {"lean": "timestep_power"}
"""Setting names in files of version 0.1."""


@dataclass(frozen=True)
class NetworkConfig:
    """Architecture, training settings and provenance of a network, stored in the metadata of its file."""

    aggregator: str
    patch_width: int
    caption_width: int
    width: int
    """Width of the image tokens that the backbone's layers read: of the text's in a U-Net's cross-attention,
    of the whole network in a transformer."""
    tokens: int = 8
    """Tokens per photograph."""
    hidden: int = 128
    depth: int = 2
    shortcut: bool = False
    """Add a linear projection of the class token to the photo tokens."""
    noising: str = "held-out"
    leave_out: bool = True
    captions: str = "given"
    smallest_set: int = 1
    largest_set: int = 6
    timestep_power: float = 1.0
    """`noising` to `timestep_power`: the training objective, see `Objective`."""
    family: str = "sd1"
    """Family of the backbone."""
    backbone: str = ""
    """Digest of the backbone used in training."""
    encoder: str = ""
    """Name of the image encoder used in training."""
    encoder_digest: str = ""
    shown: str = "centre"
    """Part of a photograph that the encoder reads: `centre`, the central square, as in training."""
    training_data: str = ""
    """Names of the training sets, to detect training overlap."""
    training_people: int = 0
    """Number of persons in the training set."""
    steps: int = 0
    started_from: str = ""
    """The aggregator and number of steps of the start weights; empty if there were none."""


class LeaveOneOutNetwork(nn.Module):
    """All trainable parameters; the backbone and the image encoder are frozen."""

    def __init__(self, config: NetworkConfig, attention: AdapterAttention) -> None:
        super().__init__()
        if config.aggregator not in AGGREGATORS:
            raise MethodError(f"unknown aggregator {config.aggregator!r}; known: {', '.join(AGGREGATORS)}")
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
        self.adapter = Adapter(attention)
        self.nothing = nn.Parameter(0.02 * torch.randn(1, config.tokens, config.width))

    def zero_init(self) -> None:
        """Initialise for training: the adapter outputs zeros, and with a shortcut the Resampler does too.

        Measured on the built-in synthetic benchmark after 100 steps, zeroing the Resampler next to a shortcut
        raises the gain in loss from the photographs by a fifth. See also `Adapter.zero_init`.
        """
        self.adapter.zero_init()
        if self.shortcut is not None:
            nn.init.zeros_(self.photo.norm_out.weight)  # type: ignore[union-attr,arg-type]

    def load_matching_weights(self, other: LeaveOneOutNetwork) -> None:
        """Copy another network's weights except the aggregator's; raises MethodError if shapes differ."""
        copied = {name: v for name, v in other.state_dict().items() if not name.startswith("aggregator.")}
        own = {name: v.shape for name, v in self.state_dict().items() if not name.startswith("aggregator.")}
        if own != {name: v.shape for name, v in copied.items()}:
            raise MethodError(
                "leave-one-out: the start weights have other shapes; use the settings of their training"
            )
        self.load_state_dict(copied, strict=False)

    def tokens_of(self, patches: Tensor) -> Tensor:
        """Tokens of each photograph, independent of the others: (B, n, L, E) -> (B, n, T, D)."""
        photos = patches.flatten(0, 1)
        tokens: Tensor = self.photo(photos)
        if self.shortcut is not None:
            tokens = tokens + self.shortcut(photos)
        shaped: Tensor = tokens.unflatten(0, patches.shape[:2])
        return shaped

    def aggregate(self, tokens: Tensor, captions: Tensor, prompt: Tensor, mask: Tensor) -> ImageTokens:
        """G: the tokens of a set of photographs for a prompt."""
        aggregated: ImageTokens = self.aggregator(tokens, captions, prompt, mask)
        return aggregated

    def blend(self, latents: Tensor, captions: Tensor, prompt: Tensor, mask: Tensor) -> Tensor:
        """G in latent space: (B, n, C, h, w) -> (B, C, h, w)."""
        aggregator: Aggregator = self.aggregator  # type: ignore[assignment]  # true of all in AGGREGATORS
        return aggregator.blend(latents, captions, prompt, mask)

    def drop_photos(self, aggregated: ImageTokens, dropped: Tensor) -> ImageTokens:
        """Replace the rows in `dropped` (B,) by the learned unconditional tokens."""
        tokens, mask = aggregated
        count = self.nothing.shape[1]
        # Padded: concatenated sets have more tokens than the unconditional input.
        unconditional = torch.zeros_like(tokens)
        unconditional[:, :count] = self.nothing.to(tokens.dtype)
        tokens = torch.where(dropped[:, None, None], unconditional, tokens)
        if mask is None and tokens.shape[1] == count:
            return ImageTokens(tokens, None)
        mask = torch.ones(tokens.shape[:2], dtype=torch.bool, device=tokens.device) if mask is None else mask
        first = torch.arange(tokens.shape[1], device=tokens.device) < count
        return ImageTokens(tokens, torch.where(dropped[:, None], first, mask))


class _Shortcut(nn.Module):
    """Projects a photograph's class token to tokens, which are added to the Resampler's (cf. FaceID-Plus).

    A small encoder concentrates identity in its class token. A Resampler starts near the average of the
    patches and is slow to find it.
    """

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.before = nn.LayerNorm(config.patch_width)
        self.project = nn.Linear(config.patch_width, config.tokens * config.width)
        self.tokens = config.tokens

    def forward(self, patches: Tensor) -> Tensor:
        """(N, L, E) with the class token first -> (N, T, D)."""
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
    """Read the config of a weights file; raises MethodError if there is none."""
    if not path.is_file():
        raise MethodError(
            f"{path}: no such weights; train them with 'bench train loo', or give the path of a file"
        )
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
            f"{path}: no leave-one-out config in its metadata; expected a file from 'bench train loo'"
        ) from error


def load_network(path: Path, attention: AdapterAttention) -> LeaveOneOutNetwork:
    """Load a network in float32; raises MethodError if it does not fit the backbone's attention."""
    config = read_config(path)
    if config.width != attention.token_width:
        raise MethodError(
            f"{path}: made for image tokens {config.width} wide, this backbone's are {attention.token_width}"
        )
    # Initialisation must not advance the caller's random generator.
    with torch.random.fork_rng():
        try:
            network = LeaveOneOutNetwork(config, attention)
        except (TypeError, ValueError, RuntimeError, KeyError, ZeroDivisionError) as error:
            raise MethodError(f"{path}: its config describes no network ({first_line(error)})") from error
    state, _ = read_tensors(path)
    shapes = {name: value.shape for name, value in network.state_dict().items()}
    stored = {name: value.shape for name, value in state.items()}
    names = shapes.keys() | stored.keys()
    if differing := sorted(name for name in names if shapes.get(name) != stored.get(name)):
        raise MethodError(
            f"{path}: the weights do not fit this backbone ({len(differing)} of {len(names)} tensors are "
            f"missing, unknown or of another shape, such as {differing[0]})"
        )
    network.load_state_dict({name: value.float() for name, value in state.items()})
    return network.requires_grad_(False).eval()
