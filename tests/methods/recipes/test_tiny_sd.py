"""The recipe in a few steps each: losses fall, files load, an interrupted training ends the same."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from squares import Squares, ignore_progress, short_schedule, small_parts

from methods.errors import MethodError
from methods.pretraining.loop import Schedule
from methods.recipes.tiny_sd import make_autoencoder, make_backbone, make_clip
from methods.recipes.workspace import TrainingWorkspace
from methods.tiny_sd.autoencoder import new_autoencoder, train_autoencoder
from methods.tiny_sd.tokenizer import MAX_LENGTH, RARE_TOKENS, learn_tokenizer, token_ids
from methods.tiny_sd.unet import initial_unet, train_unet

COMMAND = "bench train backbone"


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> TrainingWorkspace:
    folder = tmp_path_factory.mktemp("world")
    return TrainingWorkspace(
        Squares(),
        Squares(4, 2),
        folder / "weights",
        folder / "checkpoints",
        torch.device("cpu"),
        ignore_progress,
    )


def record_losses(workspace: TrainingWorkspace) -> tuple[TrainingWorkspace, list[float]]:
    losses: list[float] = []
    recorded = replace(workspace, progress=lambda step, steps, text: losses.append(float(text.split()[1])))
    return recorded, losses


@pytest.mark.slow
def test_recipe_writes_a_pipeline_that_diffusers_loads(
    workspace: TrainingWorkspace,
) -> None:
    from diffusers import StableDiffusionPipeline
    from transformers import CLIPModel, CLIPVisionModelWithProjection

    recorded, losses = record_losses(workspace)
    make_clip(recorded, short_schedule(26, 1e-3), command="bench train clip")
    assert losses[-1] < losses[0]
    losses.clear()
    make_autoencoder(
        recorded, short_schedule(26, 2e-3), short_schedule(11, 1e-3), command="bench train autoencoder"
    )
    assert losses[-1] < losses[0]
    losses.clear()
    folder = make_backbone(recorded, replace(short_schedule(26, 2e-3), batch=16), command=COMMAND)
    assert losses[-1] < losses[0]

    pipeline = StableDiffusionPipeline.from_pretrained(folder, safety_checker=None)
    pipeline.set_progress_bar_config(disable=True)
    generator = torch.Generator().manual_seed(1)
    image = pipeline("a photo of a sks man", num_inference_steps=2, generator=generator).images[0]
    assert image.size == (64, 64)
    assert CLIPVisionModelWithProjection.from_pretrained(workspace.weights / "clip").config.image_size == 64
    assert "v-prediction error" in (folder / "CARD.md").read_text()

    assert (workspace.checkpoints / "describer.safetensors").exists()

    second = workspace.checkpoints.parent / "second"
    onward = replace(workspace, checkpoints=second, weights=second / "weights", start=workspace.checkpoints)
    make_clip(onward, short_schedule(2, 1e-3), command="bench train clip")
    before, after = (
        CLIPModel.from_pretrained(place / "clip").float() for place in (workspace.checkpoints, second)
    )
    assert all(map(torch.equal, before.text_model.parameters(), after.text_model.parameters()))
    assert not all(map(torch.equal, before.vision_model.parameters(), after.vision_model.parameters()))
    make_autoencoder(
        onward, short_schedule(2, 1e-3), short_schedule(2, 1e-3), command="bench train autoencoder"
    )
    continued = make_backbone(onward, short_schedule(2, 1e-3), command=COMMAND)
    card = (continued / "CARD.md").read_text()
    assert "an earlier training" in card
    assert f"Made by `{COMMAND}`." in card

    # Continue the U-Net alone: the other parts are those of the earlier training.
    third = workspace.checkpoints.parent / "third"
    further = make_backbone(
        replace(onward, checkpoints=third, weights=third / "weights"),
        short_schedule(2, 1e-3),
        command=COMMAND,
    )
    ours, theirs = (place / "vae" / "diffusion_pytorch_model.safetensors" for place in (further, folder))
    assert ours.read_bytes() == theirs.read_bytes()


def test_interrupted_training_ends_with_the_same_weights(tmp_path: Path) -> None:
    pixels = Squares().pixels
    whole, halves = tmp_path / "whole.pt", tmp_path / "halves.pt"
    schedule = Schedule(steps=6, batch=4, learning_rate=1e-3, warm_up=1, decay_from=0.5)

    def trained(checkpoint: Path, stop_at: int | None = None) -> torch.Tensor:
        torch.manual_seed(0)
        network = new_autoencoder(widths=(8, 16, 16))
        train_autoencoder(
            pixels,
            schedule=schedule,
            checkpoint=checkpoint,
            device=torch.device("cpu"),
            progress=ignore_progress,
            autoencoder=network,
            stop_at=stop_at,
        )
        return torch.cat([p.detach().flatten() for p in network.parameters()])

    expected = trained(whole)
    trained(halves, stop_at=3)
    assert torch.equal(trained(halves), expected)


def test_checkpoint_of_another_network_is_refused(tmp_path: Path) -> None:
    pixels, checkpoint = Squares().pixels, tmp_path / "autoencoder.pt"
    schedule = Schedule(steps=1, batch=2, learning_rate=1e-3)
    for widths in ((8, 16, 16), (8, 8, 8)):
        network = new_autoencoder(widths=widths)
        if widths == (8, 8, 8):
            with pytest.raises(MethodError, match="made for another network"):
                train_autoencoder(
                    pixels,
                    schedule=schedule,
                    checkpoint=checkpoint,
                    device=torch.device("cpu"),
                    progress=ignore_progress,
                    autoencoder=network,
                )
        else:
            train_autoencoder(
                pixels,
                schedule=schedule,
                checkpoint=checkpoint,
                device=torch.device("cpu"),
                progress=ignore_progress,
                autoencoder=network,
            )


def test_accumulated_pieces_train_the_unet_like_whole_batches(tmp_path: Path) -> None:
    """Processes split a batch into the same pieces."""
    data = Squares()
    parts = small_parts(data)

    def trained(pieces: int) -> torch.Tensor:
        network, attributes = initial_unet(data, parts, seed=0, widths=(32, 32))
        before = [p.detach().clone() for p in attributes.parameters()]
        train_unet(
            network,
            attributes,
            data,
            parts,
            schedule=replace(short_schedule(3, 1e-3), accumulate=pieces, precision="fp32"),
            checkpoint=tmp_path / f"{pieces}.pt",
            device=torch.device("cpu"),
            progress=ignore_progress,
        )
        assert not any(map(torch.equal, before, attributes.parameters()))
        return torch.cat([p.detach().flatten() for p in (*network.parameters(), *attributes.parameters())])

    torch.testing.assert_close(trained(4), trained(1), atol=1e-4, rtol=1e-3)


def test_new_attribute_tokens_are_first_trained_alone(tmp_path: Path) -> None:
    data = Squares()
    parts = small_parts(data)
    start, _ = initial_unet(data, parts, seed=0, widths=(32, 32))
    unet, attributes = initial_unet(data, parts, seed=1, widths=(32, 32), start=start)
    unet_before = [p.detach().clone() for p in unet.parameters()]
    attributes_before = [p.detach().clone() for p in attributes.parameters()]
    steps: list[tuple[bool, bool]] = []

    def record(step: int, of: int, text: str) -> None:
        unchanged = all(map(torch.equal, unet_before, unet.parameters()))
        steps.append((unchanged, any(map(torch.equal, attributes_before, attributes.parameters()))))

    train_unet(
        unet,
        attributes,
        data,
        parts,
        schedule=replace(short_schedule(2, 1e-3), precision="fp32"),
        checkpoint=tmp_path / "unet.pt",
        device=torch.device("cpu"),
        progress=record,
    )
    first, second = steps[: len(steps) // 2], steps[len(steps) // 2 :]
    assert all(unet_unchanged for unet_unchanged, _ in first)
    assert not any(attributes_unchanged for _, attributes_unchanged in first)
    assert not any(unet_unchanged for unet_unchanged, _ in second)


def test_backbone_without_its_parts_names_the_part_to_train_first(
    workspace: TrainingWorkspace, tmp_path: Path
) -> None:
    bare = replace(workspace, weights=tmp_path / "weights", checkpoints=tmp_path / "checkpoints")
    with pytest.raises(MethodError, match=r"clip: no config\.json; train the clip first"):
        make_backbone(bare, short_schedule(1, 1e-3), command=COMMAND)


def test_start_with_other_latent_channels_is_refused(workspace: TrainingWorkspace, tmp_path: Path) -> None:
    start = tmp_path / "earlier"
    new_autoencoder(widths=(8, 16, 16), channels=4).save_pretrained(start / "autoencoder")
    with pytest.raises(MethodError, match="a latent of 4 channels, expected 8"):
        make_autoencoder(
            replace(workspace, checkpoints=tmp_path / "new", start=start),
            short_schedule(1, 1e-3),
            short_schedule(1, 1e-3),
            command="bench train autoencoder",
        )


def test_rare_words_are_one_token_each_and_no_caption_contains_them() -> None:
    tokenizer = learn_tokenizer([Squares().template(row, mirrored=False) for row in range(8)], vocabulary=900)
    for word in RARE_TOKENS:
        assert tokenizer.tokenize(word) == [f"{word}</w>"]
    assert all(len(row) == MAX_LENGTH for row in token_ids(tokenizer, ["a photo of a man", ""]))
