"""The optimisation loop: accumulation, schedule, clipping, precision, optimizer."""

from __future__ import annotations

import sys
from dataclasses import replace
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from methods.backbone.backbone import Backbone
from methods.catalog import make
from methods.errors import MethodError
from methods.finetuning.loop import LRScheduler, MixedPrecision, OptimizationConfig, optimize

GOAL = torch.tensor([[1.0, -2.0], [3.0, 0.5]])


def config(steps: int, **settings: Any) -> OptimizationConfig:
    return OptimizationConfig("x", steps, **{"learning_rate": 0.1, "weight_decay": 0.0, **settings})


def optimized_weight(backbone: Backbone, optimization: OptimizationConfig) -> tuple[Tensor, Tensor]:
    """A weight optimised towards two goals in turn; and the losses."""
    weight = torch.zeros(2, requires_grad=True)
    losses = optimize(
        [optimization.group([weight])],
        lambda batch: (weight - GOAL[batch % 2]).square().sum(),
        optimization,
        backbone=backbone,
    )
    return weight.detach(), losses


def test_accumulated_batches_are_one_step_on_their_mean(backbone: Backbone) -> None:
    weight, losses = optimized_weight(backbone, config(3, accumulation=2, max_grad_norm=None))
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
    ("lr_scheduler", "warm_up", "rates"),
    [
        ("constant", 5, [0.1, 0.1, 0.1]),
        ("constant_with_warmup", 2, [0.0, 0.05, 0.1]),
        ("linear", 0, [0.1, 0.2 / 3, 0.1 / 3]),
        ("cosine", 0, [0.1, 0.075, 0.025]),
        ("polynomial", 0, [0.1, 0.2 / 3, 0.1 / 3]),
    ],
)
def test_learning_rate_follows_its_schedule(
    backbone: Backbone, lr_scheduler: LRScheduler, warm_up: int, rates: list[float]
) -> None:
    """With a constant gradient, Adam's step has the size of the learning rate."""
    weight = torch.zeros(1, requires_grad=True)
    values = []

    def loss(batch: int) -> Tensor:
        values.append(float(weight.detach()))
        return -weight.sum()

    optimization = config(3, lr_scheduler=lr_scheduler, warm_up=warm_up)
    optimize([optimization.group([weight])], loss, optimization, backbone=backbone)
    assert np.diff([*values, float(weight.detach())]) == pytest.approx(rates, abs=1e-5)


def test_gradients_are_clipped_to_max_grad_norm(backbone: Backbone) -> None:
    # With a large epsilon, Adam's step is proportional to the gradient's norm.
    optimization = config(1, adam_epsilon=1e3, max_grad_norm=None)
    unclipped, _ = optimized_weight(backbone, optimization)
    clipped, _ = optimized_weight(backbone, replace(optimization, max_grad_norm=0.5))
    assert clipped.norm() / unclipped.norm() == pytest.approx(0.5 / (2 * float(GOAL[0].norm())), rel=1e-2)


@pytest.mark.parametrize("precision", ["fp16", "bf16", "auto"])
def test_mixed_precision_learns_almost_the_same(backbone: Backbone, precision: MixedPrecision) -> None:
    initial, inputs = torch.nn.Linear(8, 1), torch.ones(4, 8)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        initial.reset_parameters()
    weights = []
    for chosen in ("no", precision):
        layer = torch.nn.Linear(8, 1)
        layer.load_state_dict(initial.state_dict())
        optimization = config(5, learning_rate=1e-2, mixed_precision=chosen)
        optimize(
            [optimization.group(list(layer.parameters()))],
            lambda batch, layer=layer: (layer(inputs) - 1).square().mean(),  # type: ignore[misc]
            optimization,
            backbone=backbone,
        )
        weights.append(layer.weight.detach())
        assert layer.weight.dtype == torch.float32
    # The first fp16 steps overflow and are skipped, until the loss scale is low enough.
    assert torch.allclose(*weights, atol=2.5e-2 if precision == "fp16" else 5e-3)
    assert not torch.allclose(weights[1], initial.weight, atol=2.9e-2)


def test_eight_bit_adam_uses_bitsandbytes(backbone: Backbone, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(MethodError, match="pip install bitsandbytes"):
        make("dreambooth-lora", {"optimizer": "adamw-8bit"})
    created: list[dict[str, Any]] = []

    class AdamW8bit(torch.optim.AdamW):
        def __init__(self, groups: Any, **settings: Any) -> None:
            created.append(settings)
            super().__init__(groups, **settings)

    fake = ModuleType("bitsandbytes")
    fake.optim = SimpleNamespace(AdamW8bit=AdamW8bit)  # type: ignore[attr-defined]
    fake.__spec__ = SimpleNamespace()  # type: ignore[assignment]  # only its presence is checked
    monkeypatch.setitem(sys.modules, "bitsandbytes", fake)
    optimized_weight(backbone, config(1, optimizer="adamw-8bit", adam_beta1=0.8, adam_beta2=0.99))
    assert created == [{"betas": (0.8, 0.99), "eps": 1e-8}]


def test_prodigy_has_the_settings_of_the_published_scripts(
    backbone: Backbone, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(MethodError, match="pip install prodigyopt"):
        make("dreambooth-lora", {"optimizer": "prodigy"})
    created: list[dict[str, Any]] = []

    class Prodigy(torch.optim.SGD):
        def __init__(self, groups: Any, **settings: Any) -> None:
            created.append(settings)
            super().__init__(groups, lr=0.1)

    fake = ModuleType("prodigyopt")
    fake.Prodigy = Prodigy  # type: ignore[attr-defined]
    fake.__spec__ = SimpleNamespace()  # type: ignore[assignment]  # only its presence is checked
    monkeypatch.setitem(sys.modules, "prodigyopt", fake)
    optimized_weight(backbone, config(1, optimizer="prodigy"))
    published = {"decouple": True, "use_bias_correction": True, "safeguard_warmup": True}
    assert created == [{"betas": (0.9, 0.999), "eps": 1e-8, **published}]


@pytest.mark.parametrize("precision", ["no", "fp16"])
def test_a_loss_that_is_not_finite_is_an_error(backbone: Backbone, precision: MixedPrecision) -> None:
    """With fp16, every such step is skipped and the weights stay as they were."""
    weight = torch.zeros(2, requires_grad=True)
    optimization = config(60, mixed_precision=precision)
    batches = []

    def loss(batch: int) -> Tensor:
        batches.append(batch)
        return weight.sum() * (float("nan") if batch >= 3 else 1.0)

    with pytest.raises(MethodError, match="x: the loss of step 4 is not finite"):
        optimize([optimization.group([weight])], loss, optimization, backbone=backbone)
    assert len(batches) == 50


def test_too_many_skipped_steps_are_an_error(backbone: Backbone) -> None:
    weight = torch.zeros(2, requires_grad=True)
    optimization = config(40, mixed_precision="fp16")
    with pytest.raises(MethodError, match="40 of 40 steps were skipped"):
        optimize(
            [optimization.group([weight])],
            # Finite, with gradients that are not.
            lambda batch: (weight.abs() + 1e-38).sqrt().sum() * 1e38,
            optimization,
            backbone=backbone,
        )
