"""The table of methods, and the one place where a name becomes a Method. Importing it imports no torch."""

from __future__ import annotations

import dataclasses
import difflib
import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from methods.backbone.spec import BackboneSpec
from methods.errors import MethodError
from methods.interface import Method
from methods.presets import DREAMBOOTH, TEXTUAL_INVERSION, Preset

if TYPE_CHECKING:
    from methods.backbone.backbone import Backbone

ENTRY_POINTS: Final = "personabench.methods"


@dataclass(frozen=True)
class MethodEntry:
    """One line of the catalogue."""

    target: str
    """Where the class stands: `package.module:Class`."""
    summary: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    priors: bool = True
    """Whether it can draw somebody else: a template without the slot `{subject}`."""
    needs: str = ""
    """What only its user can give, in words: it is no part of `all` unless the suite has settings for it."""
    presets: Mapping[str, Preset] = field(default_factory=dict)
    """Recipes that the setting `preset` can name."""


METHODS: Final[dict[str, MethodEntry]] = {
    "text-only": MethodEntry(
        "methods.baselines.text_only:TextOnly", "the backbone without the person: the floor of identity"
    ),
    "photo-copy": MethodEntry(
        "methods.baselines.photo_copy:PhotoCopy",
        "hands back a reference photo: the ceiling of identity",
        priors=False,
    ),
    "dreambooth-lora": MethodEntry(
        "methods.dreambooth_lora.method:DreamBoothLora",
        "LoRA weights tied to a rare token, with prior preservation (Ruiz et al. 2023; Hu et al. 2022)",
        presets=DREAMBOOTH,
    ),
    "lora-folder": MethodEntry(
        "methods.lora.pretrained:LoraFolder",
        "LoRA files trained elsewhere, one for each person: diffusers' or kohya's layout",
        needs="a path",
    ),
    "textual-inversion": MethodEntry(
        "methods.textual_inversion.method:TextualInversion",
        "new words whose embeddings alone are learnt, all weights frozen (Gal et al. 2022)",
        presets=TEXTUAL_INVERSION,
    ),
    "ip-adapter": MethodEntry(
        "methods.ip_adapter.method:IPAdapter",
        "image tokens through decoupled cross-attention, no fitting (Ye et al. 2023); its own weights are "
        "leave-one-out's control: target = condition",
    ),
    "ip-adapter-faceid": MethodEntry(
        "methods.ip_adapter.faceid:IPAdapterFaceID",
        "ArcFace's embedding as image tokens, with the checkpoint's own LoRA (h94/IP-Adapter-FaceID)",
        needs="an adapter and an insightface model folder",
    ),
    "loo-mean": MethodEntry(
        "methods.leave_one_out.method:LeaveOneOut",
        "leave-one-out aggregator, photos joined by their mean",
        {"aggregator": "mean"},
    ),
    "loo-attention": MethodEntry(
        "methods.leave_one_out.method:LeaveOneOut",
        "leave-one-out aggregator, learned queries over all photos",
        {"aggregator": "attention"},
    ),
    "loo-caption-attention": MethodEntry(
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

    The setting `preset` names a recipe, which all other settings go before. Raises MethodError for an
    unknown name or preset, an import that fails, or a setting the method does not have.
    """
    entry = _entry(name)
    module_name, _, class_name = entry.target.partition(":")
    try:
        cls = getattr(importlib.import_module(module_name), class_name)
    except (ImportError, AttributeError) as error:
        raise MethodError(f"method {name!r}: cannot load {entry.target} ({error})") from error
    given = dict(settings or {})
    preset = _preset(name, entry, given.pop("preset")) if "preset" in given else {}
    chosen = {**entry.settings, **preset, **given}
    known = [f.name for f in dataclasses.fields(cls)]
    for key in chosen:
        if key not in known:
            raise MethodError(f"method {name!r}: unknown setting {key!r}; {_nearest(key, known)}")
    method: Method = cls(**chosen)
    return method


def open_backbone(spec: BackboneSpec) -> Backbone:
    """Load the backbone that all methods of a run share."""
    from methods.backbone.backbone import Backbone

    return Backbone.open(spec)


def locate_backbone(spec: BackboneSpec) -> Path:
    """Where `open_backbone` would find it, with all its parts; nothing is fetched or loaded.

    Raises MethodError where it is not there, or not whole.
    """
    from methods.backbone.locate import source_of

    return source_of(spec, fetch=False).place


def _entry(name: str) -> MethodEntry:
    if name in METHODS:
        return METHODS[name]
    if ":" in name:
        return MethodEntry(name, "a method of your own")
    offered = {point.name: point.value for point in entry_points(group=ENTRY_POINTS)}
    if name in offered:
        return MethodEntry(offered[name], "offered by an installed package")
    raise MethodError(f"unknown method {name!r}; {_nearest(name, [*METHODS, *offered])}")


def _preset(name: str, entry: MethodEntry, preset: Any) -> Mapping[str, Any]:
    if preset in entry.presets:
        return entry.presets[preset].settings
    if not entry.presets:
        raise MethodError(f"method {name!r}: it has no presets; set its settings one by one")
    told = _nearest(str(preset), [*entry.presets])
    raise MethodError(f"method {name!r}: unknown preset {preset!r}; {told}")


def self_contained() -> list[str]:
    """The methods that run without anything only their user can give."""
    return [name for name, entry in METHODS.items() if not entry.needs]


def _nearest(name: str, known: list[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    return f"did you mean {close[0]!r}?" if close else f"known are {', '.join(sorted(known))}"
