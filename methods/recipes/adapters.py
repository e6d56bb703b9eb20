"""The adapters of the embedded world, each behind one `bench train` command, each with its card."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from methods.backbone.backbone import Backbone
from methods.backbone.spec import EMBEDDED, BackboneSpec
from methods.encoders.clip_vision import EMBEDDED_CLIP
from methods.errors import MethodError
from methods.ip_adapter.training import BASE_TOKENS, IPAdapterTraining, train_ip_adapter
from methods.leave_one_out.aggregators import AGGREGATORS
from methods.leave_one_out.training import SCHEDULE as LOO_SCHEDULE
from methods.leave_one_out.training import LeaveOneOutTraining, train_leave_one_out
from methods.pretraining.distributed import DistributedGroup
from methods.pretraining.loop import Schedule
from methods.recipes.model_card import Card
from methods.recipes.workspace import TrainingWorkspace


@dataclass(frozen=True)
class TrainingSource:
    """Whose photographs are learnt from."""

    name: str
    """In the leak ledger."""
    options: str = ""
    """How the command names them, with a blank before."""
    licence: str = "as the licences of the training photographs and of both frozen networks allow"

    def about(self, base: str) -> dict[str, object]:
        """What the card says of them, and of the backbone."""
        return {"training data": self.name, "backbone": base}


SCHEDULED = ("steps", "batch", "learning_rate")
"""What a command may say of the schedule that changes what is learnt."""

RENDERED = TrainingSource("rendered-people-train", licence=Card.licence)


def make_ip_adapter(
    workspace: TrainingWorkspace,
    schedule: Schedule,
    training: IPAdapterTraining,
    *,
    base: str,
    name: str = "",
    source: TrainingSource = RENDERED,
) -> Path:
    """Train and write `<weights>/<name>.safetensors`; its card holds the loss on unseen people.

    Without a name, it is `ip-adapter` and every setting that is not the usual one.
    """
    out = workspace.weights / f"{name or '-'.join(['ip-adapter', *_unusual(training)])}.safetensors"
    if training.encoder == EMBEDDED_CLIP:
        training = replace(training, encoder=_encoder(workspace))
    losses = train_ip_adapter(
        workspace.data,
        out,
        training=replace(training, data_name=training.data_name or source.name),
        backbone=_backbone(base, workspace),
        schedule=schedule,
        work=workspace.checkpoints,
        progress=workspace.progress,
        unseen=workspace.unseen,
    )
    if DistributedGroup.here().leads:
        settings = _about_ip_adapter(training)
        _card(workspace, out, _ip_adapter_command(training), schedule, settings, losses, source, base)
    return out


IP_SETTINGS = ("layout", "condition", "tokens", "hidden", "timestep_power", "summary_loss_weight")


def _unusual(training: IPAdapterTraining) -> list[str]:
    """The values of the settings that are not the usual ones; numbers with their names."""
    usual = IPAdapterTraining()
    found = {name: getattr(training, name) for name in IP_SETTINGS}
    return [
        str(value) if isinstance(value, str) else f"{name}-{value:g}"
        for name, value in found.items()
        if value != getattr(usual, name)
    ]


def _ip_adapter_command(training: IPAdapterTraining) -> str:
    flags = [
        f"--{name.replace('_', '-')} {getattr(training, name)}" for name in IP_SETTINGS if name != "hidden"
    ]
    if training.start is not None:
        flags.append(f"--start {training.start.name}")
    return " ".join(["bench train ip-adapter", *flags])


def _about_ip_adapter(training: IPAdapterTraining) -> dict[str, object]:
    conditions = {
        "self": "the target photograph itself, as published: the control for leave-one-out",
        "other": "another photograph of the person",
    }
    own: dict[str, object] = {name: getattr(training, name) for name in IP_SETTINGS}
    if training.layout == "base":
        own = {**own, "tokens": BASE_TOKENS}
        del own["hidden"]
    return {**own, "condition": conditions[training.condition]}


def make_leave_one_out(
    workspace: TrainingWorkspace,
    schedule: Schedule,
    training: LeaveOneOutTraining,
    *,
    base: str,
    name: str = "",
    source: TrainingSource = RENDERED,
) -> Path:
    """Train and write `<weights>/<name>.safetensors`; its card holds the loss on unseen people.

    Without a name, it is `loo-<aggregator>` and every setting that is not the usual one.
    """
    if training.aggregator not in AGGREGATORS:
        raise MethodError(f"--aggregator {training.aggregator}: known are {', '.join(AGGREGATORS)}")
    out = workspace.weights / f"{name or variant_name(training)}.safetensors"
    if training.encoder == EMBEDDED_CLIP:
        training = replace(training, encoder=_encoder(workspace))
    losses = train_leave_one_out(
        workspace.data,
        out,
        training=replace(training, data_name=training.data_name or source.name),
        backbone=_backbone(base, workspace),
        schedule=schedule,
        work=workspace.checkpoints,
        progress=workspace.progress,
        unseen=workspace.unseen,
    )
    if DistributedGroup.here().leads:
        command = leave_one_out_command(training, schedule, base)
        _card(workspace, out, command, schedule, _settings(training), losses, source, base)
    return out


def variant_name(training: LeaveOneOutTraining) -> str:
    """`loo-mean`, or `loo-mean-no-leave-out-tokens-16` for settings that are not the usual ones."""
    return "-".join(["loo", training.aggregator, *(flag.replace(" ", "-") for flag in _flags(training))])


def leave_one_out_command(training: LeaveOneOutTraining, schedule: Schedule, base: str = EMBEDDED) -> str:
    """The command that trains these settings so long, on this backbone."""
    own, usual = asdict(schedule), asdict(LOO_SCHEDULE)
    flags = [_flag(name, own[name]) for name in SCHEDULED if own[name] != usual[name]]
    if base != EMBEDDED:
        flags.append(f"base {base}")
    if training.start is not None:
        flags.append(f"start {training.start.name}")
    return " --".join([f"bench train loo --aggregator {training.aggregator}", *_flags(training), *flags])


def _flags(training: LeaveOneOutTraining) -> list[str]:
    """The command's flags, without dashes, for what is not the usual."""
    own, usual = (_settings(t) for t in (training, LeaveOneOutTraining(training.aggregator)))
    return [_flag(name, value) for name, value in own.items() if value != usual[name]]


def _settings(training: LeaveOneOutTraining) -> dict[str, object]:
    names = ("tokens", "hidden", "depth", "shortcut")
    return {**asdict(training.objective), **{name: getattr(training, name) for name in names}}


def _flag(name: str, value: object) -> str:
    word = name.replace("_", "-")
    if isinstance(value, bool):
        return word if value else f"no-{word}"
    return f"{word} {value}"


def _encoder(workspace: TrainingWorkspace) -> Path:
    """The image encoder among the weights that are being made, or the one that ships."""
    own = workspace.weights / "clip"
    return own if (own / "config.json").exists() else EMBEDDED_CLIP


def _backbone(base: str, workspace: TrainingWorkspace) -> Backbone:
    """The backbone among the weights that are being made, the one that ships, or somebody's own."""
    own = workspace.weights / "embedded"
    path = str(own) if base == EMBEDDED and own.is_dir() else base
    name, _, commit = ("", "", "") if Path(path).exists() else path.partition("@")
    spec = BackboneSpec(path=name or path, revision=commit or None, device=workspace.device.type)  # type: ignore[arg-type]
    return Backbone.open(spec)


def _card(
    workspace: TrainingWorkspace,
    out: Path,
    command: str,
    schedule: Schedule,
    settings: Mapping[str, object],
    losses: Mapping[str, float],
    source: TrainingSource,
    base: str,
) -> None:
    """Write the adapter's card beside it: how it was made, and its loss on unseen people."""
    unseen = {"people unseen": len(np.unique(workspace.unseen.identities))}
    made = workspace.made_of(schedule, workspace.checkpoints / f"{out.stem}.pt")
    Card(
        out.stem,
        command + source.options,
        "Trained between a frozen backbone and a frozen image encoder.",
        {**made, **settings, **unseen, **source.about(base)},
        {
            "loss on unseen people": f"{losses['loss']:.4f}",
            "the same without their photographs": f"{losses['without']:.4f}",
        },
        source.licence,
    ).write(out.with_suffix(".md"))
