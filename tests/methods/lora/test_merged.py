"""LoRA inside its layers' matrices computes what peft computes beside them."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from peft import LoraConfig, inject_adapter_in_model
from peft.tuners.lora import LoraLayer
from torch import Tensor, nn

from methods.errors import MethodError
from methods.lora.merged import _sum, merged

ADAPTER = "person"


class Small(nn.Module):
    def __init__(self, groups: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(4, 6, 3, stride=2, padding=1, groups=groups)
        self.point = nn.Conv2d(6, 6, 1, bias=False)
        self.line = nn.Linear(6, 5)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.line(self.point(self.conv(x)).mean((2, 3)))
        return y


def with_lora(network: nn.Module) -> nn.Module:
    """With LoRA on all layers, of scale 2, and no factor of it zero."""
    torch.manual_seed(0)
    config = LoraConfig(
        r=4, lora_alpha=8, init_lora_weights="gaussian", target_modules=["conv", "point", "line"]
    )
    inject_adapter_in_model(config, network, adapter_name=ADAPTER)
    for name, weight in network.named_parameters():
        if "lora_B" in name:
            nn.init.normal_(weight, std=0.3)
    return network


def outcome(network: nn.Module, x: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
    """What it says, and the gradients of its LoRA."""
    network.zero_grad()
    said = network(x)
    said.square().sum().backward()
    return said.detach(), {n: p.grad.clone() for n, p in network.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_outputs_and_gradients_are_those_of_peft(layout: torch.memory_format) -> None:
    network = with_lora(Small()).to(memory_format=layout)  # type: ignore[call-overload]
    x = torch.randn(3, 4, 8, 8).contiguous(memory_format=layout)
    wanted, slopes = outcome(network, x)
    with merged([network], ADAPTER, learning=True):
        said, ours = outcome(network, x)
        # Another step, other sums.
        with torch.no_grad():
            for layer in network.modules():
                if isinstance(layer, LoraLayer):
                    layer.lora_A[ADAPTER].weight.mul_(2)
        moved = network(x)
    torch.testing.assert_close(said, wanted, rtol=1e-4, atol=1e-5)
    assert ours.keys() == slopes.keys()
    assert all("lora_" in name for name in ours)
    for name, slope in slopes.items():
        torch.testing.assert_close(ours[name], slope, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(moved, network(x), rtol=1e-4, atol=1e-5)
    assert not torch.allclose(moved, wanted)


def test_drawing_sums_once_and_leaves_nothing_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    network = with_lora(Small())
    x = torch.randn(2, 4, 8, 8)
    calls: list[int] = []
    addmm = torch.addmm

    def counted(*given: Tensor, **named: float) -> Tensor:
        calls.append(1)
        return addmm(*given, **named)

    with torch.no_grad():
        wanted = network(x)
        before = copy.deepcopy(network.state_dict())
        monkeypatch.setattr(torch, "addmm", counted)
        with merged([network], ADAPTER, learning=False):
            first, second = network(x), network(x)
    assert len(calls) == 3
    assert torch.equal(first, second)
    torch.testing.assert_close(first, wanted, rtol=1e-4, atol=1e-5)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert torch.equal(network(x), wanted)


def test_the_sum_is_made_in_single_precision_under_autocast() -> None:
    network = with_lora(Small())
    line: Any = network.line
    own, step = line.get_base_layer().weight, line.lora_B[ADAPTER].weight @ line.lora_A[ADAPTER].weight
    x = torch.randn(2, 4, 8, 8)
    with torch.autocast("cpu", torch.bfloat16), merged([network], ADAPTER, learning=True):
        total = _sum(line, line.get_base_layer(), ADAPTER)
        _, slopes = outcome(network, x)
    assert total.dtype == torch.float32
    torch.testing.assert_close(total, own + 2 * step, rtol=1e-5, atol=1e-6)
    assert all(slope.dtype == torch.float32 and bool(slope.any()) for slope in slopes.values())


def test_a_layer_that_is_no_one_matrix_is_refused_and_nothing_stays() -> None:
    network = with_lora(Small(groups=2))
    forwards = [layer.forward.__func__ for layer in network.modules()]  # type: ignore[attr-defined]
    with (
        pytest.raises(MethodError, match="cannot be merged into Conv2d; leave `merged` out"),
        merged([network], ADAPTER, learning=True),
    ):
        pass
    assert [layer.forward.__func__ for layer in network.modules()] == forwards  # type: ignore[attr-defined]
