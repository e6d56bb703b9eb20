"""Names of adapters without a given name."""

from __future__ import annotations

from methods.ip_adapter.training import IPAdapterTraining
from methods.leave_one_out.objective import Objective
from methods.leave_one_out.training import LeaveOneOutTraining
from methods.recipes.adapters import default_name


def test_default_name_lists_changed_settings() -> None:
    assert default_name(LeaveOneOutTraining("mean")) == "loo-mean"
    changed = LeaveOneOutTraining("max", Objective(leave_out=False, captions="blank"), tokens=16)
    assert default_name(changed) == "loo-max-no-leave-out-captions-blank-tokens-16"
    assert default_name(IPAdapterTraining()) == "ip-adapter"
    assert default_name(IPAdapterTraining("base", "other", timestep_power=2.0)) == (
        "ip-adapter-base-other-timestep_power-2"
    )
