"""measure_backbone.py: an image per caption with its own seed, and no T5 where there is none."""

import importlib
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from PIL import Image

sys.path.append(str(Path(__file__).parents[2] / "results" / "scripts"))
measure_backbone = importlib.import_module("measure_backbone")


class Recorder:
    """A pipeline that returns empty images and records its calls."""

    def __init__(self, *components: str) -> None:
        self.components = dict.fromkeys(components)
        self.calls: list[dict[str, Any]] = []

    def __call__(self, captions: Sequence[str], **arguments: Any) -> SimpleNamespace:
        self.calls.append(arguments)
        return SimpleNamespace(images=[Image.new("RGB", (2, 2)) for _ in captions])


@pytest.mark.parametrize(("components", "expected"), [((), None), (("text_encoder_3",), 0)])
def test_every_caption_has_its_own_seed(components: tuple[str, ...], expected: int | None) -> None:
    pipeline = Recorder("unet", *components)
    captions = [f"caption {row}" for row in range(2 * measure_backbone.BATCH + 3)]
    images, wall, processor = measure_backbone.generate(pipeline, captions, 4, 3.0)
    assert len(images) == len(captions)
    seeds = [generator.initial_seed() for call in pipeline.calls for generator in call["generator"]]
    assert seeds == list(range(len(captions)))
    # Neither the first batch nor the incomplete last one is timed.
    assert len(wall) == len(processor) == 1
    assert {call.get("max_sequence_length") for call in pipeline.calls} == {expected}


def test_absent_parts_of_a_folder_are_given_as_absent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = {"_class_name": "StableDiffusion3Pipeline", "vae": ["diffusers", "AutoencoderKL"]}
    (tmp_path / "model_index.json").write_text(json.dumps({**index, "text_encoder_3": [None, None]}))
    seen: dict[str, Any] = {}

    def load(folder: Path, **parts: Any) -> SimpleNamespace:
        seen.update(parts)
        return SimpleNamespace(set_progress_bar_config=lambda disable: None)

    monkeypatch.setattr(measure_backbone.DiffusionPipeline, "from_pretrained", load)
    measure_backbone.open_pipeline(tmp_path, None)
    assert seen == {"text_encoder_3": None}


def test_renders_are_restored_by_the_pipelines_own_autoencoder() -> None:
    from diffusers.image_processor import VaeImageProcessor

    negative = SimpleNamespace(
        encode=lambda pixels: SimpleNamespace(latent_dist=SimpleNamespace(mode=lambda: pixels)),
        decode=lambda latents: SimpleNamespace(sample=-latents),
    )
    pipeline = SimpleNamespace(vae=negative, image_processor=VaeImageProcessor())
    images = [Image.new("RGB", (8, 8), (shade, 0, 255)) for shade in range(measure_backbone.BATCH + 1)]
    restored = measure_backbone.through_autoencoder(pipeline, images)
    assert [image.getpixel((0, 0)) for image in restored] == [(255 - n, 255, 0) for n in range(len(images))]
