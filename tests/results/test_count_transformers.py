"""count_transformers.py: the published sizes, and the figures in the headers of the suites."""

import importlib
import re
import sys
from functools import cache, partial
from pathlib import Path
from typing import Any

import pytest
from torch import nn
from transformers import (
    CLIPVisionConfig,
    CLIPVisionModelWithProjection,
    SiglipVisionConfig,
    SiglipVisionModel,
)

from bench.suite.suite import open_suite

sys.path.append(str(Path(__file__).parents[2] / "results" / "scripts"))
costs = importlib.import_module("network_costs")
networks = importlib.import_module("published_networks")
script = importlib.import_module("count_transformers")

LOO_ROWS = ("loo-mean", "loo-attention", "loo-caption-attention")
SUITES = ("celeba-sd35", "celeba-flux", "celeba-kontext", "celeba-flux2-klein")
HEADROOM = 1.2
"""Required memory over the counted one: kernels, workspaces and fragments are not counted."""


@cache
def count(name: str) -> Any:
    return script.Count(name)


@pytest.mark.parametrize(
    ("parts", "sizes"),
    [
        (networks.SD3, (2_243_171_520, 83_819_683, 123_650_304, 694_659_840, 4_762_310_656)),
        (networks.FLUX, (11_901_408_320, 83_819_683, 123_060_480, 4_762_310_656)),
        (networks.FLUX2, (3_875_544_576, 84_046_115, 4_022_468_096)),
    ],
)
def test_networks_have_the_published_numbers_of_parameters(parts: Any, sizes: tuple[int, ...]) -> None:
    """As users of the published weights print them."""
    assert tuple(map(costs.parameters, costs.build(parts).values())) == sizes


def test_weights_have_the_sizes_of_the_published_files() -> None:
    """Bytes of the tensors; the files have headers of 0.1 MB in addition."""
    medium, dev = (count(name).pipeline.networks for name in SUITES[:2])
    published = {4_939_433_672: medium["transformer"], 23_802_954_040: dev["transformer"]}
    published |= {9_524_648_584: dev["text_encoder_2"]}
    for size, network in published.items():
        assert costs.gigabytes(network) == pytest.approx(size / 1e9, abs=2e-4)


def test_operations_of_layers_and_attention_are_exact() -> None:
    """Also where equal blocks run once: 3 equal layers and another one."""
    layers = {
        "layers": lambda: nn.Sequential(nn.ModuleList(nn.Linear(9, 9) for _ in range(3)), nn.Linear(9, 5))
    }
    model = costs.build(layers)["layers"]
    x = costs.empty(7, 9)

    def call() -> None:
        for layer in model[0]:
            layer(x)
        model[1](x)

    assert costs.tflop(call, model) == costs.tflop(call) == pytest.approx(2 * 7 * 9 * (3 * 9 + 5) / 1e12)
    assert len(model[0]) == 3
    q = costs.empty(1, 2, 11, 8)
    attention = partial(nn.functional.scaled_dot_product_attention, q, q, q)
    assert costs.tflop(attention) == pytest.approx(4 * 2 * 11 * 11 * 8 / 1e12)


def test_memory_of_the_ip_adapter_is_that_of_its_layers_and_its_encoder() -> None:
    """XLabs' second version: 16 tokens, keys and values of 19 blocks; CLIP's vision tower in fp32."""
    adapter = costs.build({"": lambda: nn.Linear(768, 16 * 4096)} | {"norm": lambda: nn.LayerNorm(4096)})
    projections = 2 * 19 * costs.parameters(nn.Linear(4096, 24 * 128, device="meta"))
    layers = projections + sum(map(costs.parameters, adapter.values()))
    size = {"hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 24, "patch_size": 14}
    config = CLIPVisionConfig(**size, num_attention_heads=16, projection_dim=768)
    tower = costs.build({"": lambda: CLIPVisionModelWithProjection(config)})[""]
    gigabytes = (2 * layers + 4 * costs.parameters(tower)) / 1e9
    assert f"ip-adapter and its encoder {gigabytes:.1f} more" in open_suite("celeba-flux").text


@pytest.mark.parametrize("name", SUITES)
def test_header_states_the_counted_numbers(name: str) -> None:
    counted = count(name)
    head = " ".join(re.sub(r"^# ?", "", counted.text.partition("\nname = ")[0], flags=re.MULTILINE).split())
    hours = counted.hours
    stated = [
        f"{counted.images} images per row",
        f"{counted.rows} generating rows, {counted.image_seconds:.1f} s each, {hours['generation']:.1f} h",
        f"about {sum(hours.values()):.0f} hours",
        f"{counted.pipeline.weights:.1f} GB of weights in bf16",
        f"Sampling takes {counted.memory['sampling']:.1f} GB",
        f"{counted.memory['sampling with cpu_offload']:.1f} with `cpu_offload`",
        f'{counted.memory["sampling with sequential offload"]:.1f} where it is `"sequential"`',
        f"{counted.pipeline.forward:.1f} TFLOP for a pass",
        f"{counted.image:.0f} TFLOP for an image",
    ]
    if counted.fits:
        stated += [f"{hours['fitting']:.1f} h", f"Training takes {counted.memory['training']:.1f} GB"]
        stated += [f"{fit.seconds / 60:.0f}" for fit in counted.fits.values()]
    if counted.adapters:
        stated += _stated_of_trainings(counted)
    assert [text for text in stated if text not in head] == []


def _stated_of_trainings(counted: Any) -> list[str]:
    """What the header says of the trained adapters; the comments of their rows are checked here."""
    trainings = counted.adapters
    (hours,) = {f"{training.hours(script.TRAINING):.1f}" for training in trainings.values()}
    memory = {name: counted.memory[f"training of {name}"] for name in trainings}
    for is_own_layout, words in ((False, ""), (True, "at most ")):
        of = [name for name, training in trainings.items() if training.is_leave_one_out is is_own_layout]
        text = f"{words}{max(memory[name] for name in of):.1f} GB of memory, {hours} hours each"
        assert text in " ".join(counted.text.replace("\n#", "").split())
    (photographs,) = {training.photographs for training in trainings.values()}
    assert f"Each sees {photographs:,} photographs" in counted.text
    return [
        f"{hours} h for each of five adapters",
        f"up to {max(memory.values()):.1f}",
        f"trained adapters ({counted.features:.0f})",
        f"{sum(training.file for training in trainings.values()):.1f} for the trained adapters",
    ]


@pytest.mark.parametrize("name", SUITES[:2])
def test_leave_one_out_and_its_control_are_trained_alike(name: str) -> None:
    trained = count(name).adapters
    assert list(trained) == ["ip-control", "ip-leave-one-out", *LOO_ROWS]
    control, others = (dict(trained[row].options) for row in ("ip-control", "ip-leave-one-out"))
    assert (control.pop("condition"), others.pop("condition")) == ("self", "others")
    assert {**control, "name": ""} == {**others, "name": ""}
    rows = open_suite(name).suite.methods
    for row in LOO_ROWS:
        own = dict(trained[row].options)
        assert f"loo-{own.pop('aggregator')}" == own.pop("name") == row
        shared = own.keys() - {"depth", "hidden"}
        assert {option: own[option] for option in shared} == {option: control[option] for option in shared}
    for row, training in trained.items():
        weights = rows[row]["network" if training.is_leave_one_out else "adapter"]
        assert weights == f"{training.options['out']}/{row}.safetensors"
        assert rows[row]["encoder"] == training.options["encoder"]
    backbone = open_suite(name).suite.backbone
    assert control["base"] == f"{backbone.path}@{backbone.revision}"
    assert control["dtype"] == backbone.dtype


def test_memory_of_an_adapter_for_sd35_is_that_of_its_layers_and_its_encoder() -> None:
    size = {"hidden_size": 1152, "intermediate_size": 4304, "num_hidden_layers": 27, "patch_size": 14}
    config = SiglipVisionConfig(**size, num_attention_heads=16, image_size=384)
    tower = costs.build({"": lambda: SiglipVisionModel(config)})[""]
    adapter = count("celeba-sd35").adapters["ip-control"].parameters
    gigabytes = (2 * adapter + 4 * costs.parameters(tower)) / 1e9
    assert f"an adapter and its encoder {gigabytes:.1f} more" in open_suite("celeba-sd35").text


def test_context_of_klein_is_that_of_four_photographs_of_celeba() -> None:
    """As in diffusers' pipeline, at their own size without the last pixels; Kontext enlarges its context."""
    assert open_suite("celeba-flux2-klein").suite.dataset.references == script.REFERENCES
    assert count("celeba-flux2-klein").pipeline.context == 4 * 143
    klein, kontext = (count(name).pipeline for name in ("celeba-flux2-klein", "celeba-kontext"))
    assert 1.1 < klein.forward / klein.training_forward < kontext.forward / kontext.training_forward


@pytest.mark.parametrize("name", SUITES)
def test_needs_cover_what_is_counted(name: str) -> None:
    counted, needs = count(name), open_suite(name).suite.needs
    disk = counted.disk + counted.features
    assert disk <= needs.disk < disk + 1
    assert HEADROOM * max(counted.memory.values()) <= needs.gpu_memory
