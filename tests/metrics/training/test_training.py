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
from metrics.training.attributes import ATTRIBUTES, UNSEEN, targets, train_attributes
from metrics.training.augmentation import vary
from metrics.training.face_network import ArcFace, train_face_network
from metrics.training.loop import Schedule

CPU = torch.device("cpu")


@dataclass(frozen=True)
class Blobs:
    """People who are two coloured halves, six noisy pictures each: learnable in a few steps."""

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


def quiet(step: int, steps: int, line: str) -> None:
    pass


def schedule(steps: int) -> Schedule:
    return Schedule(steps=steps, batch=24, warm_up=2)


def test_the_face_network_separates_people_it_was_trained_on(tmp_path: Path) -> None:
    photos = Blobs()
    network = load_face_network(
        train_face_network(photos, tmp_path, device=CPU, progress=quiet, schedule=schedule(40))
    )
    with torch.no_grad():
        vectors = torch.nn.functional.normalize(network(torch.from_numpy(photos.pixels).permute(0, 3, 1, 2)))
    cosine = vectors @ vectors.T
    same = torch.from_numpy(photos.identities[:, None] == photos.identities[None])
    assert cosine[same].mean() > cosine[~same].mean() + 0.3


class Interrupted(Exception):
    pass


class Unlucky(Blobs):
    """Fails when its pixels are asked for the fourth time."""

    asked = 0

    @property
    def pixels(self) -> NDArray[np.uint8]:  # type: ignore[override]
        Unlucky.asked += 1
        if Unlucky.asked == 4:
            raise Interrupted
        return Blobs().pixels


def test_a_resumed_training_equals_an_undisturbed_one(tmp_path: Path) -> None:
    always = replace(schedule(6), keep_every=0.0)
    whole = train_face_network(Blobs(), tmp_path / "whole", device=CPU, progress=quiet, schedule=always)
    with pytest.raises(Interrupted):
        train_face_network(Unlucky(), tmp_path / "parts", device=CPU, progress=quiet, schedule=always)
    assert torch.load(tmp_path / "parts/face-rendered.checkpoint", weights_only=True)["step"] == 3
    seen: list[int] = []
    parts = train_face_network(
        Blobs(), tmp_path / "parts", device=CPU, progress=lambda step, *_: seen.append(step), schedule=always
    )
    assert seen == [6], "the resumed training started again from step 0"
    # Tensors, not bytes: safetensors writes its metadata's keys in no fixed order.
    one, other = load_file(parts), load_file(whole)
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_a_checkpoint_of_another_length_is_refused(tmp_path: Path) -> None:
    train_face_network(Blobs(), tmp_path, device=CPU, progress=quiet, schedule=schedule(2))
    with pytest.raises(MetricError, match="of a training of 2 steps, this one has 3"):
        train_face_network(Blobs(), tmp_path, device=CPU, progress=quiet, schedule=schedule(3))


def test_the_attribute_classifier_learns_and_keeps_its_classes(tmp_path: Path) -> None:
    photos = Blobs(people=2, each=12)
    path = train_attributes(photos, tmp_path, device=CPU, progress=quiet, schedule=schedule(30))
    network = load_attribute_network(path)
    assert set(network.classes) == set(ATTRIBUTES)
    with torch.no_grad():
        logits = network(torch.from_numpy(photos.pixels).permute(0, 3, 1, 2))
    said = [network.classes["hat"][i] for i in logits["hat"].argmax(1)]
    assert said == photos.labels("hat")


def test_a_hat_hides_the_hair_style_and_a_bald_head_shows_no_hair_colour() -> None:
    photos = Blobs(people=2, each=1)
    found = targets(photos, {"style": ["bald", "long"], "hair": ["a", "b"], "hat": ["none", "red"]})
    assert found["hat"].tolist() == [0, 1]
    assert found["style"].tolist() == [0, UNSEEN]
    assert found["hair"].tolist() == [UNSEEN, 1]


def test_a_label_outside_the_classes_is_not_judged() -> None:
    assert targets(Blobs(people=2, each=1), {"shirt": ["b"]})["shirt"].tolist() == [UNSEEN, 0]


def test_the_margin_makes_the_right_angle_larger_and_the_loss_with_it() -> None:
    vectors, centres = torch.eye(2), torch.tensor([[1.0, 0.8], [0.8, 1.0]])
    people = torch.tensor([0, 1])
    plain = ArcFace(margin=0.0).loss(vectors, centres, people, 1.0)
    cosine, other = torch.nn.functional.normalize(centres)[0]
    logits = 32 * torch.stack([torch.cos(torch.acos(cosine) + 0.35), other])
    expected = torch.nn.functional.cross_entropy(logits[None], torch.tensor([0]))
    assert ArcFace().loss(vectors, centres, people, 1.0) == pytest.approx(float(expected), rel=1e-4)
    assert expected > plain


def test_a_picture_varies_with_its_generator_alone() -> None:
    pixels = torch.rand(4, 3, 64, 64) * 255
    mirror = torch.zeros(4, dtype=torch.bool)
    once, again, other = (vary(pixels, mirror, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
    assert torch.equal(once, again)
    assert not torch.equal(once, other)
    assert once.min() >= 0
    assert once.max() <= 255


def test_a_mirrored_picture_is_nearer_to_the_flip_than_to_itself() -> None:
    pixels = torch.from_numpy(
        np.array(Image.linear_gradient("L").rotate(90).resize((64, 64)), np.float32)
    ).expand(1, 3, 64, 64)
    mirrored = vary(pixels, torch.tensor([True]), torch.Generator().manual_seed(0))
    assert (mirrored - pixels.flip(3)).abs().mean() < 0.3 * (mirrored - pixels).abs().mean()


def test_a_missing_or_broken_or_foreign_weight_file_gets_one_line(tmp_path: Path) -> None:
    with pytest.raises(MetricError, match=r"no such file; `bench train encoders` makes it"):
        load_face_network(tmp_path / "nothing.safetensors")
    (tmp_path / "half.safetensors").write_bytes(b"\x10")
    with pytest.raises(MetricError, match="not a whole safetensors file"):
        load_face_network(tmp_path / "half.safetensors")
    attributes = train_attributes(Blobs(), tmp_path, device=CPU, progress=quiet, schedule=schedule(1))
    with pytest.raises(MetricError, match="another network"):
        load_face_network(attributes)


def test_the_weight_file_carries_its_configuration(tmp_path: Path) -> None:
    from safetensors import safe_open

    path = train_attributes(Blobs(), tmp_path, device=CPU, progress=quiet, schedule=schedule(1))
    with safe_open(path, "pt") as file:
        assert json.loads(file.metadata()["classes"])["pose"] == ["left", "right"]
