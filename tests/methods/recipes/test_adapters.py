"""Names of adapters without a given name."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from methods.backbone.backbone import Backbone
from methods.backbone.spec import BackboneSpec
from methods.catalog import make
from methods.errors import MethodError
from methods.ip_adapter.training import SCHEDULE, IPAdapterTraining
from methods.leave_one_out.objective import Objective
from methods.leave_one_out.training import LeaveOneOutTraining
from methods.pretraining.distributed import DistributedGroup
from methods.recipes.adapters import _backbone, default_name, make_adapter
from methods.shipped import WEIGHTS


def test_default_name_lists_changed_settings() -> None:
    assert default_name(LeaveOneOutTraining("mean")) == "loo-mean"
    changed = LeaveOneOutTraining("max", Objective(leave_out=False, captions="blank"), tokens=16)
    assert default_name(changed) == "loo-max-no-leave-out-captions-blank-tokens-16"
    assert default_name(IPAdapterTraining()) == "ip-adapter"
    assert default_name(IPAdapterTraining("base", "other", timestep_power=2.0)) == (
        "ip-adapter-base-other-timestep_power-2"
    )


@pytest.mark.parametrize("training", [LeaveOneOutTraining("mean"), IPAdapterTraining("time-resampler")])
def test_default_name_for_a_shipped_backbone_is_that_of_the_method_s_weights(training: Any) -> None:
    name = default_name(training, "embedded-flow")
    changed = default_name(replace(training, tokens=16), "embedded-flow")
    method, setting = ("loo-mean", "network") if name.startswith("loo") else ("ip-adapter", "adapter")
    assert (name, changed) == (f"{method}-flow", f"{method}-flow-tokens-16")
    assert make(method, {setting: "embedded-flow"}).weights[0] == WEIGHTS / f"{name}.safetensors"
    assert make(method, {setting: "embedded"}).weights[0] == WEIGHTS / f"{method}.safetensors"
    assert make(method).weights[0] == WEIGHTS / f"{method}.safetensors"


def test_shipped_backbones_are_taken_from_the_output_folder(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """And without T5, no zeros stand for its tokens, as in the suites."""
    specs: list[BackboneSpec] = []
    monkeypatch.setattr(Backbone, "open", specs.append)
    workspace: Any = SimpleNamespace(weights=tmp_path, device=torch.device("cpu"))
    (tmp_path / "own").mkdir()
    for base in ("embedded-flow", "embedded", "own"):
        _backbone(base, "fp32", workspace)
        (tmp_path / base).mkdir(exist_ok=True)
        _backbone(base, "fp32", workspace)
    flow, unet = str(tmp_path / "embedded-flow"), str(tmp_path / "embedded")
    assert [spec.path for spec in specs] == ["embedded-flow", flow, "embedded", unet, "own", "own"]
    assert [spec.max_sequence_length for spec in specs] == [0, 0, None, None, None, None]


def test_each_process_chooses_its_gpu_before_the_backbone_is_loaded(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    order: list[str] = []

    class Stop(Exception):
        pass

    def backbone(base: str, dtype: str, workspace: object) -> None:
        order.append("backbone")
        raise Stop

    current = DistributedGroup.current

    def recorded() -> DistributedGroup:
        order.append("group")
        return current()

    monkeypatch.setattr("methods.recipes.adapters._backbone", backbone)
    monkeypatch.setattr(DistributedGroup, "current", recorded)
    workspace: Any = SimpleNamespace(weights=tmp_path, data=None, device=torch.device("cpu"))
    with pytest.raises(Stop):
        make_adapter(workspace, SCHEDULE, IPAdapterTraining(), base="embedded", command="")
    assert order == ["group", "backbone"]


@pytest.mark.parametrize("has_bf16", [True, False])
def test_half_precision_weights_need_a_forward_pass_in_half_precision(
    has_bf16: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("methods.compute.precision._has_bf16", lambda device: has_bf16)
    workspace: Any = SimpleNamespace(weights=tmp_path, device=torch.device("cpu"))
    schedule = replace(SCHEDULE, precision="fp32" if has_bf16 else "bf16")
    reason = "--precision fp32" if has_bf16 else "cpu has no bf16"
    with pytest.raises(MethodError, match=f"--dtype bf16 with a forward pass in fp32 .{reason}"):
        make_adapter(workspace, schedule, IPAdapterTraining(), base="embedded", dtype="bf16", command="")


@pytest.mark.parametrize("settings", [{"hidden": 100}, {"hidden": 0}, {"depth": 0}, {"tokens": 0}])
def test_sizes_of_the_network_are_checked(settings: dict[str, int]) -> None:
    with pytest.raises(MethodError, match="hidden a multiple of 64"):
        LeaveOneOutTraining("mean", **settings)  # type: ignore[arg-type]
