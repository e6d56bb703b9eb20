"""The adapters of the embedded world, each behind one `bench train` command, each with its card."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from methods.backbone import Backbone
from methods.card import Card
from methods.embedded.recipe import Workshop
from methods.image_encoder import EMBEDDED_CLIP, open_encoder
from methods.interface import BackboneSpec, MethodError
from methods.ip_adapter_training import IPAdapterTraining, train_ip_adapter
from methods.leave_one_out.aggregators import AGGREGATORS
from methods.leave_one_out.network import load_network
from methods.leave_one_out.objective import Objective
from methods.leave_one_out.training import LeaveOneOutTraining, train_leave_one_out, validation_loss
from methods.training import Schedule
from methods.training_features import training_features

DATA = "rendered-people-train"
"""The photographs' name in the leak ledger."""


def make_ip_adapter(shop: Workshop, schedule: Schedule, *, base: str, condition: str) -> Path:
    """Train and write `<weights>/ip-adapter.safetensors`."""
    if condition not in ("self", "other"):
        raise MethodError(f"--condition {condition}: known are self, other")
    name = "ip-adapter" if condition == "self" else "ip-adapter-other"
    out = shop.weights / f"{name}.safetensors"
    train_ip_adapter(
        shop.data,
        out,
        training=IPAdapterTraining(
            condition=condition,  # type: ignore[arg-type]
            encoder=_encoder(shop),
            data_name=DATA,
        ),
        backbone=_backbone(base, shop),
        schedule=schedule,
        work=shop.checkpoints,
        progress=shop.progress,
    )
    about = {"condition": "the target photograph itself" if condition == "self" else "another photograph"}
    command = f"bench train ip-adapter --condition {condition}"
    _card(shop, out, command, schedule, about, {})
    return out


def make_leave_one_out(
    shop: Workshop, schedule: Schedule, aggregator: str, *, base: str, noising: str
) -> Path:
    """Train and write `<weights>/loo-<aggregator>.safetensors`; its card holds the loss on unseen people."""
    if aggregator not in AGGREGATORS:
        raise MethodError(f"--aggregator {aggregator}: known are {', '.join(AGGREGATORS)}")
    objective = Objective(noising=noising)  # type: ignore[arg-type]
    suffix = "" if noising == "held-out" else f"-{noising}"
    out = shop.weights / f"loo-{aggregator}{suffix}.safetensors"
    backbone = _backbone(base, shop)
    training = LeaveOneOutTraining(aggregator, objective=objective, encoder=_encoder(shop), data_name=DATA)
    train_leave_one_out(
        shop.data,
        out,
        training=training,
        backbone=backbone,
        schedule=schedule,
        work=shop.checkpoints,
        progress=shop.progress,
    )
    encoder = open_encoder(training.encoder, backbone.device)
    features = training_features(
        shop.unseen, shop.checkpoints, backbone=backbone, encoder=encoder, progress=shop.progress
    )
    network = load_network(out, backbone.unet, width=backbone.cross_attention_dim).to(backbone.device)
    shown, hidden = validation_loss(network, features, objective, backbone=backbone, batches=8)
    quality = {"loss on unseen people": f"{shown:.4f}", "the same without their photographs": f"{hidden:.4f}"}
    command = f"bench train loo --aggregator {aggregator} --noising {noising}"
    _card(shop, out, command, schedule, {"noising": noising}, quality)
    return out


def _encoder(shop: Workshop) -> Path:
    """The image encoder among the weights that are being made, or the one that ships."""
    own = shop.weights / "clip"
    return own if (own / "config.json").exists() else EMBEDDED_CLIP


def _backbone(base: str, shop: Workshop) -> Backbone:
    path = str(shop.weights / "embedded") if base == "embedded" else base
    return Backbone.open(BackboneSpec(path=path, device=shop.device.type))  # type: ignore[arg-type]


def _card(
    shop: Workshop,
    out: Path,
    command: str,
    schedule: Schedule,
    about: Mapping[str, object],
    quality: Mapping[str, object],
) -> None:
    """Write the adapter's card beside it."""
    Card(
        out.stem,
        command,
        "Trained between the frozen embedded backbone and the tiny CLIP's vision tower.",
        {**shop.made_of(schedule, shop.checkpoints / f"{out.stem}.pt"), **about},
        quality,
    ).write(out.with_suffix(".md"))
