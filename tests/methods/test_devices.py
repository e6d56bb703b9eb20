"""The methods and the adapters' training in half precision, on a CPU and, where there is one, on a GPU."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from tiny_transformers import IN_CONTEXT, FlowFolders, spec_of

from methods.backbone.backbone import Backbone
from methods.backbone.spec import BackboneSpec
from methods.catalog import METHODS, make
from methods.leave_one_out.objective import Objective
from methods.leave_one_out.training import LeaveOneOutTraining, train_leave_one_out
from methods.pretraining.dataset import TrainingSet
from methods.pretraining.loop import Schedule
from methods.subject import Request, Subject

ON_GPU = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]
HALF = [
    pytest.param("cpu", "bf16"),
    pytest.param("cuda", "bf16", marks=ON_GPU),
    pytest.param("cuda", "fp16", marks=ON_GPU),
]
REQUESTS = [
    Request("a photo of {subject}, wearing a red shirt", 11, "shirt", 11),
    Request("a photo of {subject}, smiling", 12, "smile", 12),
    Request("a photo of a woman", 13, "class", 13),
]
FLOW_METHODS = ("text-only", "dreambooth-lora", "textual-inversion")

every_method = pytest.mark.parametrize(
    ("family", "name"),
    [
        *(("sd1", name) for name in METHODS if name not in IN_CONTEXT),
        *((family, name) for family in ("sd3", "flux", "flux2") for name in FLOW_METHODS),
    ],
)

Opened = dict[tuple[str, str, str], Backbone]


@pytest.fixture(scope="module")
def opened() -> Opened:
    """Backbones by family, device and precision, kept for all tests."""
    return {}


@pytest.fixture
def half_backbone(
    family: str, device: Any, dtype: Any, opened: Opened, sd_folder: Path, flow_folders: FlowFolders
) -> Backbone:
    """A tiny backbone in half precision; fails for a change that an earlier test left on it."""
    key = (family, device, dtype)
    if key not in opened:
        if family == "sd1":
            spec = BackboneSpec(
                path=str(sd_folder), steps=2, guidance=3.0, batch=2, device=device, dtype=dtype
            )
        else:
            settings = {"max_sequence_length": 64} if family == "flux2" else {}
            spec = spec_of(flow_folders[family], device=device, dtype=dtype, **settings)
        opened[key] = Backbone.open(spec)
    assert opened[key].state.leftovers(opened[key].pipe) == []
    return opened[key]


@pytest.mark.parametrize(("device", "dtype"), HALF)
@every_method
def test_every_method_fits_and_generates_in_half_precision(
    name: str,
    half_backbone: Backbone,
    settings: dict[str, dict[str, object]],
    subject: Subject,
    tmp_path: Path,
) -> None:
    """Images are finite and not constant; another load gives the same bytes."""
    method = make(name, settings.get(name))
    method.fit(subject, tmp_path, backbone=half_backbone, seed=5)
    requests = REQUESTS if method.generates_class_images else REQUESTS[:2]
    first, second = (method.load(tmp_path, backbone=half_backbone).generate(requests) for _ in range(2))
    assert [image.info.get("flaw") for image in first] == [None] * len(requests)
    assert all(len(image.getcolors(1 << 20)) > 10 for image in first)
    assert [image.tobytes() for image in first] == [image.tobytes() for image in second]
    assert half_backbone.state.leftovers(half_backbone.pipe) == []


@pytest.mark.parametrize(("device", "dtype"), [pytest.param("cuda", "fp32", marks=ON_GPU)])
@every_method
def test_every_method_samples_the_same_images_with_sequential_offload(
    family: str,
    name: str,
    half_backbone: Backbone,
    opened: Opened,
    settings: dict[str, dict[str, object]],
    subject: Subject,
    tmp_path: Path,
) -> None:
    key = (family, "cuda", "sequential")
    if key not in opened:
        opened[key] = Backbone.open(replace(half_backbone.spec, cpu_offload="sequential"))
    method = make(name, settings.get(name))
    method.fit(subject, tmp_path, backbone=half_backbone, seed=5)
    requests = REQUESTS if method.generates_class_images else REQUESTS[:2]
    expected, images = (
        method.load(tmp_path, backbone=backbone).generate(requests)
        for backbone in (half_backbone, opened[key])
    )
    differences = [np.asarray(a).astype(int) - b for a, b in zip(images, expected, strict=True)]
    assert np.abs(differences).max() <= 1
    assert opened[key].state.leftovers(opened[key].pipe) == []


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=ON_GPU)])
def test_training_is_resumed_on_the_device(
    device: Any, people: TrainingSet, sd_folder: Path, clip_folder: Path, tmp_path: Path
) -> None:
    """Nearly the same weights: on a GPU the order of sums may change, and Adam enlarges small differences."""
    backbone = Backbone.open(BackboneSpec(path=str(sd_folder), steps=2, batch=2, device=device))
    training = LeaveOneOutTraining(
        "attention", Objective(largest_set=3), tokens=3, hidden=64, encoder=clip_folder
    )
    schedule = Schedule(steps=6, batch=8, learning_rate=1e-3, warm_up=1, decay_from=1.0)

    def trained(name: str, steps: int) -> torch.Tensor:
        out = tmp_path / f"{name}.safetensors"
        train_leave_one_out(
            people,
            out,
            training=training,
            backbone=backbone,
            schedule=replace(schedule, steps=steps),
            work=tmp_path,
            progress=lambda step, steps, line: None,
        )
        return torch.cat([value.float().flatten() for _, value in sorted(load_file(out).items())])

    straight, halfway, resumed = trained("straight", 6), trained("resumed", 3), trained("resumed", 6)
    assert (straight - halfway).norm() > 0
    assert (straight - resumed).norm() < (0 if device == "cpu" else 0.2) * (straight - halfway).norm() + 1e-9
