"""A person whose photographs the backbone reads beside every prompt."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from PIL.Image import Image

from methods.backbone.backbone import Backbone
from methods.backbone.prior_prompts import generate_with_class_images
from methods.subject import Request


@dataclass(frozen=True)
class PersonalisedContext:
    """One person in the context of a backbone; class images are generated without it."""

    phrase: str
    image: Callable[[int], Any]
    """Returns the pipeline's argument `image` for a batch of this many rows."""
    backbone: Backbone

    def generate(self, requests: Sequence[Request]) -> list[Image]:
        return generate_with_class_images(requests, self._generate, self.backbone)

    def _generate(self, requests: Sequence[Request]) -> list[Image]:
        prompts = [request.prompt(self.phrase) for request in requests]
        seeds = [request.seed for request in requests]

        def arguments(rows: Sequence[int]) -> Mapping[str, Any]:
            return {"image": self.image(len(rows))}

        return self.backbone.generate(prompts, seeds, before=arguments)
