"""A captioned training set of coloured squares, and small untrained networks for it."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import CLIPTextModel

from bench.synthetic.parameters.persona_vector import Descriptions
from methods.pretraining.loop import Schedule
from methods.tiny_sd.autoencoder import new_autoencoder
from methods.tiny_sd.clip import new_clip
from methods.tiny_sd.encoded_set import FrozenParts
from methods.tiny_sd.tokenizer import learn_tokenizer

COLOURS = {"red": (200, 40, 40), "green": (40, 160, 60), "blue": (50, 70, 200), "white": (240, 240, 240)}


class Squares:
    """Eight people drawn as squares: one body colour per person, one background per photograph."""

    def __init__(self, people: int = 8, views: int = 4) -> None:
        self.names = list(COLOURS)
        self.identities: NDArray[np.int64] = np.repeat(np.arange(people), views)
        self.backgrounds = [self.names[(row * 5 + 1) % 4] for row in range(people * views)]
        bodies = np.eye(4, dtype=np.float32)[self.identities % 4]
        self.descriptions = Descriptions(bodies, (3, 1))
        self.pixels: NDArray[np.uint8] = np.stack([self._image(row) for row in range(people * views)])

    def _image(self, row: int) -> NDArray[np.uint8]:
        image = np.full((64, 64, 3), COLOURS[self.backgrounds[row]], np.uint8)
        image[16:64, 16:48] = COLOURS[self.names[self.identities[row] % 4]]
        return image

    def caption(self, row: int, rng: np.random.Generator, *, mirrored: bool) -> str:
        plain = self.template(row, mirrored=mirrored).format(subject=f"a {self.noun(row)}")
        return plain if rng.random() < 0.7 else f"a photo of a {self.noun(row)}"

    def template(self, row: int, *, mirrored: bool) -> str:
        return f"a photo of {{subject}}, {self.backgrounds[row]} background"

    def noun(self, row: int) -> str:
        return ("man", "woman")[int(self.identities[row]) % 2]

    def original_size(self, row: int) -> tuple[int, int]:
        height, width = self.pixels.shape[1:3]
        return height, width


def ignore_progress(step: int, steps: int, text: str) -> None:
    pass


def short_schedule(steps: int, rate: float) -> Schedule:
    return Schedule(steps=steps, batch=8, learning_rate=rate, warm_up=2, decay_from=0.9, ema=0.5)


def small_parts(data: Squares) -> FrozenParts:
    torch.manual_seed(0)
    tokenizer = learn_tokenizer([data.template(row, mirrored=False) for row in range(8)], vocabulary=900)
    text_encoder = CLIPTextModel(new_clip(tokenizer).config.text_config)
    return FrozenParts(new_autoencoder(widths=(8, 16, 16)), text_encoder, tokenizer)
