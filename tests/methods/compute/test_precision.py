"""The attention kernel for training: same gradients, and the global switch is restored."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F

from methods.backbone.backbone import Backbone
from methods.compute.precision import attention_for_training, gradient_checkpointing

CPU = torch.device("cpu")


def allowed() -> bool:
    return torch.backends.cuda.fp16_bf16_reduction_math_sdp_allowed()


def test_half_precision_products_are_allowed_only_inside() -> None:
    before = allowed()
    with attention_for_training(CPU):
        assert allowed()
    assert allowed() == before
    with pytest.raises(ZeroDivisionError), attention_for_training(CPU):
        _ = 1 / 0
    assert allowed() == before


def test_half_precision_gradient_equals_that_of_fp32_up_to_rounding() -> None:
    torch.manual_seed(0)
    qkv = torch.randn(3, 2, 4, 16, 8)

    def gradient(dtype: torch.dtype) -> torch.Tensor:
        inputs = [x.to(dtype, copy=True).requires_grad_() for x in qkv]
        with attention_for_training(CPU):
            output = F.scaled_dot_product_attention(*inputs)
        output.float().square().sum().backward()
        return torch.stack([x.grad.float() for x in inputs if x.grad is not None])

    exact, half = gradient(torch.float32), gradient(torch.bfloat16)
    assert exact.shape == (3, 2, 4, 16, 8)
    assert F.cosine_similarity(exact.flatten(), half.flatten(), dim=0) > 0.999


def test_training_on_a_gpu_leaves_out_cudnn_s_attention() -> None:
    """The switches exist without a GPU; cuDNN's gradients were not finite at small head widths."""
    switches = torch.backends.cuda.cudnn_sdp_enabled, torch.backends.cuda.flash_sdp_enabled
    before = [switch() for switch in switches]
    with attention_for_training(torch.device("cuda")):
        assert [switch() for switch in switches] == [False, True]
    assert [switch() for switch in switches] == before


def test_gradient_checkpointing_is_on_within_the_context_only(backbone: Backbone) -> None:
    unet: Any = backbone.network
    with gradient_checkpointing(unet, enabled=True):
        assert unet.is_gradient_checkpointing
    with gradient_checkpointing(unet, enabled=False):
        assert not unet.is_gradient_checkpointing
    assert not unet.is_gradient_checkpointing
