"""The face network and the attribute network of the built-in synthetic benchmark, for images of 64 pixels."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final, TypeVar

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional as F

from metrics.atomic_write import atomic_write
from metrics.interface import MetricError

N = TypeVar("N", bound=nn.Module)
TRAINING_DATA: Final = "rendered-people-train"
"""Training data of both networks, for the check of training overlap."""
SIZE: Final = 64
"""Height and width of the input of both networks, with the eyes at y = 28 and x = 32 +- 7.5."""


@dataclass(frozen=True)
class Widths:
    """Channels after the stem and after each of the three stages (at 32, 16, 8 and 4 pixels)."""

    stem: int = 32
    first: int = 64
    second: int = 96
    third: int = 160


class Block(nn.Module):
    """A residual block that halves height and width (He et al. 2016, with ResNet-D's pooled shortcut)."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(before, after, 3, 2, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(after)
        self.conv2 = nn.Conv2d(after, after, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(after)
        self.shortcut = nn.Conv2d(before, after, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm2(self.conv2(F.relu(self.norm1(self.conv1(x)))))
        return F.relu(y + self.shortcut(F.avg_pool2d(x, 2)))


class Trunk(nn.Module):
    """Pixels, N x 3 x 64 x 64 in 0..255, to a map of N x third x 4 x 4."""

    def __init__(self, widths: Widths) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, widths.stem, 3, 2, 1, bias=False)
        self.norm = nn.BatchNorm2d(widths.stem)
        self.stages = nn.Sequential(
            Block(widths.stem, widths.first),
            Block(widths.first, widths.second),
            Block(widths.second, widths.third),
        )

    def forward(self, pixels: Tensor) -> Tensor:
        x = pixels.float() / 127.5 - 1
        y: Tensor = self.stages(F.relu(self.norm(self.stem(x.contiguous(memory_format=torch.channels_last)))))
        return y


class FaceNetwork(nn.Module):
    """Pixels, N x 3 x 64 x 64 in 0..255, to N vectors, of which only the direction is meaningful."""

    def __init__(self, widths: Widths, width: int = 128) -> None:
        super().__init__()
        self.widths = widths
        self.width = width
        self.trunk = Trunk(widths)
        self.vector = nn.Linear(16 * widths.third, width, bias=False)
        self.norm = nn.BatchNorm1d(width, affine=False)

    def forward(self, pixels: Tensor) -> Tensor:
        vectors: Tensor = self.norm(self.vector(F.dropout(self.trunk(pixels).flatten(1), 0.2, self.training)))
        return vectors


class AttributeNetwork(nn.Module):
    """Pixels, N x 3 x 64 x 64 in 0..255, to logits of each attribute's classes."""

    def __init__(self, widths: Widths, classes: Mapping[str, Sequence[str]]) -> None:
        super().__init__()
        self.widths = widths
        self.classes = {name: tuple(values) for name, values in classes.items()}
        self.trunk = Trunk(widths)
        self.heads = nn.Linear(16 * widths.third, sum(map(len, self.classes.values())))

    def forward(self, pixels: Tensor) -> dict[str, Tensor]:
        logits = self.heads(F.dropout(self.trunk(pixels).flatten(1), 0.2, self.training))
        parts = logits.split([len(values) for values in self.classes.values()], dim=1)
        return dict(zip(self.classes, parts, strict=True))


def save_network(path: Path, network: FaceNetwork | AttributeNetwork) -> None:
    """Write weights (float16) and configuration into one safetensors file, atomically."""
    tensors = {
        key: (value.half() if value.ndim > 1 else value).contiguous().cpu()
        for key, value in network.state_dict().items()
        if not key.endswith("num_batches_tracked")
    }
    metadata = {"widths": json.dumps(asdict(network.widths)), "trained_on": TRAINING_DATA}
    match network:
        case FaceNetwork():
            metadata["width"] = str(network.width)
        case AttributeNetwork():
            metadata["classes"] = json.dumps(network.classes)
    with atomic_write(path) as temporary:
        save_file(tensors, temporary, metadata)


def load_face_network(path: Path) -> FaceNetwork:
    """Load a file of `save_network`; raises MetricError if it is missing or of another network."""
    metadata, tensors = _read(path)
    network = FaceNetwork(Widths(**json.loads(metadata["widths"])), int(metadata.get("width", 1)))
    return _fill(network, tensors, path)


def load_attribute_network(path: Path) -> AttributeNetwork:
    """Load a file of `save_network`; raises MetricError if it is missing or of another network."""
    metadata, tensors = _read(path)
    widths, classes = json.loads(metadata["widths"]), json.loads(metadata.get("classes", '{"none": [""]}'))
    network = AttributeNetwork(Widths(**widths), classes)
    return _fill(network, tensors, path)


def trained_on(path: Path) -> str:
    """The training data of a network. Files without this key come from the same command and data."""
    return _read(path, tensors=False)[0].get("trained_on", TRAINING_DATA)


def _read(path: Path, *, tensors: bool = True) -> tuple[dict[str, str], dict[str, Tensor]]:
    if not path.is_file():
        raise MetricError(f"{path}: no such file; run `bench train encoders`")
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
            found = {key: file.get_tensor(key).float() for key in file.keys()} if tensors else {}  # noqa: SIM118
    except SafetensorError as error:
        raise MetricError(
            f"{path}: not a complete safetensors file ({error}); run `bench train encoders`"
        ) from error
    if "widths" not in metadata:
        raise MetricError(
            f"{path}: no `widths` in its metadata; expected a file written by `bench train encoders`"
        )
    return metadata, found


def _fill(network: N, tensors: dict[str, Tensor], path: Path) -> N:
    counters = {key for key in network.state_dict() if key.endswith("num_batches_tracked")}
    try:
        missing, extra = network.load_state_dict(tensors, strict=False)
    except RuntimeError as error:
        raise MetricError(
            f"{path}: {str(error).splitlines()[-1].strip()}; is it the file of another network?"
        ) from error
    if set(missing) - counters or extra:
        raise MetricError(
            f"{path}: {len(missing)} tensors missing, {len(extra)} unexpected; "
            "is it the file of another network?"
        )
    return network.eval().requires_grad_(False)
