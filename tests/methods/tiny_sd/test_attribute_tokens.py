"""A person's description beside the caption, in the training of the U-Net."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from bench.synthetic.parameters.persona_vector import Descriptions
from methods.errors import MethodError
from methods.tiny_sd.attribute_tokens import Description
from methods.tiny_sd.unet import face_weight, new_unet

WIDTH = 16


def of_two_people(groups: tuple[int, ...] = (3, 2)) -> Description:
    torch.manual_seed(0)
    numbers = np.random.default_rng(0).normal(size=(2, sum(groups))).astype(np.float32)
    return Description(Descriptions(numbers, groups), WIDTH)


def test_whoever_is_not_described_is_drawn_from_the_caption_alone() -> None:
    torch.manual_seed(1)
    unet = new_unet(channels=2, size=8, text_width=WIDTH, widths=(32, 32)).eval()
    latents, t, captions = torch.randn(2, 2, 8, 8), torch.tensor([500, 500]), torch.randn(2, 5, WIDTH)
    context, seen = of_two_people().beside(captions, torch.tensor([0, 1]), torch.tensor([False, True]))
    assert context.shape == (2, 5 + 2, WIDTH)
    with torch.no_grad():
        told = unet(latents, t, encoder_hidden_states=context, encoder_attention_mask=seen).sample
        plain = unet(latents, t, encoder_hidden_states=captions).sample
    torch.testing.assert_close(told[0], plain[0], atol=1e-5, rtol=1e-4)
    assert (told[1] - plain[1]).abs().max() > 1e-4


def test_each_group_speaks_through_its_own_token() -> None:
    description = of_two_people()
    both = torch.tensor([0, 1])
    before, _ = description.beside(torch.zeros(2, 1, WIDTH), both, both > -1)
    assert description.describer is not None
    description.describer.numbers[1, 3:] += 1
    after, _ = description.beside(torch.zeros(2, 1, WIDTH), both, both > -1)
    assert torch.equal(before[:, :2], after[:, :2])
    assert torch.equal(before[0], after[0])
    assert not torch.allclose(before[1, 2], after[1, 2])


def test_without_descriptions_the_captions_stay_as_they_are() -> None:
    captions = torch.randn(2, 5, WIDTH)
    context, seen = Description(None, WIDTH).beside(
        captions, torch.tensor([0, 1]), torch.tensor([True, True])
    )
    assert context is captions
    assert seen is None


def test_a_describer_goes_on_from_its_file_and_refuses_another_ones(tmp_path: Path) -> None:
    first, second = of_two_people(), of_two_people()
    with torch.no_grad():
        for part in first.parameters():
            part.add_(1)
    first.save(tmp_path / "describer.safetensors")
    second.resume(tmp_path / "describer.safetensors")
    assert all(map(torch.equal, first.parameters(), second.parameters()))
    with pytest.raises(MethodError, match=r"describer\.safetensors: made for other descriptions"):
        of_two_people((2, 2)).resume(tmp_path / "describer.safetensors")
    with pytest.raises(MethodError, match="made for other descriptions"):
        Description(None, WIDTH).resume(tmp_path / "describer.safetensors")


@pytest.mark.parametrize("size", [8, 16, 32])
def test_the_face_counts_more_than_what_is_around_it(size: int) -> None:
    weight = face_weight(size)
    assert weight.shape == (size, size)
    assert weight.mean().item() == pytest.approx(1)
    assert weight[size // 2, size // 2].item() == pytest.approx(4 * weight[0, 0].item())
