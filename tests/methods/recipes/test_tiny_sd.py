"""The whole recipe in a few steps each: losses fall, files load, an interrupted training ends the same."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from bench.synthetic.parameters.persona_vector import Descriptions
from methods.errors import MethodError
from methods.pretraining.loop import Schedule
from methods.recipes.tiny_sd import make_autoencoder, make_backbone, make_clip
from methods.recipes.workspace import TrainingWorkspace
from methods.tiny_sd.autoencoder import new_autoencoder, train_autoencoder
from methods.tiny_sd.clip import new_clip
from methods.tiny_sd.tokenizer import MAX_LENGTH, RARE_TOKENS, learn_tokenizer, token_ids
from methods.tiny_sd.unet import FrozenParts, begun_unet, train_unet

COLOURS = {"red": (200, 40, 40), "green": (40, 160, 60), "blue": (50, 70, 200), "white": (240, 240, 240)}


class Squares:
    """Eight people who are squares: the body is the person's colour, the background the photograph's."""

    def __init__(self, people: int = 8, views: int = 4) -> None:
        self.names = list(COLOURS)
        self.identities: NDArray[np.int64] = np.repeat(np.arange(people), views)
        self.backgrounds = [self.names[(row * 5 + 1) % 4] for row in range(people * views)]
        bodies = np.eye(4, dtype=np.float32)[self.identities % 4]
        self.descriptions = Descriptions(bodies, (3, 1))
        self.pixels: NDArray[np.uint8] = np.stack([self._draw(row) for row in range(people * views)])

    def _draw(self, row: int) -> NDArray[np.uint8]:
        picture = np.full((64, 64, 3), COLOURS[self.backgrounds[row]], np.uint8)
        picture[16:64, 16:48] = COLOURS[self.names[self.identities[row] % 4]]
        return picture

    def caption(self, row: int, rng: np.random.Generator, *, mirrored: bool) -> str:
        plain = self.template(row, mirrored=mirrored).format(subject=f"a {self.noun(row)}")
        return plain if rng.random() < 0.7 else f"a photo of a {self.noun(row)}"

    def template(self, row: int, *, mirrored: bool) -> str:
        return f"a photo of {{subject}}, {self.backgrounds[row]} background"

    def noun(self, row: int) -> str:
        return ("man", "woman")[int(self.identities[row]) % 2]


def zero_linear(step: int, steps: int, text: str) -> None:
    pass


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> TrainingWorkspace:
    folder = tmp_path_factory.mktemp("world")
    return TrainingWorkspace(
        Squares(), Squares(4, 2), folder / "weights", folder / "checkpoints", torch.device("cpu"), zero_linear
    )


def losses_of(workspace: TrainingWorkspace) -> tuple[TrainingWorkspace, list[float]]:
    seen: list[float] = []
    listening = replace(workspace, progress=lambda step, steps, text: seen.append(float(text.split()[1])))
    return listening, seen


def brief(steps: int, rate: float) -> Schedule:
    return Schedule(steps=steps, batch=8, learning_rate=rate, warm_up=2, decay_from=0.9, ema=0.5)


def small_parts(data: Squares) -> FrozenParts:
    from transformers import CLIPTextModel

    torch.manual_seed(0)
    tokenizer = learn_tokenizer([data.template(row, mirrored=False) for row in range(8)], vocabulary=900)
    text_encoder = CLIPTextModel(new_clip(tokenizer).config.text_config)
    return FrozenParts(new_autoencoder(widths=(8, 16, 16)), text_encoder, tokenizer)


@pytest.mark.slow
def test_the_recipe_makes_a_pipeline_that_stock_diffusers_opens_and_draws_with(
    workspace: TrainingWorkspace,
) -> None:
    from diffusers import StableDiffusionPipeline
    from transformers import CLIPModel, CLIPVisionModelWithProjection

    listening, seen = losses_of(workspace)
    make_clip(listening, brief(51, 1e-3))
    assert seen[-1] < seen[0]
    seen.clear()
    make_autoencoder(listening, brief(51, 2e-3), brief(11, 1e-3))
    assert seen[-1] < seen[0]
    seen.clear()
    folder = make_backbone(listening, replace(brief(51, 2e-3), batch=16))
    assert seen[-1] < seen[0]

    pipeline = StableDiffusionPipeline.from_pretrained(folder, safety_checker=None)
    pipeline.set_progress_bar_config(disable=True)
    generator = torch.Generator().manual_seed(1)
    picture = pipeline("a photo of a sks man", num_inference_steps=2, generator=generator).images[0]
    assert picture.size == (64, 64)
    assert CLIPVisionModelWithProjection.from_pretrained(workspace.weights / "clip").config.image_size == 64
    assert "v-prediction error" in (folder / "CARD.md").read_text()

    assert (workspace.checkpoints / "describer.safetensors").exists()

    second = workspace.checkpoints.parent / "second"
    onward = replace(workspace, checkpoints=second, weights=second / "weights", start=workspace.checkpoints)
    make_clip(onward, brief(2, 1e-3))
    before, after = (
        CLIPModel.from_pretrained(place / "clip").float() for place in (workspace.checkpoints, second)
    )
    assert all(map(torch.equal, before.text_model.parameters(), after.text_model.parameters()))
    assert not all(map(torch.equal, before.vision_model.parameters(), after.vision_model.parameters()))
    make_autoencoder(onward, brief(2, 1e-3), brief(2, 1e-3))
    assert "an earlier making" in (make_backbone(onward, brief(2, 1e-3)) / "CARD.md").read_text()

    # A U-Net that goes on alone: the other parts are the earlier making's.
    third = workspace.checkpoints.parent / "third"
    further = make_backbone(replace(onward, checkpoints=third, weights=third / "weights"), brief(2, 1e-3))
    ours, theirs = (place / "vae" / "diffusion_pytorch_model.safetensors" for place in (further, folder))
    assert ours.read_bytes() == theirs.read_bytes()


def test_a_training_that_was_interrupted_ends_with_the_weights_of_one_that_was_not(tmp_path: Path) -> None:
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
            progress=zero_linear,
            autoencoder=network,
            stop_at=stop_at,
        )
        return torch.cat([p.detach().flatten() for p in network.parameters()])

    expected = trained(whole)
    trained(halves, stop_at=3)
    assert torch.equal(trained(halves), expected)


def test_a_checkpoint_of_another_network_is_refused_in_one_line(tmp_path: Path) -> None:
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
                    progress=zero_linear,
                    autoencoder=network,
                )
        else:
            train_autoencoder(
                pixels,
                schedule=schedule,
                checkpoint=checkpoint,
                device=torch.device("cpu"),
                progress=zero_linear,
                autoencoder=network,
            )


def test_a_unet_learns_in_pieces_what_it_learns_from_whole_batches(tmp_path: Path) -> None:
    """Pieces are what processes, too, share a batch in."""
    data = Squares()
    parts = small_parts(data)

    def trained(pieces: int) -> torch.Tensor:
        network, description = begun_unet(data, parts, seed=0, widths=(32, 32))
        before = [p.detach().clone() for p in description.parameters()]
        train_unet(
            network,
            description,
            data,
            parts,
            schedule=replace(brief(3, 1e-3), accumulate=pieces, precision="fp32"),
            checkpoint=tmp_path / f"{pieces}.pt",
            device=torch.device("cpu"),
            progress=zero_linear,
        )
        assert not any(map(torch.equal, before, description.parameters()))
        return torch.cat([p.detach().flatten() for p in (*network.parameters(), *description.parameters())])

    torch.testing.assert_close(trained(4), trained(1), atol=1e-4, rtol=1e-3)


def test_a_network_stands_still_until_a_new_description_means_something(tmp_path: Path) -> None:
    data = Squares()
    parts = small_parts(data)
    start, _ = begun_unet(data, parts, seed=0, widths=(32, 32))
    unet, description = begun_unet(data, parts, seed=1, widths=(32, 32), start=start)
    own = [p.detach().clone() for p in unet.parameters()]
    met = [p.detach().clone() for p in description.parameters()]
    steps: list[tuple[int, bool, bool]] = []

    def tell(step: int, of: int, text: str) -> None:
        still = all(map(torch.equal, own, unet.parameters()))
        steps.append((step, still, any(map(torch.equal, met, description.parameters()))))

    train_unet(
        unet,
        description,
        data,
        parts,
        schedule=replace(brief(2, 1e-3), precision="fp32"),
        checkpoint=tmp_path / "unet.pt",
        device=torch.device("cpu"),
        progress=tell,
    )
    introduced = steps[: len(steps) // 2]
    assert all(still for _, still, _ in introduced)
    assert not any(untouched for _, _, untouched in introduced)
    assert not any(still for _, still, _ in steps[len(steps) // 2 :])


def test_a_backbone_without_its_parts_says_which_command_makes_them(
    workspace: TrainingWorkspace, tmp_path: Path
) -> None:
    bare = replace(workspace, weights=tmp_path / "weights", checkpoints=tmp_path / "checkpoints")
    with pytest.raises(MethodError, match="bench train clip"):
        make_backbone(bare, brief(1, 1e-3))


def test_rare_tokens_are_one_token_each_and_no_caption_holds_them() -> None:
    tokenizer = learn_tokenizer([Squares().template(row, mirrored=False) for row in range(8)], vocabulary=900)
    for word in RARE_TOKENS:
        assert tokenizer.tokenize(word) == [f"{word}</w>"]
    assert all(len(row) == MAX_LENGTH for row in token_ids(tokenizer, ["a photo of a man", ""]))
