"""The loop behind the tuning methods, what it is shown, and the settings that reach it."""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from types import ModuleType, SimpleNamespace
from typing import Any, ClassVar, Literal

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps
from torch import Tensor

from methods.backbone.backbone import Backbone
from methods.backbone.images import tensor
from methods.catalog import METHODS, make, self_contained
from methods.errors import MethodError
from methods.finetuning.instance_images import EpochShuffler, InstanceImages
from methods.finetuning.loop import MixedPrecision, OptimizationConfig, Rates, optimize
from methods.setting_checks import check_settings

GOAL = torch.tensor([[1.0, -2.0], [3.0, 0.5]])


def learnt(
    backbone: Backbone, optimization: OptimizationConfig, *, rate: float = 0.1
) -> tuple[Tensor, Tensor]:
    """A weight that is pulled to two goals in turn; and the losses."""
    weight = torch.zeros(2, requires_grad=True)
    group = {"params": [weight], "lr": rate, "weight_decay": 0.0}
    losses = optimize(
        [group], lambda batch: (weight - GOAL[batch % 2]).square().sum(), optimization, backbone=backbone
    )
    return weight.detach(), losses


def test_accumulated_batches_are_one_step_on_their_mean(backbone: Backbone) -> None:
    weight, losses = learnt(backbone, OptimizationConfig("x", 3, accumulation=2, max_grad_norm=None))
    mean = torch.zeros(2, requires_grad=True)
    optimizer = torch.optim.AdamW([mean], 0.1, weight_decay=0.0)
    for _ in range(3):
        optimizer.zero_grad()
        (mean - GOAL).square().sum(dim=1).mean().backward()
        optimizer.step()
    assert torch.allclose(weight, mean.detach(), atol=1e-6)
    assert losses[0] == pytest.approx(float(GOAL.square().sum(dim=1).mean()))
    assert losses[2] < losses[0]


@pytest.mark.parametrize(
    ("rates", "warm_up", "paths"),
    [
        ("constant", 5, [0.1, 0.1, 0.1]),
        ("constant_with_warmup", 2, [0.0, 0.05, 0.1]),
        ("linear", 0, [0.1, 0.2 / 3, 0.1 / 3]),
        ("cosine", 0, [0.1, 0.075, 0.025]),
        ("polynomial", 0, [0.1, 0.2 / 3, 0.1 / 3]),
    ],
)
def test_the_rate_goes_as_its_schedule_says(
    backbone: Backbone, rates: Rates, warm_up: int, paths: list[float]
) -> None:
    """Adam's step is its rate, where the gradient does not change."""
    weight = torch.zeros(1, requires_grad=True)
    places = []

    def loss(batch: int) -> Tensor:
        places.append(float(weight.detach()))
        return -weight.sum()

    group = {"params": [weight], "lr": 0.1, "weight_decay": 0.0}
    optimize([group], loss, OptimizationConfig("x", 3, rates=rates, warm_up=warm_up), backbone=backbone)
    assert np.diff([*places, float(weight.detach())]) == pytest.approx(paths, abs=1e-5)


def test_gradients_are_clipped_where_that_is_asked_for(backbone: Backbone) -> None:
    # With so large an epsilon Adam's step follows the gradient's length.
    optimization = OptimizationConfig("x", 1, epsilon=1e3, max_grad_norm=None)
    free, _ = learnt(backbone, optimization)
    held, _ = learnt(backbone, replace(optimization, max_grad_norm=0.5))
    assert held.norm() / free.norm() == pytest.approx(0.5 / (2 * float(GOAL[0].norm())), rel=1e-2)


@pytest.mark.parametrize("precision", ["fp16", "bf16", "auto"])
def test_half_precision_learns_almost_the_same(backbone: Backbone, precision: MixedPrecision) -> None:
    wide, inner = torch.nn.Linear(8, 1), torch.ones(4, 8)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        wide.reset_parameters()
    outcomes = []
    for chosen in ("no", precision):
        layer = torch.nn.Linear(8, 1)
        layer.load_state_dict(wide.state_dict())
        groups = [{"params": list(layer.parameters()), "lr": 1e-2, "weight_decay": 0.0}]
        optimize(
            groups,
            lambda batch, layer=layer: (layer(inner) - 1).square().mean(),  # type: ignore[misc]
            OptimizationConfig("x", 5, precision=chosen),  # type: ignore[arg-type]
            backbone=backbone,
        )
        outcomes.append(layer.weight.detach())
        assert layer.weight.dtype == torch.float32
    # The first steps of fp16 overflow, and are left out, until the loss's scale has come down.
    assert torch.allclose(*outcomes, atol=2.5e-2 if precision == "fp16" else 5e-3)
    assert not torch.allclose(outcomes[1], wide.weight, atol=2.9e-2)


def test_eight_bit_adam_is_asked_of_bitsandbytes(backbone: Backbone, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(MethodError, match="pip install bitsandbytes"):
        make("dreambooth-lora", {"optimizer": "adamw-8bit"})
    made: list[dict[str, Any]] = []

    class AdamW8bit(torch.optim.AdamW):
        def __init__(self, groups: Any, **settings: Any) -> None:
            made.append(settings)
            super().__init__(groups, **settings)

    fake = ModuleType("bitsandbytes")
    fake.optim = SimpleNamespace(AdamW8bit=AdamW8bit)  # type: ignore[attr-defined]
    fake.__spec__ = SimpleNamespace()  # type: ignore[assignment]  # all that is asked is whether there is one
    monkeypatch.setitem(sys.modules, "bitsandbytes", fake)
    learnt(backbone, OptimizationConfig("x", 1, optimizer="adamw-8bit", betas=(0.8, 0.99)))
    assert made == [{"betas": (0.8, 0.99), "eps": 1e-8}]


def gradient(width: int, height: int) -> Image.Image:
    """A picture each of whose pixels is different from its neighbours'."""
    x, y = np.meshgrid(np.arange(width), np.arange(height))
    return Image.fromarray(np.stack([x * 7 % 256, y * 11 % 256, (x + y) * 5 % 256], axis=2).astype(np.uint8))


def shown(backbone: Backbone, image: Image.Image, **settings: Any) -> InstanceImages:
    chosen: dict[str, Any] = {"crop": "centre", "flip": False, "latents": "mode", **settings}
    return InstanceImages([image], backbone, **chosen)


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_the_middle_of_a_photograph_is_shown(backbone: Backbone) -> None:
    image = gradient(20, 16)
    latents, ids = shown(backbone, image).show([0], seeded(0))
    assert torch.equal(latents, backbone.encode_pixels(tensor([image.crop((2, 0, 18, 16))])))
    assert ids.tolist() == [[16, 20, 0, 2, 16, 16]]


def test_a_random_crop_says_where_it_is(backbone: Backbone) -> None:
    image = gradient(16, 24)
    photos = shown(backbone, image, crop="random")
    tops = set()
    for seed in range(8):
        latents, ids = photos.show([0], seeded(seed))
        _, _, top, left, *_ = ids[0].tolist()
        tops.add(top)
        assert left == 0
        view = image.crop((0, top, 16, top + 16))
        assert torch.equal(latents, backbone.encode_pixels(tensor([view])))
    assert len(tops) > 2
    assert all(0 <= top <= 8 for top in tops)


def test_the_whole_photograph_is_squeezed(backbone: Backbone) -> None:
    image = gradient(40, 16)
    latents, ids = shown(backbone, image, crop="squeeze").show([0], seeded(0))
    squeezed = image.resize((16, 16), Image.Resampling.BICUBIC)
    assert torch.equal(latents, backbone.encode_pixels(tensor([squeezed])))
    assert ids.tolist() == [[16, 40, 0, 0, 16, 16]]


def test_half_of_the_photographs_are_mirrored(backbone: Backbone) -> None:
    image = gradient(16, 16)
    plain, mirrored = (backbone.encode_pixels(tensor([view]))[0] for view in (image, ImageOps.mirror(image)))
    latents, _ = shown(backbone, image, flip=True).show([0] * 40, seeded(0))
    turned = [bool(torch.equal(each, mirrored)) for each in latents]
    wanted = [mirrored if flipped else plain for flipped in turned]
    assert torch.equal(latents, torch.stack(wanted))
    assert 10 < sum(turned) < 30


def test_samples_are_drawn_anew_from_the_encoder_s_posterior(backbone: Backbone) -> None:
    image = gradient(16, 16)
    mean, deviation = backbone.encode_posterior(tensor([image]))
    latents, _ = shown(backbone, image, latents="sample").show([0] * 400, seeded(0))
    assert not torch.equal(latents[0], latents[1])
    assert torch.allclose(latents.mean(dim=0), mean[0], atol=5 * float(deviation.max()) / 20)
    assert torch.allclose(latents.std(dim=0), deviation[0], rtol=0.3)


def test_all_photographs_have_their_turn_before_one_comes_again() -> None:
    turns = EpochShuffler(4, seed=3)
    rounds = [tuple(turns.rows(start, 4)) for start in range(0, 40, 4)]
    assert all(sorted(each) == [0, 1, 2, 3] for each in rounds)
    assert len(set(rounds)) > 3
    assert turns.rows(2, 4) == [*rounds[0][2:], *rounds[1][:2]]


def test_a_preset_is_taken_and_each_of_its_values_can_be_overridden() -> None:
    faces = make("dreambooth-lora", {"preset": "faces", "steps": 7})
    assert (faces.steps, faces.batch, faces.prior_weight, faces.text_encoder) == (7, 2, 1.0, True)  # type: ignore[attr-defined]
    assert make("dreambooth-lora", {"preset": "diffusers-readme"}) == make("dreambooth-lora")


@pytest.mark.parametrize("name", [name for name, entry in METHODS.items() if entry.presets])
def test_every_preset_makes_a_method_and_names_its_source(name: str) -> None:
    for preset, recipe in METHODS[name].presets.items():
        assert make(name, {"preset": preset}) == make(name, recipe.settings)
        assert len(recipe.source) > 20


def test_a_preset_that_there_is_not_is_refused() -> None:
    with pytest.raises(MethodError, match="did you mean 'faces'"):
        make("dreambooth-lora", {"preset": "face"})
    with pytest.raises(MethodError, match="no presets"):
        make("text-only", {"preset": "faces"})


def test_what_only_its_user_can_give_is_no_part_of_all() -> None:
    assert "lora-folder" not in self_contained()
    assert {"dreambooth-lora", "textual-inversion"} <= set(self_contained())


@dataclass(frozen=True)
class Odd:
    name: ClassVar[str] = "odd"
    number: float = 1.0
    count: int = 1
    word: str = "x"
    choice: Literal["a", "b"] = "a"
    maybe: float | None = None
    several: tuple[str, ...] = ("x",)
    really: bool = False


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"number": "many"}, "number is 'many'; wanted is a number"),
        ({"count": 1.5}, "count is 1.5; wanted is a whole number"),
        ({"count": True}, "count is True; wanted is a whole number"),
        ({"word": 3}, "word is 3; wanted is a text"),
        ({"choice": "c"}, "choice is 'c'; wanted is one of 'a', 'b'"),
        ({"maybe": "no"}, "maybe is 'no'; wanted is a number or nothing"),
        ({"several": "to_k"}, "several is 'to_k'; wanted is a list, each of it a text"),
        ({"really": 1}, "really is 1; wanted is true or false"),
    ],
)
def test_a_setting_of_the_wrong_kind_is_refused(settings: dict[str, Any], told: str) -> None:
    with pytest.raises(MethodError, match=told):
        check_settings(replace(Odd(), **settings))


def test_settings_of_the_right_kinds_are_taken() -> None:
    check_settings(Odd(number=3, maybe=2, several=["a", "b"]))  # type: ignore[arg-type]  # as a suite file gives it
