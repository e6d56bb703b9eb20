import json
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from safetensors.torch import load_file

from metrics.encoders.architectures.small_resnet import load_attribute_network, load_face_network
from metrics.interface import MetricError
from metrics.training.attributes import ATTRIBUTES, IGNORED, class_targets, train_attributes
from metrics.training.augmentation import augment
from metrics.training.face_network import ArcFaceLoss, train_face_network
from metrics.training.loop import Schedule, autocast, has_native_bf16

CPU = torch.device("cpu")


@dataclass(frozen=True)
class ColourHalves:
    """People who are two coloured halves, six noisy images each: learnable in a few steps."""

    people: int = 6
    each: int = 6

    @property
    def identities(self) -> NDArray[np.int64]:
        return np.repeat(np.arange(self.people), self.each)

    @cached_property
    def pixels(self) -> NDArray[np.uint8]:
        rng = np.random.default_rng(0)
        tops, bottoms = rng.integers(0, 256, (2, self.people, 1, 1, 3))
        one = np.concatenate(
            [np.broadcast_to(part, (self.people, 32, 64, 3)) for part in (tops, bottoms)], axis=1
        )
        noisy = np.repeat(one, self.each, axis=0) + rng.normal(0, 10, (self.people * self.each, 64, 64, 3))
        return noisy.clip(0, 255).astype(np.uint8)

    def labels(self, name: str) -> list[str]:
        values = {"pose": ["left", "right"], "hat": ["none", "red"], "style": ["bald", "long"]}
        choices = values.get(name, ["a", "b"])
        return [choices[int(i) % 2] for i in self.identities]


def ignore_progress(step: int, steps: int, line: str) -> None:
    pass


def schedule(steps: int) -> Schedule:
    return Schedule(steps=steps, batch=24, warm_up=2)


def test_the_face_network_separates_people_it_was_trained_on(tmp_path: Path) -> None:
    photos = ColourHalves()
    network = load_face_network(
        train_face_network(photos, tmp_path, device=CPU, progress=ignore_progress, schedule=schedule(40))
    )
    with torch.no_grad():
        vectors = torch.nn.functional.normalize(network(torch.from_numpy(photos.pixels).permute(0, 3, 1, 2)))
    cosine = vectors @ vectors.T
    same = torch.from_numpy(photos.identities[:, None] == photos.identities[None])
    assert cosine[same].mean() > cosine[~same].mean() + 0.3


class Interrupted(Exception):
    pass


class FailingPhotos(ColourHalves):
    """Raises Interrupted on the fourth access to its pixels."""

    accesses = 0

    @property
    def pixels(self) -> NDArray[np.uint8]:  # type: ignore[override]
        FailingPhotos.accesses += 1
        if FailingPhotos.accesses == 4:
            raise Interrupted
        return ColourHalves().pixels


def test_a_resumed_training_equals_an_uninterrupted_one(tmp_path: Path) -> None:
    every_step = replace(schedule(6), checkpoint_interval=0.0)
    whole = train_face_network(
        ColourHalves(), tmp_path / "whole", device=CPU, progress=ignore_progress, schedule=every_step
    )
    with pytest.raises(Interrupted):
        train_face_network(
            FailingPhotos(), tmp_path / "parts", device=CPU, progress=ignore_progress, schedule=every_step
        )
    assert torch.load(tmp_path / "parts/face-rendered.checkpoint", weights_only=True)["step"] == 3
    steps: list[int] = []
    parts = train_face_network(
        ColourHalves(),
        tmp_path / "parts",
        device=CPU,
        progress=lambda step, *_: steps.append(step),
        schedule=every_step,
    )
    assert steps == [6], "the resumed training started again from step 0"
    # Tensors, not bytes: safetensors writes the keys of its metadata in no fixed order.
    one, other = load_file(parts), load_file(whole)
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_a_checkpoint_of_another_length_is_refused(tmp_path: Path) -> None:
    train_face_network(ColourHalves(), tmp_path, device=CPU, progress=ignore_progress, schedule=schedule(2))
    with pytest.raises(MetricError, match="of a training of 2 steps, expected 3"):
        train_face_network(
            ColourHalves(), tmp_path, device=CPU, progress=ignore_progress, schedule=schedule(3)
        )


def test_the_attribute_classifier_learns_and_keeps_its_classes(tmp_path: Path) -> None:
    photos = ColourHalves(people=2, each=12)
    path = train_attributes(photos, tmp_path, device=CPU, progress=ignore_progress, schedule=schedule(30))
    network = load_attribute_network(path)
    assert set(network.classes) == set(ATTRIBUTES)
    with torch.no_grad():
        logits = network(torch.from_numpy(photos.pixels).permute(0, 3, 1, 2))
    predicted = [network.classes["hat"][i] for i in logits["hat"].argmax(1)]
    assert predicted == photos.labels("hat")


def test_a_hat_hides_the_hair_style_and_a_bald_head_shows_no_hair_colour() -> None:
    photos = ColourHalves(people=2, each=1)
    found = class_targets(photos, {"style": ["bald", "long"], "hair": ["a", "b"], "hat": ["none", "red"]})
    assert found["hat"].tolist() == [0, 1]
    assert found["style"].tolist() == [0, IGNORED]
    assert found["hair"].tolist() == [IGNORED, 1]


def test_a_label_outside_the_classes_is_ignored() -> None:
    assert class_targets(ColourHalves(people=2, each=1), {"shirt": ["b"]})["shirt"].tolist() == [IGNORED, 0]


def test_the_margin_increases_the_angle_to_the_correct_class_and_the_loss() -> None:
    vectors, centres = torch.eye(2), torch.tensor([[1.0, 0.8], [0.8, 1.0]])
    people = torch.tensor([0, 1])
    plain = ArcFaceLoss(margin=0.0)(vectors, centres, people, 1.0)
    cosine, other = torch.nn.functional.normalize(centres)[0]
    logits = 32 * torch.stack([torch.cos(torch.acos(cosine) + 0.35), other])
    expected = torch.nn.functional.cross_entropy(logits[None], torch.tensor([0]))
    assert ArcFaceLoss()(vectors, centres, people, 1.0) == pytest.approx(float(expected), rel=1e-4)
    assert expected > plain


def test_augmentation_depends_on_its_generator_only() -> None:
    pixels = torch.rand(4, 3, 64, 64) * 255
    mirror = torch.zeros(4, dtype=torch.bool)
    once, again, other = (augment(pixels, mirror, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
    assert torch.equal(once, again)
    assert not torch.equal(once, other)
    assert once.min() >= 0
    assert once.max() <= 255


def test_a_mirrored_image_is_closer_to_the_flipped_original() -> None:
    pixels = torch.from_numpy(
        np.array(Image.linear_gradient("L").rotate(90).resize((64, 64)), np.float32)
    ).expand(1, 3, 64, 64)
    mirrored = augment(pixels, torch.tensor([True]), torch.Generator().manual_seed(0))
    assert (mirrored - pixels.flip(3)).abs().mean() < 0.3 * (mirrored - pixels).abs().mean()


def test_a_missing_or_truncated_or_wrong_weight_file_is_rejected(tmp_path: Path) -> None:
    with pytest.raises(MetricError, match=r"no such file; run `bench train encoders`"):
        load_face_network(tmp_path / "nothing.safetensors")
    (tmp_path / "half.safetensors").write_bytes(b"\x10")
    with pytest.raises(MetricError, match="not a complete safetensors file"):
        load_face_network(tmp_path / "half.safetensors")
    attributes = train_attributes(
        ColourHalves(), tmp_path, device=CPU, progress=ignore_progress, schedule=schedule(1)
    )
    with pytest.raises(MetricError, match="another network"):
        load_face_network(attributes)


def test_the_weight_file_contains_its_configuration(tmp_path: Path) -> None:
    from safetensors import safe_open

    path = train_attributes(
        ColourHalves(), tmp_path, device=CPU, progress=ignore_progress, schedule=schedule(1)
    )
    with safe_open(path, "pt") as file:
        assert json.loads(file.metadata()["classes"])["pose"] == ["left", "right"]


@pytest.mark.parametrize("native", [True, False])
def test_cuda_trains_in_bfloat16_only_where_the_hardware_multiplies_it(
    native: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[bool] = []

    def supported(including_emulation: bool = True) -> bool:
        asked.append(including_emulation)
        return native

    monkeypatch.setattr(torch.cuda, "is_bf16_supported", supported)
    assert has_native_bf16(torch.device("cuda")) is native
    assert asked == [False], "devices that only emulate bfloat16 must not count"


@pytest.mark.parametrize(("capability", "native"), [("AVX512", True), ("AVX2", False)])
def test_a_cpu_trains_in_bfloat16_only_with_avx512(
    capability: str, native: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    with autocast(CPU):
        assert torch.is_autocast_enabled("cpu") is native
