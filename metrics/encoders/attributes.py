"""The attribute classifier: says what a picture of a rendered person shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from metrics.encoders.memo import Memo, rgb
from metrics.encoders.weights import SHIPPED, sha256, versions
from metrics.networks import SIZE, load_attribute_network


class AttributeClassifier:
    """Sees the whole picture at 64 x 64, which must show one person aligned by the eyes, as renders do."""

    name = "attributes"

    def __init__(self, path: str | Path | None = None) -> None:
        self._path = Path(path) if path else SHIPPED / "attributes.safetensors"
        self._network = load_attribute_network(self._path)
        self._memo = Memo(self._look)

    @property
    def fingerprint(self) -> Mapping[str, str]:
        return {
            "network": f"attributes {sha256(self._path)[:12]}",
            "resize": f"bicubic antialiased to {SIZE}",
            **versions("torch", "pillow"),
        }

    @property
    def classes(self) -> Mapping[str, Sequence[str]]:
        return self._network.classes

    def describe(self, images: Sequence[Image.Image]) -> list[dict[str, str]]:
        """The likeliest value of every attribute, for each picture."""
        return self._memo(images)

    def _look(self, images: Sequence[Image.Image]) -> list[dict[str, str]]:
        pixels = np.stack([rgb(image, (SIZE, SIZE), Image.Resampling.BICUBIC) for image in images])
        with torch.no_grad():
            logits = self._network(torch.from_numpy(pixels).permute(0, 3, 1, 2))
        best = {name: part.argmax(1).tolist() for name, part in logits.items()}
        return [{name: self.classes[name][best[name][row]] for name in best} for row in range(len(images))]
