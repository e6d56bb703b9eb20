"""The command lines of trainings, for the model cards of their weights."""

from collections.abc import Sequence
from dataclasses import fields
from typing import TYPE_CHECKING

from bench.training.options import AdapterOptions, DatasetOptions, IPAdapterOptions, LeaveOneOutOptions
from methods.backbone.spec import EMBEDDED

if TYPE_CHECKING:
    from methods.pretraining.loop import Schedule


def ip_adapter_command(settings: IPAdapterOptions, adapter: AdapterOptions, dataset: DatasetOptions) -> str:
    """The command line for the model card of an IP-Adapter, with all of its settings."""
    words = [_words(field.name, getattr(settings, field.name)) for field in fields(settings)]
    return " ".join(["bench train ip-adapter", *words, *_frozen(adapter), *_dataset(dataset)])


def loo_command(
    aggregator: str,
    settings: LeaveOneOutOptions,
    schedule: "Schedule",
    default: "Schedule",
    adapter: AdapterOptions,
    dataset: DatasetOptions,
) -> str:
    """The command line for the model card of an aggregator, with settings that are not the default."""
    return " ".join(
        [
            f"bench train loo --aggregator {aggregator}",
            *_changed(settings, LeaveOneOutOptions(), [field.name for field in fields(settings)]),
            *_changed(schedule, default, ("steps", "batch", "learning_rate")),
            *_frozen(adapter),
            *_dataset(dataset),
        ]
    )


def _changed(settings: object, default: object, names: Sequence[str]) -> list[str]:
    values = {name: getattr(settings, name) for name in names}
    return [_words(name, value) for name, value in values.items() if value != getattr(default, name)]


def _frozen(adapter: AdapterOptions) -> list[str]:
    base = [] if adapter.base == EMBEDDED else [_words("base", adapter.base)]
    dtype = _changed(adapter, AdapterOptions(), ["dtype"])
    return [*base, *dtype, *([] if adapter.start is None else [_words("start", adapter.start.name)])]


def _dataset(options: DatasetOptions) -> list[str]:
    if options.dataset is None:
        return []
    root = [] if options.root is None else [_words("root", options.root)]
    pictures = [] if options.pictures == "aligned" else [_words("pictures", options.pictures)]
    return [_words("dataset", options.dataset), *root, *pictures]


def _words(name: str, value: object) -> str:
    option = name.replace("_", "-")
    if isinstance(value, bool):
        return f"--{option}" if value else f"--no-{option}"
    return f"--{option} {value}"
