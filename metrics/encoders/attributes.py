"""A classifier of the visible attributes of rendered people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from metrics.encoders.architectures.small_resnet import SIZE, load_attribute_network, trained_on
from metrics.encoders.runtime.image_cache import ImageCache, Row, rgb
from metrics.encoders.runtime.inference import outputs_by_row
from metrics.encoders.runtime.weight_files import sha256, shipped, versions


class AttributeClassifier:
    """Input is the whole image at 64 x 64, which must show one person aligned by the eyes, as renders do."""

    name = "attributes"

    def __init__(self, path: str | Path | None = None) -> None:
        self._path = shipped(self.name, path, alternative="clip")
        self._network = load_attribute_network(self._path)
        self._trained_on = trained_on(self._path)
        self._cache = ImageCache(self._predict)

    @property
    def fingerprint(self) -> Mapping[str, str]:
        return {
            "network": f"attributes {sha256(self._path)[:12]}",
            "trained on": self._trained_on,
            "resize": f"bicubic antialiased to {SIZE}",
            "dtype": "float32",
            **versions("torch", "pillow"),
        }

    @property
    def classes(self) -> Mapping[str, Sequence[str]]:
        return self._network.classes

    def describe(self, images: Sequence[Image.Image]) -> list[dict[str, str]]:
        """The most likely value of every attribute, per image; empty if a logit is not finite."""
        # An empty row means that a logit is not finite.
        return [
            {name: values[i] for (name, values), i in zip(self.classes.items(), row, strict=False)}
            for row in self._cache(images)
        ]

    def _predict(self, images: Sequence[Image.Image]) -> list[Row]:
        """The number of the most likely value of every attribute."""
        pixels = np.stack([rgb(image, (SIZE, SIZE), Image.Resampling.BICUBIC) for image in images])
        inputs = torch.from_numpy(pixels).permute(0, 3, 1, 2)
        rows = outputs_by_row(self._logits, inputs, torch.device("cpu"))
        return [
            np.array([part.argmax() for part in row if all(np.isfinite(p).all() for p in row)], np.int64)
            for row in rows
        ]

    def _logits(self, inputs: torch.Tensor) -> list[torch.Tensor]:
        logits = self._network(inputs)
        return [logits[name] for name in self.classes]
