"""The table of methods, and the one place where a name becomes a Method. Importing it imports no torch."""

from __future__ import annotations

import dataclasses
import difflib
import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any, Final

from methods.interface import BackboneSpec, Method, MethodError

if TYPE_CHECKING:
    from methods.backbone import Backbone

ENTRY_POINTS: Final = "personabench.methods"


@dataclass(frozen=True)
class Entry:
    """One line of the catalogue."""

    target: str
    """Where the class stands: `package.module:Class`."""
    summary: str
    settings: Mapping[str, Any] = field(default_factory=dict)


METHODS: Final[dict[str, Entry]] = {
    "text-only": Entry(
        "methods.text_only:TextOnly", "the backbone without the person: the floor of identity"
    ),
    "photo-copy": Entry(
        "methods.photo_copy:PhotoCopy", "hands back a reference photo: the ceiling of identity"
    ),
    "dreambooth-lora": Entry(
        "methods.dreambooth_lora:DreamBoothLora",
        "LoRA weights tied to a rare token, with prior preservation (Ruiz et al. 2023; Hu et al. 2022)",
    ),
    "ip-adapter": Entry(
        "methods.ip_adapter:IPAdapter",
        "image tokens through decoupled cross-attention, no fitting (Ye et al. 2023)",
    ),
    "loo-mean": Entry(
        "methods.leave_one_out.method:LeaveOneOut",
        "leave-one-out aggregator, photos joined by their mean",
        {"aggregator": "mean"},
    ),
    "loo-attention": Entry(
        "methods.leave_one_out.method:LeaveOneOut",
        "leave-one-out aggregator, learned queries over all photos",
        {"aggregator": "attention"},
    ),
    "loo-caption-attention": Entry(
        "methods.leave_one_out.method:LeaveOneOut",
        "leave-one-out aggregator, photos weighed by how well their captions fit the prompt",
        {"aggregator": "caption-attention"},
    ),
}

AGGREGATORS: Final[dict[str, str]] = {
    "mean": "the mean of each token over the photos",
    "max": "the largest value of each feature over the photos",
    "median": "the middle value of each feature over the photos",
    "deep-sets": "a network of the mean of a network of each photo (Zaheer et al. 2017)",
    "attention": "learned queries over all photos (Lee et al. 2019)",
    "caption-attention": "photos weighed by how well their captions fit the prompt",
    "concat": "all photos' tokens side by side in one attention",
}
"""What `methods.leave_one_out` knows, in words; its own table needs torch."""


def make(name: str, settings: Mapping[str, Any] | None = None) -> Method:
    """Build the method called `name`: a catalogue name, an entry point's, or `package.module:Class`.

    Raises MethodError for an unknown name, an import that fails, or a setting the method does not have.
    """
    entry = _entry(name)
    module_name, _, class_name = entry.target.partition(":")
    try:
        cls = getattr(importlib.import_module(module_name), class_name)
    except (ImportError, AttributeError) as error:
        raise MethodError(f"method {name!r}: cannot load {entry.target} ({error})") from error
    chosen = {**entry.settings, **(settings or {})}
    known = [f.name for f in dataclasses.fields(cls)]
    for key in chosen:
        if key not in known:
            raise MethodError(f"method {name!r}: unknown setting {key!r}; {_nearest(key, known)}")
    method: Method = cls(**chosen)
    return method


def open_backbone(spec: BackboneSpec) -> Backbone:
    """Load the backbone that all methods of a run share."""
    from methods.backbone import Backbone

    return Backbone.open(spec)


def _entry(name: str) -> Entry:
    if name in METHODS:
        return METHODS[name]
    if ":" in name:
        return Entry(name, "a method of your own")
    offered = {point.name: point.value for point in entry_points(group=ENTRY_POINTS)}
    if name in offered:
        return Entry(offered[name], "offered by an installed package")
    raise MethodError(f"unknown method {name!r}; {_nearest(name, [*METHODS, *offered])}")


def _nearest(name: str, known: list[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    return f"did you mean {close[0]!r}?" if close else f"known are {', '.join(sorted(known))}"
