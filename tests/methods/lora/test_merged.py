"""Merged LoRA computes the same as peft's unmerged LoRA."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from peft import LoraConfig, inject_adapter_in_model
from peft.tuners.lora import LoraLayer
from torch import Tensor, nn

from methods.errors import MethodError
from methods.lora.merged import _merged_weight, merged

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
    """Add LoRA to all layers, with scale 2 and non-zero factors."""
    torch.manual_seed(0)
    config = LoraConfig(
        r=4, lora_alpha=8, init_lora_weights="gaussian", target_modules=["conv", "point", "line"]
    )
    inject_adapter_in_model(config, network, adapter_name=ADAPTER)
    for name, weight in network.named_parameters():
        if "lora_B" in name:
            nn.init.normal_(weight, std=0.3)
    return network


def output_and_gradients(network: nn.Module, x: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
    """The network's output, and the gradients of its LoRA."""
    network.zero_grad()
    output = network(x)
    output.square().sum().backward()
    return output.detach(), {n: p.grad.clone() for n, p in network.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_outputs_and_gradients_equal_those_of_peft(layout: torch.memory_format) -> None:
    network = with_lora(Small()).to(memory_format=layout)  # type: ignore[call-overload]
    x = torch.randn(3, 4, 8, 8).contiguous(memory_format=layout)
    expected, gradients = output_and_gradients(network, x)
    with merged([network], ADAPTER, training=True):
        output, ours = output_and_gradients(network, x)
        # Another step gives other merged matrices.
        with torch.no_grad():
            for layer in network.modules():
                if isinstance(layer, LoraLayer):
                    layer.lora_A[ADAPTER].weight.mul_(2)
        moved = network(x)
    torch.testing.assert_close(output, expected, rtol=1e-4, atol=1e-5)
    assert ours.keys() == gradients.keys()
    assert all("lora_" in name for name in ours)
    for name, gradient in gradients.items():
        torch.testing.assert_close(ours[name], gradient, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(moved, network(x), rtol=1e-4, atol=1e-5)
    assert not torch.allclose(moved, expected)


def test_sampling_merges_once_and_restores_the_network(monkeypatch: pytest.MonkeyPatch) -> None:
    network = with_lora(Small())
    x = torch.randn(2, 4, 8, 8)
    calls: list[int] = []
    addmm = torch.addmm

    def counted(*args: Tensor, **named: float) -> Tensor:
        calls.append(1)
        return addmm(*args, **named)

    with torch.no_grad():
        expected = network(x)
        before = copy.deepcopy(network.state_dict())
        monkeypatch.setattr(torch, "addmm", counted)
        with merged([network], ADAPTER, training=False):
            first, second = network(x), network(x)
    assert len(calls) == 3
    assert torch.equal(first, second)
    torch.testing.assert_close(first, expected, rtol=1e-4, atol=1e-5)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert torch.equal(network(x), expected)


def test_merged_weight_is_fp32_under_autocast() -> None:
    network = with_lora(Small())
    line: Any = network.line
    own, step = line.get_base_layer().weight, line.lora_B[ADAPTER].weight @ line.lora_A[ADAPTER].weight
    x = torch.randn(2, 4, 8, 8)
    with torch.autocast("cpu", torch.bfloat16), merged([network], ADAPTER, training=True):
        total = _merged_weight(line, line.get_base_layer(), ADAPTER)
        _, gradients = output_and_gradients(network, x)
    assert total.dtype == torch.float32
    torch.testing.assert_close(total, own + 2 * step, rtol=1e-5, atol=1e-6)
    assert all(gradient.dtype == torch.float32 and bool(gradient.any()) for gradient in gradients.values())


def test_layer_without_a_single_matrix_is_refused_and_nothing_remains() -> None:
    network = with_lora(Small(groups=2))
    forwards = [layer.forward.__func__ for layer in network.modules()]  # type: ignore[attr-defined]
    with (
        pytest.raises(MethodError, match="cannot be merged into Conv2d; leave `merged` out"),
        merged([network], ADAPTER, training=True),
    ):
        pass
    assert [layer.forward.__func__ for layer in network.modules()] == forwards  # type: ignore[attr-defined]
