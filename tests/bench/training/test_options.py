"""Options of `bench train`: defaults, checks, and the command line on a model card."""

from pathlib import Path
from typing import get_args

import pytest

from bench.training.card_commands import ip_adapter_command, loo_command
from bench.training.options import (
    AdapterOptions,
    BackboneDtype,
    DatasetOptions,
    IPAdapterOptions,
    LeaveOneOutOptions,
    ScheduleOptions,
)
from methods.backbone.spec import Dtype
from methods.errors import MethodError
from methods.ip_adapter.training import IPAdapterTraining
from methods.leave_one_out.objective import Objective
from methods.leave_one_out.training import SCHEDULE, LeaveOneOutTraining
from methods.recipes.adapters import default_layout

RENDERED = DatasetOptions()


def test_loo_command_contains_only_changed_settings() -> None:
    default = loo_command("mean", LeaveOneOutOptions(), SCHEDULE, SCHEDULE, AdapterOptions(), RENDERED)
    assert default == "bench train loo --aggregator mean"
    command = loo_command(
        "max",
        LeaveOneOutOptions(leave_out=False, captions="blank", timestep_power=2.0, tokens=16, shortcut=True),
        ScheduleOptions(steps=9, batch=SCHEDULE.batch, learning_rate=7e-4).applied_to(SCHEDULE),
        SCHEDULE,
        AdapterOptions("sdxl", BackboneDtype.bf16, start=Path("weights") / "loo-mean.safetensors"),
        DatasetOptions("folder", Path("crowd"), people=3),
    )
    assert command == (
        "bench train loo --aggregator max --no-leave-out --captions blank --timestep-power 2.0 --tokens 16 "
        "--shortcut --steps 9 --learning-rate 0.0007 --base sdxl --dtype bf16 --start loo-mean.safetensors "
        "--dataset folder --root crowd"
    )


def test_ip_adapter_command_contains_all_settings() -> None:
    settings = IPAdapterOptions("plus", condition="other", tokens=3)
    assert ip_adapter_command(settings, AdapterOptions(), RENDERED) == (
        "bench train ip-adapter --layout plus --condition other --tokens 3 --hidden 128 --timestep-power 1.0 "
        "--summary-loss-weight 0.0"
    )
    changed = ip_adapter_command(settings, AdapterOptions("sd3", BackboneDtype.bf16), RENDERED)
    assert changed.endswith("--base sd3 --dtype bf16")


def test_precisions_of_the_backbone_are_those_of_its_settings() -> None:
    assert {dtype.value for dtype in BackboneDtype} == set(get_args(Dtype))


def test_default_options_are_the_default_settings_of_the_methods() -> None:
    ip_adapter, loo = IPAdapterTraining(), LeaveOneOutTraining("mean")
    assert vars(IPAdapterOptions(default_layout("embedded"))).items() <= vars(ip_adapter).items()
    assert vars(LeaveOneOutOptions()).items() <= (vars(Objective()) | vars(loo)).items()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (ScheduleOptions(steps=0), "--steps 0: expected at least 1"),
        (ScheduleOptions(batch=-1), "--batch -1: expected at least 1"),
        (ScheduleOptions(accumulate=0), "--accumulate 0: expected at least 1"),
        (ScheduleOptions(learning_rate=0.0), "--learning-rate 0.0: expected a number above 0"),
        (ScheduleOptions(precision="int8"), "--precision int8: expected one of auto, fp32, bf16, fp16"),
    ],
)
def test_schedule_option_out_of_range_is_refused(options: ScheduleOptions, message: str) -> None:
    with pytest.raises(MethodError, match=f"^{message}$"):
        options.applied_to(SCHEDULE)
