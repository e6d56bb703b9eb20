"""`bench train ip-adapter` and `loo` on a custom dataset: two steps, and the origin in the weights."""

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bench.datasets.registry import open_people
from bench.runs.training_overlap import overlapping_names
from bench.suite.suite import DatasetSettings
from bench.training.workspace import TrainingPaths
from methods.catalog import make
from methods.interface import trained_on
from methods.leave_one_out.network import read_config

sys.path.append(str(Path(__file__).parents[2] / "methods" / "fakes"))
from tiny_pipelines import SIDE
from tiny_transformers import WRITERS

Bench = Callable[..., int]
FILE = {"ip-adapter": "adapter", "loo-mean": "network"}
"""The setting that contains the path of a method's weights."""
COMMANDS = {
    "ip-adapter": ("ip-adapter",),
    "loo-mean": ("loo", "--aggregator", "mean"),
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three people with two photographs each."""
    rng = np.random.default_rng(0)
    for name in ("ada", "bob", "cleo"):
        (tmp_path / "crowd" / name).mkdir(parents=True)
        for number in range(2):
            pixels = rng.integers(0, 255, (20, 16, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "crowd" / name / f"{number}.png")
    return tmp_path / "crowd"


@pytest.mark.parametrize("name", COMMANDS)
def test_two_steps_on_a_folder_write_weights_and_card(
    name: str, folder: Path, bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ("--dataset", "folder", "--root", "crowd", "--checkpoints", "work", "--out", "made")
    words = (*COMMANDS[name], *options, "--steps", 2, "--batch", 2, "--device", "cpu")
    assert bench("train", *words) == 0
    out = folder.parent / "made" / f"{name}.safetensors"
    assert Path(capsys.readouterr().out.strip()).name == out.name
    identity = open_people(DatasetSettings("folder", str(folder), references=1), Path()).chosen[0]
    assert overlapping_names(
        trained_on(make(name, {FILE[name]: str(out)})), [f"{identity.origin}/{identity.id}"]
    )
    card = out.with_suffix(".md").read_text()
    assert "4 of 2 people" in card
    assert "--dataset folder --root crowd" in card
    assert "rendered people" not in card
    # Another dataset's checkpoint must never be resumed.
    assert [path.name.startswith("folder-crowd-") for path in (folder.parent / "work").iterdir()] == [True]
    assert list((folder.parent / "work").glob(f"*/{name}.pt"))


def test_leave_one_out_on_a_transformer_is_trained_and_resumed(folder: Path, bench: Bench) -> None:
    here = folder.parent
    WRITERS["sd3"](here / "backbone")
    options = ("--base", "backbone", "--dataset", "folder", "--root", "crowd", "--side", SIDE, "--batch", 2)
    words = ("train", "loo", "--aggregator", "mean", *options, "--checkpoints", "work", "--out", "made")
    for steps in (1, 2):
        assert bench(*words, "--steps", steps, "--device", "cpu") == 0
    config = read_config(here / "made" / "loo-mean.safetensors")
    assert (config.family, config.steps) == ("sd3", 2)
    (curve,) = (here / "work").glob("*/loo-mean.csv")
    assert [line.partition(",")[0] for line in curve.read_text().splitlines()] == ["step", "1", "2"]


@pytest.mark.parametrize("family", ["unet", "flow"])
def test_family_of_a_backbone_chooses_recipe_and_schedule(
    family: str, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    from methods.tiny_sd import transformer, unet

    calls: list[tuple[str, object, str]] = []

    def recorded(name: str) -> Callable[..., Path]:
        return lambda workspace, schedule, command: calls.append((name, schedule, command)) or Path(name)

    monkeypatch.setattr("bench.training.recipes.rendered_workspace", lambda *_, **__: None)
    monkeypatch.setattr("methods.recipes.tiny_sd.make_backbone", recorded("unet"))
    monkeypatch.setattr("methods.recipes.tiny_flow.make_flow_backbone", recorded("flow"))
    assert bench("train", "backbone", "--family", family) == 0
    assert bench("train", "backbone", "--family", family, "--start", "earlier") == 0
    recipe, words = {
        "unet": (unet, "bench train backbone"),
        "flow": (transformer, "bench train backbone --family flow"),
    }[family]
    assert calls == [(family, recipe.SCHEDULE, words), (family, recipe.CONTINUED_SCHEDULE, words)]


def test_decoder_takes_its_schedule_and_reads_the_folder_of_the_weights(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    from methods.tiny_sd.autoencoder import SHARPENING_SCHEDULE

    calls: list[tuple[object, object, str]] = []
    monkeypatch.setattr("bench.training.recipes.rendered_workspace", lambda paths, *_, **__: paths)
    monkeypatch.setattr(
        "methods.recipes.tiny_decoder.make_sharp_decoder",
        lambda workspace, schedule, command: calls.append((workspace, schedule, command)) or Path("made"),
    )
    options = ("--data", "people", "--checkpoints", "work", "--out", "weights")
    changes = ("--steps", 3, "--batch", 2, "--learning-rate", 0.5)
    assert bench("train", "decoder", *options, *changes) == 0
    paths = TrainingPaths(Path("people"), Path("work"), Path("weights"))
    schedule = replace(SHARPENING_SCHEDULE, steps=3, batch=2, learning_rate=0.5)
    assert calls == [(paths, schedule, "bench train decoder")]
