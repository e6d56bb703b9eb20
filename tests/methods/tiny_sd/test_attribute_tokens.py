"""Attribute tokens after the caption, in the training of the U-Net."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from bench.synthetic.parameters.persona_vector import Descriptions
from methods.errors import MethodError
from methods.tiny_sd.attribute_tokens import AttributeConditioning
from methods.tiny_sd.encoded_set import face_weight
from methods.tiny_sd.unet import new_unet

WIDTH = 16


def conditioning_of_two_people(groups: tuple[int, ...] = (3, 2)) -> AttributeConditioning:
    torch.manual_seed(0)
    numbers = np.random.default_rng(0).normal(size=(2, sum(groups))).astype(np.float32)
    return AttributeConditioning(Descriptions(numbers, groups), WIDTH)


def test_masked_attribute_tokens_do_not_change_the_prediction() -> None:
    torch.manual_seed(1)
    unet = new_unet(channels=2, size=8, text_width=WIDTH, widths=(32, 32)).eval()
    latents, t, captions = torch.randn(2, 2, 8, 8), torch.tensor([500, 500]), torch.randn(2, 5, WIDTH)
    context, mask = conditioning_of_two_people().append_to(
        captions, torch.tensor([0, 1]), torch.tensor([False, True])
    )
    assert context.shape == (2, 5 + 2, WIDTH)
    with torch.no_grad():
        conditioned = unet(latents, t, encoder_hidden_states=context, encoder_attention_mask=mask).sample
        plain = unet(latents, t, encoder_hidden_states=captions).sample
    torch.testing.assert_close(conditioned[0], plain[0], atol=1e-5, rtol=1e-4)
    assert (conditioned[1] - plain[1]).abs().max() > 1e-4


def test_attribute_changes_only_the_token_of_its_group() -> None:
    conditioning = conditioning_of_two_people()
    both = torch.tensor([0, 1])
    before, _ = conditioning.append_to(torch.zeros(2, 1, WIDTH), both, both > -1)
    assert conditioning.describer is not None
    conditioning.describer.numbers[1, 3:] += 1
    after, _ = conditioning.append_to(torch.zeros(2, 1, WIDTH), both, both > -1)
    assert torch.equal(before[:, :2], after[:, :2])
    assert torch.equal(before[0], after[0])
    assert not torch.allclose(before[1, 2], after[1, 2])


def test_captions_are_unchanged_without_descriptions() -> None:
    captions = torch.randn(2, 5, WIDTH)
    context, mask = AttributeConditioning(None, WIDTH).append_to(
        captions, torch.tensor([0, 1]), torch.tensor([True, True])
    )
    assert context is captions
    assert mask is None


def test_saved_tokens_are_loaded_and_other_sizes_refused(tmp_path: Path) -> None:
    first, second = conditioning_of_two_people(), conditioning_of_two_people()
    with torch.no_grad():
        for part in first.parameters():
            part.add_(1)
    first.save(tmp_path / "describer.safetensors")
    second.resume(tmp_path / "describer.safetensors")
    assert all(map(torch.equal, first.parameters(), second.parameters()))
    with pytest.raises(MethodError, match=r"describer\.safetensors: made for other attributes"):
        conditioning_of_two_people((2, 2)).resume(tmp_path / "describer.safetensors")
    with pytest.raises(MethodError, match="made for other attributes"):
        AttributeConditioning(None, WIDTH).resume(tmp_path / "describer.safetensors")


@pytest.mark.parametrize("size", [8, 16, 32])
def test_face_region_has_the_higher_weight(size: int) -> None:
    weight = face_weight(size)
    assert weight.shape == (size, size)
    assert weight.mean().item() == pytest.approx(1)
    assert weight[size // 2, size // 2].item() == pytest.approx(4 * weight[0, 0].item())
