"""The table of methods, and the one place where a name becomes a Method. Importing it imports no torch."""

from __future__ import annotations

import ast
import dataclasses
import difflib
import importlib
import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, Final

from methods.errors import MethodError
from methods.interface import Method, MethodBase
from methods.presets import DREAMBOOTH, TEXTUAL_INVERSION, TI_LORA, Preset

ENTRY_POINTS: Final = "personabench.methods"

OLD_MEMBERS: Final = {
    "objection": "unsupported_reason",
    "sees": "conditioning_encoders",
    "needs": "required_files",
}
"""Members of the contract by their former names."""


@dataclass(frozen=True)
class MethodEntry:
    """One line of the catalogue."""

    target: str
    """Import path of the class: `package.module:Class`."""
    summary: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    requires: str = ""
    """Input that only the user can provide; such a method is in `all` only if the suite configures it."""
    presets: Mapping[str, Preset] = field(default_factory=dict)
    """Values of the setting `preset`."""
    in_all: bool = True
    """Whether `all` has the method, where a suite does not list its rows."""


METHODS: Final[dict[str, MethodEntry]] = {
    "text-only": MethodEntry(
        "methods.baselines.text_only:TextOnly", "the backbone without the person: the floor of identity"
    ),
    "photo-copy": MethodEntry(
        "methods.baselines.photo_copy:PhotoCopy", "returns a reference photo: the ceiling of identity"
    ),
    "dreambooth-lora": MethodEntry(
        "methods.dreambooth_lora.method:DreamBoothLora",
        "LoRA weights tied to a rare token, with prior preservation (Ruiz et al. 2023; Hu et al. 2022)",
        presets=DREAMBOOTH,
    ),
    "ti-lora": MethodEntry(
        "methods.ti_lora.method:TiLora",
        "pivotal tuning: embeddings of new tokens and LoRA weights, learned together (cog-sdxl)",
        in_all=False,
        presets=TI_LORA,
    ),
    "lora-folder": MethodEntry(
        "methods.lora.pretrained:LoraFolder",
        "LoRA files trained elsewhere, one for each person: diffusers' or kohya's layout",
        requires="a path",
    ),
    "image-folder": MethodEntry(
        "methods.baselines.image_folder:ImageFolder",
        "images made elsewhere, by any program or service; costs stay blank",
        requires="a path",
    ),
    "textual-inversion": MethodEntry(
        "methods.textual_inversion.method:TextualInversion",
        "learned embeddings of a new token, all weights frozen (Gal et al. 2022)",
        presets=TEXTUAL_INVERSION,
    ),
    "textual-inversion-folder": MethodEntry(
        "methods.textual_inversion.pretrained:TextualInversionFolder",
        "embeddings trained elsewhere, one file for each person: diffusers', A1111's or SDXL's layout",
        requires="a path",
    ),
    "flux-kontext": MethodEntry(
        "methods.in_context.flux_kontext:FluxKontext",
        "the photographs in the context of FLUX.1 Kontext, an editing model; nothing is fitted",
        requires="FLUX.1 Kontext as the backbone",
    ),
    "flux2-klein": MethodEntry(
        "methods.in_context.flux_2_klein:Flux2Klein",
        "the photographs in the context of FLUX.2 klein, which reads several; nothing is fitted",
        requires="FLUX.2 klein as the backbone",
    ),
    "ip-adapter": MethodEntry(
        "methods.ip_adapter.method:IPAdapter",
        "image tokens through decoupled cross-attention, no fitting (Ye et al. 2023); the weights that ship "
        "are leave-one-out's control: target = condition",
    ),
    "ip-adapter-faceid": MethodEntry(
        "methods.ip_adapter.faceid:IPAdapterFaceID",
        "ArcFace embeddings as image tokens, with the checkpoint's own LoRA (h94/IP-Adapter-FaceID)",
        requires="an adapter and an insightface model folder",
    ),
    "loo-mean": MethodEntry(
        "methods.leave_one_out.method:LeaveOneOut",
        "leave-one-out aggregator, the mean over photos",
        {"aggregator": "mean"},
    ),
    "loo-attention": MethodEntry(
        "methods.leave_one_out.method:LeaveOneOut",
        "leave-one-out aggregator, learned queries over all photos",
        {"aggregator": "attention"},
    ),
    "loo-caption-attention": MethodEntry(
        "methods.leave_one_out.method:LeaveOneOut",
        "leave-one-out aggregator, photos weighted by how well their captions match the prompt",
        {"aggregator": "caption-attention"},
    ),
}

AGGREGATORS: Final[dict[str, str]] = {
    "mean": "the mean of each token over the photos",
    "max": "the largest value of each feature over the photos",
    "median": "the middle value of each feature over the photos",
    "deep-sets": "a network of the mean of a network of each photo (Zaheer et al. 2017)",
    "attention": "learned queries over all photos (Lee et al. 2019)",
    "caption-attention": "photos weighted by how well their captions match the prompt",
    "concat": "all photos' tokens concatenated in one attention",
}
"""Descriptions of the aggregators of `methods.leave_one_out`, whose own table needs torch."""


def make(name: str, settings: Mapping[str, Any] | None = None) -> Method:
    """Build the method called `name`: a catalogue name, an entry point's, or `package.module:Class`.

    The setting `preset` selects a preset; all other settings override it. Raises MethodError for an unknown
    name or preset, a failing import, a class with members by old names, or an unknown setting.
    """
    entry = _entry(name)
    cls = _load(name, entry.target)
    known = [f.name for f in dataclasses.fields(cls)]
    _check_member_names(name, cls, known)
    own = dict(settings or {})
    preset = _preset(name, entry, own.pop("preset")) if "preset" in own else {}
    chosen = {**entry.settings, **preset, **own}
    for key in chosen:
        if key not in known:
            raise MethodError(f"method {name!r}: unknown setting {key!r}; {_suggestion(key, known)}")
    try:
        method: Method = cls(**chosen)
    except TypeError as error:
        raise MethodError(f"method {name!r}: cannot be built ({error})") from error
    return method


def generates_class_images(name: str) -> bool:
    """Return the class attribute of this name, read from the source: a plan must not import torch.

    True where the class body does not set it, and for an unknown or missing method, which `make` reports.
    """
    try:
        module_name, _, class_name = _entry(name).target.partition(":")
        source = _source_file(module_name)
        constants = _class_constants(source.read_text(encoding="utf-8"), class_name) if source else {}
    except (MethodError, OSError, SyntaxError, ValueError):
        return True
    return bool(constants.get("generates_class_images", True))


def check_name(name: str) -> None:
    """Raise MethodError for an unknown method; imports nothing."""
    _entry(name)


def self_contained() -> list[str]:
    """Return the methods of `all`, which need no input from the user."""
    return [name for name, entry in METHODS.items() if entry.in_all and not entry.requires]


def _entry(name: str) -> MethodEntry:
    if name in METHODS:
        return METHODS[name]
    if ":" in name:
        return MethodEntry(name, "a custom method")
    installed = {point.name: point.value for point in entry_points(group=ENTRY_POINTS)}
    if name in installed:
        return MethodEntry(installed[name], "a method of an installed package")
    raise MethodError(f"unknown method {name!r}; {_suggestion(name, [*METHODS, *installed])}")


def _load(name: str, target: str) -> Any:
    """Import a method's class. Raises MethodError where the module fails or has no such dataclass."""
    module_name, _, class_name = target.partition(":")
    try:
        cls = getattr(importlib.import_module(module_name), class_name)
    # A module of the user's may fail in any way.
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
        raise MethodError(f"method {name!r}: cannot load {target} ({reason})") from error
    if not isinstance(cls, type) or not dataclasses.is_dataclass(cls):
        raise MethodError(f"method {name!r}: {target} is no dataclass; expected a method's class")
    return cls


def _check_member_names(name: str, cls: type, settings: list[str]) -> None:
    for old, new in OLD_MEMBERS.items():
        has_new = getattr(cls, new, None) is not getattr(MethodBase, new) and hasattr(cls, new)
        # A custom method may have a setting of an old name.
        if hasattr(cls, old) and old not in settings and not has_new:
            raise MethodError(f"method {name!r}: the member `{old}` is now called `{new}`; rename it")


def _preset(name: str, entry: MethodEntry, preset: Any) -> Mapping[str, Any]:
    if preset in entry.presets:
        return entry.presets[preset].settings
    if not entry.presets:
        raise MethodError(f"method {name!r}: it has no presets; set its settings one by one")
    suggestion = _suggestion(str(preset), [*entry.presets])
    raise MethodError(f"method {name!r}: unknown preset {preset!r}; {suggestion}")


def _source_file(module_name: str) -> Path | None:
    """Return the module's file without importing it: `find_spec` of `a.b` would import `a`."""
    root, *inner = module_name.split(".")
    spec = importlib.util.find_spec(root)
    if spec is None or not inner:
        return Path(spec.origin) if spec is not None and spec.origin else None
    files = (Path(folder, *inner).with_suffix(".py") for folder in spec.submodule_search_locations or ())
    return next((file for file in files if file.is_file()), None)


def _class_constants(source: str, class_name: str) -> dict[str, Any]:
    """Return the literals assigned in the body of a class of the module."""
    classes = (node for node in ast.parse(source).body if isinstance(node, ast.ClassDef))
    found: dict[str, Any] = {}
    for node in (node for cls in classes if cls.name == class_name for node in cls.body):
        match node:
            case ast.Assign(targets=[ast.Name(id=name)], value=ast.Constant(value=value)):
                found[name] = value
            case ast.AnnAssign(target=ast.Name(id=name), value=ast.Constant(value=value)):
                found[name] = value
    return found


def _suggestion(name: str, known: list[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    return f"did you mean {close[0]!r}?" if close else f"known: {', '.join(sorted(known)) or 'none'}"
