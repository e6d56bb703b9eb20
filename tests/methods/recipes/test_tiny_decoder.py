"""The decoder's recipe: it learns, latents do not change, the flow recipe finds it."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from diffusers import AutoencoderKL
from squares import Squares, ignore_progress, short_schedule, small_parts

from methods.errors import MethodError
from methods.recipes import tiny_decoder
from methods.recipes.pipeline_folder import save_stable_diffusion
from methods.recipes.tiny_decoder import (
    SHARP_AUTOENCODER,
    make_sharp_decoder,
    sharpest_autoencoder,
)
from methods.recipes.tiny_flow import frozen_parts
from methods.recipes.workspace import TrainingWorkspace
from methods.tiny_sd.autoencoder import encode_all, new_autoencoder
from methods.tiny_sd.unet import new_unet

CPU = torch.device("cpu")
COMMAND = "bench train decoder"


@pytest.fixture
def workspace(tmp_path: Path) -> TrainingWorkspace:
    """A small untrained pipeline, and photographs of squares."""
    folder = tmp_path / "weights"
    unet = new_unet(channels=8, size=16, text_width=128, widths=(32, 32))
    save_stable_diffusion(folder / "embedded", small_parts(Squares()), unet)
    return TrainingWorkspace(Squares(), Squares(4, 2), folder, tmp_path / "checkpoints", CPU, ignore_progress)


def files(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_recipe_trains_the_decoder_alone(workspace: TrainingWorkspace) -> None:
    pipeline = workspace.weights / "embedded"
    before = files(pipeline)
    folder = make_sharp_decoder(workspace, short_schedule(30, 2e-3), command=COMMAND)
    # The U-Net's pipeline is only read.
    assert files(pipeline) == before
    ours, theirs = AutoencoderKL.from_pretrained(folder), AutoencoderKL.from_pretrained(pipeline / "vae")
    pixels = Squares(4, 2).pixels
    assert torch.equal(encode_all(ours, pixels, CPU), encode_all(theirs, pixels, CPU))
    card = (folder / "CARD.md").read_text()
    psnr, psnr_before = (
        float(line.split("|")[2]) for line in card.splitlines() if line.startswith("| PSNR in dB")
    )
    assert psnr > psnr_before + 0.2
    assert f"Made by `{COMMAND}`." in card


def test_finished_training_is_not_repeated(
    workspace: TrainingWorkspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = make_sharp_decoder(workspace, short_schedule(2, 2e-3), command=COMMAND)
    weights = AutoencoderKL.from_pretrained(first).decoder.conv_in.weight
    monkeypatch.setattr(tiny_decoder, "cached_latents", None)
    again = make_sharp_decoder(workspace, short_schedule(2, 2e-3), command=COMMAND)
    assert torch.equal(AutoencoderKL.from_pretrained(again).decoder.conv_in.weight, weights)


def test_decoder_continues_from_an_earlier_training(workspace: TrainingWorkspace) -> None:
    """At a negligible learning rate, the weights stay those of the start."""
    earlier = AutoencoderKL.from_pretrained(workspace.weights / "embedded" / "vae")
    torch.nn.init.ones_(earlier.decoder.conv_out.weight)
    earlier.save_pretrained(workspace.checkpoints / SHARP_AUTOENCODER)
    later = replace(workspace, checkpoints=workspace.checkpoints / "later", start=workspace.checkpoints)
    made = AutoencoderKL.from_pretrained(make_sharp_decoder(later, short_schedule(2, 1e-9), command=COMMAND))
    torch.testing.assert_close(made.decoder.conv_out.weight, earlier.decoder.conv_out.weight)


def test_flow_recipe_takes_the_trained_decoder(workspace: TrainingWorkspace) -> None:
    plain = frozen_parts(workspace).autoencoder
    sharp = copy.deepcopy(plain)
    torch.nn.init.ones_(sharp.decoder.conv_out.weight)
    sharp.save_pretrained(workspace.checkpoints / SHARP_AUTOENCODER)
    later = replace(workspace, checkpoints=workspace.checkpoints / "later", start=workspace.checkpoints)
    for place in (workspace, later):
        found = frozen_parts(place).autoencoder
        assert torch.equal(found.decoder.conv_out.weight, sharp.decoder.conv_out.weight)
    bare = replace(workspace, checkpoints=workspace.checkpoints / "bare")
    assert torch.equal(frozen_parts(bare).autoencoder.decoder.conv_out.weight, plain.decoder.conv_out.weight)


@pytest.mark.parametrize("part", ["encoder", "quant_conv"])
def test_decoder_for_other_latents_is_refused(part: str, workspace: TrainingWorkspace) -> None:
    autoencoder = new_autoencoder(widths=(8, 16, 16))
    other = copy.deepcopy(autoencoder)
    with torch.no_grad():
        next(getattr(other, part).parameters()).view(-1)[0] += 1
    other.save_pretrained(workspace.checkpoints / SHARP_AUTOENCODER)
    with pytest.raises(MethodError, match=f"its {part} is not that of the pipeline"):
        sharpest_autoencoder(workspace, autoencoder)
