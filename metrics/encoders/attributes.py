"""A classifier of the visible attributes of rendered people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from metrics.encoders.architectures.small_resnet import SIZE, load_attribute_network, trained_on
from metrics.encoders.runtime.image_cache import ImageCache, rgb
from metrics.encoders.runtime.inference import inference_mode
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
        return self._cache(images)

    def _predict(self, images: Sequence[Image.Image]) -> list[dict[str, str]]:
        pixels = np.stack([rgb(image, (SIZE, SIZE), Image.Resampling.BICUBIC) for image in images])
        with inference_mode():
            logits = self._network(torch.from_numpy(pixels).permute(0, 3, 1, 2))
        return [
            self._most_likely({name: part[row] for name, part in logits.items()})
            for row in range(len(images))
        ]

    def _most_likely(self, logits: Mapping[str, torch.Tensor]) -> dict[str, str]:
        if not all(part.isfinite().all() for part in logits.values()):
            return {}
        return {name: self.classes[name][int(part.argmax())] for name, part in logits.items()}
