"""Trains an IP-Adapter or a leave-one-out aggregator and writes its weights and model card."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np

from methods.backbone.backbone import Backbone
from methods.backbone.spec import EMBEDDED, EMBEDDED_FLOW, SHIPPED_BACKBONES, BackboneSpec, Dtype
from methods.compute.precision import autocast_dtype
from methods.encoders.clip_vision import EMBEDDED_CLIP
from methods.errors import MethodError
from methods.ip_adapter.training import BASE_TOKENS, IPAdapterTraining, train_ip_adapter
from methods.leave_one_out.aggregators import AGGREGATORS
from methods.leave_one_out.training import LeaveOneOutTraining, train_leave_one_out
from methods.pretraining.distributed import DistributedGroup
from methods.pretraining.loop import Schedule
from methods.recipes.model_card import ModelCard
from methods.recipes.workspace import TrainingWorkspace
from methods.shipped import adapter_name

AdapterTraining = IPAdapterTraining | LeaveOneOutTraining

IP_ADAPTER_SETTINGS = ("layout", "condition", "tokens", "hidden", "timestep_power", "summary_loss_weight")
LEAVE_ONE_OUT_SETTINGS = ("tokens", "hidden", "depth", "shortcut")
"""In addition to those of the objective."""
CONDITIONS = {
    "self": "the target photograph itself, as published: the control for leave-one-out",
    "other": "another photograph of the person",
    "others": "leave-one-out: one to six other photographs of the person, in one sequence",
}


@dataclass(frozen=True)
class TrainingSource:
    """The origin of the training photographs."""

    name: str
    """As in the training overlap: `celeba-train`."""
    licence: str = "as the licences of the training photographs and of both frozen networks allow"


RENDERED = TrainingSource("rendered-people-train", licence=ModelCard.licence)


def make_adapter(
    workspace: TrainingWorkspace,
    schedule: Schedule,
    training: AdapterTraining,
    *,
    base: str,
    dtype: Dtype = "fp32",
    command: str,
    name: str = "",
    source: TrainingSource = RENDERED,
) -> Path:
    """Train and write `<weights>/<name>.safetensors`, and its model card with the loss on unseen people.

    `base` is the backbone: `embedded`, `embedded-flow`, a folder, or `owner/name@commit`; `dtype` is the
    precision of its weights. `command` is the command line for the card. Without `name`, the file name lists
    all settings that are not the default.
    """
    # First: from then on `cuda` is this process's own GPU.
    group = DistributedGroup.current()
    if isinstance(training, LeaveOneOutTraining) and training.aggregator not in AGGREGATORS:
        raise MethodError(f"aggregator {training.aggregator!r}: expected one of {', '.join(AGGREGATORS)}")
    out = workspace.weights / f"{name or default_name(training, base)}.safetensors"
    _check_precision(dtype, schedule, workspace)
    settings = adapter_settings(training)
    if training.encoder == EMBEDDED_CLIP:
        training = replace(training, encoder=_encoder(workspace))
    train: Callable[..., Mapping[str, float]] = (
        train_ip_adapter if isinstance(training, IPAdapterTraining) else train_leave_one_out
    )
    losses = train(
        workspace.data,
        out,
        training=replace(training, data_name=training.data_name or source.name),
        backbone=_backbone(base, dtype, workspace),
        schedule=schedule,
        work=workspace.checkpoints,
        progress=workspace.progress,
        unseen=workspace.unseen,
    )
    if group.is_main:
        rows = {
            **workspace.training_summary(schedule, workspace.checkpoints / f"{out.stem}.pt"),
            **_as_on_card(training, settings),
            "people unseen": len(np.unique(workspace.unseen.identities)),
            "training data": source.name,
            "backbone": base,
        }
        _card(out.stem, command, rows, losses, source).write(out.with_suffix(".md"))
    return out


def _check_precision(dtype: Dtype, schedule: Schedule, workspace: TrainingWorkspace) -> None:
    """Raise MethodError for weights in half precision if a forward pass, or the validation's, is in fp32."""
    for precision in (schedule.precision, "auto"):
        if dtype != "fp32" and autocast_dtype(workspace.device, precision) is None:
            reason = "--precision fp32" if precision == "fp32" else f"{workspace.device} has no bf16"
            raise MethodError(f"--dtype {dtype} with a forward pass in fp32 ({reason}); use --dtype fp32")


def adapter_settings(training: AdapterTraining) -> dict[str, object]:
    """The settings that determine the weights, in the order of the model card."""
    if isinstance(training, IPAdapterTraining):
        return {name: getattr(training, name) for name in IP_ADAPTER_SETTINGS}
    own = {name: getattr(training, name) for name in LEAVE_ONE_OUT_SETTINGS}
    return {**asdict(training.objective), **own}


def default_layout(base: str) -> Literal["plus", "time-resampler"]:
    """The layout of an IP-Adapter for this backbone, if none is chosen."""
    return "time-resampler" if base == EMBEDDED_FLOW else "plus"


def default_name(training: AdapterTraining, base: str = EMBEDDED) -> str:
    """`loo-mean`, or `loo-mean-no-leave-out-tokens-16` with settings that are not the default.

    For `embedded-flow`, `loo-mean-flow`: the names by which methods find weights that ship.
    """
    shipped = base if base in SHIPPED_BACKBONES else EMBEDDED
    if isinstance(training, IPAdapterTraining):
        changed = _changed_settings(training, IPAdapterTraining(default_layout(base)))
        # Numbers need the name of their setting; the words explain themselves.
        parts = [
            str(value) if isinstance(value, str) else f"{name}-{value:g}" for name, value in changed.items()
        ]
        return "-".join([adapter_name("ip-adapter", shipped), *parts])
    changed = _changed_settings(training, LeaveOneOutTraining(training.aggregator))
    name = adapter_name(f"loo-{training.aggregator}", shipped)
    return "-".join([name, *(_name_part(*item) for item in changed.items())])


def _changed_settings(training: AdapterTraining, default: AdapterTraining) -> dict[str, object]:
    defaults = adapter_settings(default)
    return {name: value for name, value in adapter_settings(training).items() if value != defaults[name]}


def _name_part(name: str, value: object) -> str:
    word = name.replace("_", "-")
    if isinstance(value, bool):
        return word if value else f"no-{word}"
    return f"{word}-{value}"


def _encoder(workspace: TrainingWorkspace) -> Path:
    """The image encoder in the output folder if there is one, else the shipped one."""
    own = workspace.weights / "clip"
    return own if (own / "config.json").exists() else EMBEDDED_CLIP


def _backbone(base: str, dtype: Dtype, workspace: TrainingWorkspace) -> Backbone:
    """A built-in backbone (from the output folder if it is there) or a custom one."""
    own = workspace.weights / base
    path = str(own) if base in SHIPPED_BACKBONES and own.is_dir() else base
    name, _, commit = ("", "", "") if Path(path).exists() else path.partition("@")
    spec = BackboneSpec(
        path=name or path,
        revision=commit or None,
        dtype=dtype,
        device=workspace.device.type,  # type: ignore[arg-type]
        # It has no T5, and suites leave out the zeros that stand for its tokens.
        max_sequence_length=0 if base == EMBEDDED_FLOW else None,
    )
    return Backbone.open(spec)


def _as_on_card(training: AdapterTraining, settings: Mapping[str, object]) -> dict[str, object]:
    """The settings with conditions in words, and without those that the layout does not have."""
    rows = dict(settings)
    if isinstance(training, IPAdapterTraining):
        rows["condition"] = CONDITIONS[training.condition]
        if training.layout == "base":
            rows["tokens"] = BASE_TOKENS
        if training.reads_embeddings:
            del rows["hidden"]
    return rows


def _card(
    title: str,
    command: str,
    rows: Mapping[str, object],
    losses: Mapping[str, float],
    source: TrainingSource,
) -> ModelCard:
    return ModelCard(
        title,
        command,
        "Trained between a frozen backbone and a frozen image encoder.",
        rows,
        {
            "loss on unseen people": f"{losses['loss']:.4f}",
            "the same without their photographs": f"{losses['without']:.4f}",
        },
        source.licence,
    )
