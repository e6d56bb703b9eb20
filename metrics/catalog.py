"""The table of metrics, and construction of metrics and encoders by name. Imports no torch."""

from __future__ import annotations

import difflib
import importlib
import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from metrics.encoders.runtime.feature_store import FeatureStore
from metrics.encoders.runtime.image_cache import ImageCache
from metrics.interface import Better, MetricError, SampleMetric, SetMetric, optional_member
from metrics.networks import ENCODERS as ENCODERS
from metrics.networks import Kind
from metrics.scores import copying, distribution, diversity, identity, prior_drift, prompt_match
from metrics.scores.encoder_metric import EncoderMetric


@dataclass(frozen=True)
class MetricEntry:
    """One column of the table: a metric class with its encoder."""

    metric: type[EncoderMetric[Any]]
    summary: str
    encoder: str
    parts: tuple[str, ...] = ()
    """Further encoders, passed after `encoder`."""
    needs: str = ""

    @property
    def better(self) -> Better:
        return self.metric.better


@dataclass(frozen=True)
class _Family:
    """One metric class with every encoder of a kind; name and direction come from the class."""

    metric: type[EncoderMetric[Any]]
    kind: Kind
    summary: str
    parts: tuple[str, ...] = ()


_FAMILIES: Final = (
    _Family(identity.Identity, "face", "mean cosine of the face to held-out photos"),
    _Family(identity.Identity, "image", "mean cosine of the whole image to held-out photos"),
    _Family(identity.IdentityZero, "face", "identity, 0 where no face is found"),
    _Family(identity.Verified, "face", "share of held-out photos accepted as the person, 1 % false accepts"),
    _Family(identity.Verified5, "face", "the same at 5 % false accepts"),
    _Family(identity.Verified10, "face", "the same at 10 % false accepts"),
    _Family(copying.Copying, "face", "cosine to photos shown minus cosine to photos not shown"),
    _Family(copying.CopyPaste, "face", "copying by angles: 1 is a copy, 0 no closer to the photos shown"),
    _Family(copying.SimGt, "face", "Sim(GT): mean cosine to held-out photos, as identity"),
    _Family(copying.SimRef, "face", "Sim(Ref): mean cosine to photos shown"),
    _Family(identity.Detected, "detector", "a face is found"),
    _Family(identity.MultiFace, "detector", "more than one face is found"),
    _Family(prompt_match.AttributeMatch, "attributes", "share of the requested attributes that are visible"),
    _Family(prompt_match.TextMatch, "text", "cosine of image and prompt"),
    _Family(diversity.Diversity, "perceptual", "distance between images of one person and prompt"),
    _Family(diversity.FaceDiversity, "perceptual", "the same, of the faces alone", parts=("yunet",)),
    _Family(diversity.NearestReference, "perceptual", "distance to the nearest photo shown"),
    _Family(prior_drift.Drift, "perceptual", "class images: distance to the backbone's own image"),
    _Family(prior_drift.Bleed, "face", "class images: gain in cosine to the subject"),
    _Family(prior_drift.Disruption, "perceptual", "distance to the backbone's image; always 0: no effect"),
    _Family(distribution.Frechet, "features", "Frechet distance to real images"),
    _Family(distribution.FrechetInfinity, "features", "FID without its small-sample bias"),
    _Family(distribution.Kernel, "features", "kernel distance to real images"),
    _Family(distribution.Precision, "features", "share inside the real manifold"),
    _Family(distribution.Recall, "features", "share of the real manifold reached"),
    _Family(distribution.Density, "features", "density of real images around generated ones"),
    _Family(distribution.Coverage, "features", "share of real images with a generated one near"),
    _Family(distribution.Inception, "classes", "certain and varied class predictions; at most N / splits"),
    _Family(distribution.InceptionUniform, "classes", "certain class predictions (p(y) uniform)"),
)


METRICS: Final[dict[str, MetricEntry]] = {
    f"{family.metric.name}@{name}": MetricEntry(
        family.metric,
        family.summary,
        name,
        family.parts,
        encoder.needs or (encoder.needs_for_classes if family.kind == "classes" else ""),
    )
    for family in _FAMILIES
    for name, encoder in ENCODERS.items()
    if family.kind in encoder.serves
}
"""Every metric by its name, `<metric>@<encoder>`."""


def make(
    names: Sequence[str], encoders: Mapping[str, Mapping[str, Any]] | None = None
) -> tuple[list[SampleMetric], list[SetMetric]]:
    """Build the metrics called `names`, in order; metrics with the same encoder share it and its cache.

    A name is a key of METRICS, or `package.module:Class` (built without arguments), or
    `package.module:Class@encoder`. `encoders` contains settings by encoder, such as
    `{"arcface": {"path": "/models/buffalo_l"}}`. Raises MetricError for an unknown name or setting, a failing
    import, or missing weights.
    """
    opened = _Encoders(encoders or {})
    samples: list[SampleMetric] = []
    sets: list[SetMetric] = []
    for name in names:
        metric = _metric(name, opened)
        # `measure` is the member that distinguishes the two protocols.
        (sets if hasattr(metric, "measure") else samples).append(metric)
    return samples, sets


def open_feature_store(folder: Path, warn: Callable[[str], None]) -> FeatureStore:
    """Features on disk, see `FeatureStore`."""
    return FeatureStore(folder, warn)


def keep_features(part: object, store: FeatureStore, depends_on: Mapping[str, str]) -> None:
    """Let the image caches of an encoder, or of a custom metric, read from a store and write into it.

    `depends_on` contains everything that the features depend on: weights, settings, versions, code, machine.
    """
    for attribute, cache in getattr(part, "__dict__", {}).items():
        if isinstance(cache, ImageCache):
            name = str(getattr(part, "name", type(part).__name__))
            cache.store = store.features(name, {**depends_on, "output": attribute.strip("_")})


def open_encoder(name: str) -> Any:
    """Open one encoder with its default settings. Raises MetricError if its weights are missing."""
    return _Encoders({})[name]


def of_people(metric: SampleMetric) -> bool:
    """Whether a metric applies to people only: it uses a face network, or sets `MetricBase.of_people`."""
    entry = METRICS.get(f"{metric.name}@{metric.encoder}")
    if entry is None:
        return bool(optional_member(metric, "of_people"))
    return any({"face", "detector"} & ENCODERS[name].serves for name in (entry.encoder, *entry.parts))


def examine(
    names: Sequence[str], encoders: Mapping[str, Mapping[str, Any]] | None = None
) -> dict[str, Mapping[str, str] | MetricError]:
    """Open every encoder of the metrics called `names`: its fingerprint, or the error.

    Keys are encoders, or the name itself for a custom metric and for a metric that the weights of its encoder
    do not serve. Nothing is measured. Raises MetricError for settings of an unknown encoder.
    """
    opened = _Encoders(encoders or {})
    required = [part for name in names for part in _encoders_of(name)]
    found = {name: _fingerprint_or_error(name, opened) for name in dict.fromkeys(required)}
    for name in names:
        if not any(isinstance(found[part], MetricError) for part in _encoders_of(name)):
            part = _fingerprint_or_error(name, opened)
            found |= {name: part} if isinstance(part, MetricError) else {}
    return found


def _encoders_of(name: str) -> tuple[str, ...]:
    """The encoders of a metric, preceded by the encoders they are built from."""
    if name not in METRICS:
        return (name,)
    direct = (METRICS[name].encoder, *METRICS[name].parts)
    return (*(part for encoder in direct for part in ENCODERS[encoder].parts), *direct)


def _fingerprint_or_error(name: str, opened: _Encoders) -> Mapping[str, str] | MetricError:
    try:
        found = opened[name] if name in ENCODERS else _metric(name, opened)
        fingerprint: Mapping[str, str] = found.fingerprint
        if hasattr(found, "open"):  # the encoders that read their file late
            found.open()
    except MetricError as error:
        return error
    except (AssertionError, OSError, RuntimeError) as error:
        # For example a configured CUDA device that does not exist.
        return MetricError(f"encoder {name!r}: cannot be opened ({(str(error).splitlines() or ['?'])[0]})")
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
        settings = {**entry.settings, **self._settings.get(name, {})}
        return _built(cls, parts, f"encoder {name!r}", **settings)


def _metric(name: str, encoders: _Encoders) -> Any:
    if name in METRICS:
        entry = METRICS[name]
        return entry.metric(*(encoders[part] for part in (entry.encoder, *entry.parts)))
    target, _, encoder = name.partition("@")
    if ":" not in target:
        raise MetricError(f"unknown metric {name!r}; {_nearest(name, METRICS)}")
    cls = _load(target, f"metric {name!r}")
    metric = _built(cls, [encoders[encoder]] if encoder else [], f"metric {name!r}")
    for member in ("name", "encoder", "better", "fingerprint"):
        if not hasattr(metric, member):
            raise MetricError(f"metric {name!r}: a {type(metric).__name__} without `{member}` is no metric")
    return metric


def _load(target: str, what: str) -> Any:
    module, _, name = target.partition(":")
    try:
        return getattr(importlib.import_module(module), name)
    # A module of the user's may fail in any way.
    except Exception as error:
        raise MetricError(f"{what}: cannot load {target} ({type(error).__name__}: {error})") from error


def _built(cls: Any, parts: Sequence[Any], what: str, **settings: Any) -> Any:
    try:
        return cls(*parts, **settings)
    except (TypeError, ValueError) as error:
        raise MetricError(f"{what}: cannot be built ({error})") from error


def _nearest(name: str, known: Iterable[str]) -> str:
    known = list(known)
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f"did you mean {close[0]!r}?" if close else f"known: {', '.join(sorted(known)) or 'none'}"
