"""The tables of metrics and encoders, and the one place where a name becomes a metric; imports no torch."""

from __future__ import annotations

import difflib
import importlib
import inspect
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from metrics.interface import Better, MetricError, SampleMetric, SetMetric


@dataclass(frozen=True)
class EncoderEntry:
    """One network."""

    target: str
    """Where the class stands: `package.module:Class`."""
    serves: frozenset[str]
    """What kinds of metric can use it."""
    parts: tuple[str, ...] = ()
    """Other encoders that it is built from."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    needs: str = ""
    """What must be brought: empty where everything ships or comes from a package."""


@dataclass(frozen=True)
class MetricEntry:
    """One column of the table: a statistic with the network behind it."""

    target: str
    summary: str
    better: Better
    encoder: str
    parts: tuple[str, ...] = ()
    """Further encoders, after `encoder`."""
    needs: str = ""


def _encoder(
    target: str, *serves: str, parts: tuple[str, ...] = (), needs: str = "", **settings: Any
) -> EncoderEntry:
    return EncoderEntry(f"metrics.encoders.{target}", frozenset(serves), parts, settings, needs)


_BACKBONE: Final = "torchvision's backbone file"
ENCODERS: Final[dict[str, EncoderEntry]] = {
    "yunet": _encoder("faces.yunet:YuNet", "finder"),
    "sface": _encoder("faces.sface:SFace", "face", parts=("yunet",)),
    "face-rendered": _encoder("faces.face_rendered:FaceRendered", "face", parts=("yunet",)),
    "arcface": _encoder("faces.arcface:ArcFace", "face", "finder", needs="an insightface model folder"),
    "attributes": _encoder("attributes:AttributeClassifier", "attributes"),
    "efficientnet-lite0": _encoder("efficientnet:EfficientNet", "features", "classes", "perceptual"),
    "inception-v3": _encoder(
        "inception:Inception", "features", "classes", needs="clean-fid's TorchScript file"
    ),
    "lpips-alex": _encoder("lpips_features:LpipsMaps", "perceptual", net="alex", needs=_BACKBONE),
    "lpips-vgg": _encoder("lpips_features:LpipsMaps", "perceptual", net="vgg", needs=_BACKBONE),
    "lpips-squeeze": _encoder("lpips_features:LpipsMaps", "perceptual", net="squeeze", needs=_BACKBONE),
    "clip": _encoder("clip_dino:Clip", "text", "picture", needs="a CLIP folder in transformers' layout"),
    "dinov2": _encoder("clip_dino:DinoV2", "picture", needs="a DINOv2 folder in transformers' layout"),
}

_FAMILIES: Final[tuple[tuple[str, str, str, Better, str], ...]] = (
    # name, kind of encoder, class in metrics.scores, better, summary
    ("identity", "face", "identity:Identity", "higher", "mean cosine of the face to held-out photos"),
    (
        "identity",
        "picture",
        "identity:Identity",
        "higher",
        "mean cosine of the whole picture to held-out photos",
    ),
    ("identity-zero", "face", "identity:IdentityZero", "higher", "identity, 0 where no face is found"),
    ("verified", "face", "identity:Verified", "higher", "accepted as this person at 1 % false accepts"),
    ("copying", "face", "identity:Copying", "lower", "likeness to photos seen minus to photos unseen"),
    ("detected", "finder", "identity:Detected", "higher", "a face is found"),
    ("multi-face", "finder", "identity:MultiFace", "lower", "more than one face is found"),
    (
        "prompt-match",
        "attributes",
        "prompt_match:AttributeMatch",
        "higher",
        "share of what is asked that is seen",
    ),
    ("prompt-match", "text", "prompt_match:TextMatch", "higher", "cosine of picture and prompt"),
    (
        "diversity",
        "perceptual",
        "diversity:Diversity",
        "higher",
        "distance between pictures of one person and prompt",
    ),
    ("face-diversity", "perceptual", "diversity:FaceDiversity", "higher", "the same, of the faces alone"),
    (
        "nearest-reference",
        "perceptual",
        "diversity:NearestReference",
        "neither",
        "distance to the nearest photo seen",
    ),
    (
        "drift",
        "perceptual",
        "prior_drift:Drift",
        "lower",
        "without the subject: distance to the backbone's own picture",
    ),
    (
        "bleed",
        "face",
        "prior_drift:Bleed",
        "neither",
        "without the subject: how much more it looks like the subject",
    ),
    ("fid", "features", "distribution:Frechet", "lower", "Frechet distance to real pictures"),
    (
        "fid-infinity",
        "features",
        "distribution:FrechetInfinity",
        "lower",
        "FID without its small-sample bias",
    ),
    ("kid", "features", "distribution:Kernel", "lower", "kernel distance to real pictures"),
    ("precision", "features", "distribution:Precision", "higher", "share inside the real manifold"),
    ("recall", "features", "distribution:Recall", "higher", "share of the real manifold reached"),
    ("density", "features", "distribution:Density", "higher", "how densely real pictures lie around"),
    (
        "coverage",
        "features",
        "distribution:Coverage",
        "higher",
        "share of real pictures with a generated one near",
    ),
    (
        "is",
        "classes",
        "distribution:Inception",
        "higher",
        "sure and varied class predictions; at most N / splits",
    ),
    (
        "is-uniform",
        "classes",
        "distribution:InceptionUniform",
        "higher",
        "sure class predictions (p(y) uniform)",
    ),
)
_PARTS: Final[Mapping[str, tuple[str, ...]]] = {"face-diversity": ("yunet",)}


def _table() -> dict[str, MetricEntry]:
    table = {}
    for name, kind, target, better, summary in _FAMILIES:
        for encoder, entry in ENCODERS.items():
            if kind in entry.serves:
                parts = _PARTS.get(name, ())
                table[f"{name}@{encoder}"] = MetricEntry(
                    f"metrics.scores.{target}", summary, better, encoder, parts, entry.needs
                )
    return table


METRICS: Final[dict[str, MetricEntry]] = _table()
"""Every metric by its name, `<metric>@<encoder>`."""


def make(
    names: Sequence[str], encoders: Mapping[str, Mapping[str, Any]] | None = None
) -> tuple[list[SampleMetric], list[SetMetric]]:
    """Build the metrics called `names`, in order; those that share an encoder share what it has seen.

    A name is one of METRICS, or `package.module:Class` (built without arguments), or
    `package.module:Class@encoder`. `encoders` holds settings by encoder, such as
    `{"arcface": {"path": "/models/buffalo_l"}}`. Raises MetricError for an unknown name or setting, an import
    that fails, or weights that are missing.
    """
    opened = _Encoders(encoders or {})
    samples: list[SampleMetric] = []
    sets: list[SetMetric] = []
    for name in names:
        metric = _metric(name, opened)
        (sets if hasattr(metric, "measure") else samples).append(metric)
    return samples, sets


def of_people(metric: SampleMetric) -> bool:
    """Whether a metric says something of people alone, because a face network is behind it.

    One of somebody's own says so by an attribute `of_people`.
    """
    entry = METRICS.get(f"{metric.name}@{metric.encoder}")
    if entry is None:
        return bool(getattr(metric, "of_people", False))
    return any({"face", "finder"} & ENCODERS[name].serves for name in (entry.encoder, *entry.parts))


def examine(
    names: Sequence[str], encoders: Mapping[str, Mapping[str, Any]] | None = None
) -> dict[str, Mapping[str, str] | MetricError]:
    """Open every encoder that the metrics called `names` use: its fingerprint, or why it cannot be had.

    By encoder; by its own name for a metric of somebody's own. Nothing is measured. Raises MetricError for
    settings of an unknown encoder.
    """
    opened = _Encoders(encoders or {})
    wanted = [part for name in names for part in _opened_by(name)]
    return {what: _examined(what, opened) for what in dict.fromkeys(wanted)}


def _opened_by(name: str) -> tuple[str, ...]:
    """The encoders of a metric, those that they are built from first."""
    if name not in METRICS:
        return (name,)
    direct = (METRICS[name].encoder, *METRICS[name].parts)
    return (*(part for encoder in direct for part in ENCODERS[encoder].parts), *direct)


def _examined(what: str, opened: _Encoders) -> Mapping[str, str] | MetricError:
    try:
        found = opened[what] if what in ENCODERS else _metric(what, opened)
        fingerprint: Mapping[str, str] = found.fingerprint
    except MetricError as error:
        return error
    except (AssertionError, OSError, RuntimeError) as error:
        # Such as a CUDA device that is set and not there.
        return MetricError(f"encoder {what!r}: cannot be opened ({(str(error).splitlines() or ['?'])[0]})")
    return fingerprint


class _Encoders:
    """Opens each encoder once."""

    def __init__(self, settings: Mapping[str, Mapping[str, Any]]) -> None:
        for name in settings:
            if name not in ENCODERS:
                raise MetricError(f"settings for unknown encoder {name!r}; {_nearest(name, ENCODERS)}")
        self._settings = settings
        self._opened: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name not in self._opened:
            self._opened[name] = self._open(name)
        return self._opened[name]

    def _open(self, name: str) -> Any:
        if name not in ENCODERS:
            raise MetricError(f"unknown encoder {name!r}; {_nearest(name, ENCODERS)}")
        entry = ENCODERS[name]
        cls = _load(entry.target, f"encoder {name!r}")
        parts = [self[part] for part in entry.parts]
        known = list(inspect.signature(cls).parameters)[len(parts) :]
        for key in self._settings.get(name, {}):
            if key not in known or key in entry.settings:
                free = [other for other in known if other not in entry.settings]
                raise MetricError(f"encoder {name!r}: unknown setting {key!r}; {_nearest(key, free)}")
        return cls(*parts, **entry.settings, **self._settings.get(name, {}))


def _metric(name: str, encoders: _Encoders) -> Any:
    if name in METRICS:
        entry = METRICS[name]
        return _load(entry.target, f"metric {name!r}")(
            *(encoders[part] for part in (entry.encoder, *entry.parts))
        )
    target, _, encoder = name.partition("@")
    if ":" not in target:
        raise MetricError(f"unknown metric {name!r}; {_nearest(name, METRICS)}")
    cls = _load(target, f"metric {name!r}")
    return cls(encoders[encoder]) if encoder else cls()


def _load(target: str, what: str) -> Any:
    module, _, name = target.partition(":")
    try:
        return getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise MetricError(f"{what}: cannot load {target} ({error})") from error


def _nearest(name: str, known: Iterable[str]) -> str:
    known = list(known)
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f"did you mean {close[0]!r}?" if close else f"known are {', '.join(sorted(known)) or 'none'}"
