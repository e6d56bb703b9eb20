"""The metrics of a suite, their columns, and the fingerprint of each."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Final

from bench.runs.fingerprint import digest_of
from bench.runs.source_code.digests import definition_digests
from bench.suite.suite import Suite
from metrics.catalog import make
from metrics.interface import MetricError, SampleMetric, SetMetric, of_priors

Metric = SampleMetric | SetMetric
PACKAGE: Final = "metrics"
"""Package of the built-in metrics and encoders."""
STORES: Final = "metrics.encoders.runtime.feature_store"
"""Module of the objects that keep features on disk; no number depends on them."""


@dataclass(frozen=True)
class Metrics:
    """The built metrics of a suite."""

    of_images: Sequence[SampleMetric]
    """One score for each image."""
    of_sets: Sequence[SetMetric]
    """One score for a whole set of images."""

    @property
    def of_subjects(self) -> list[SampleMetric]:
        """Metrics of images of the subject."""
        return [metric for metric in self.of_images if not of_priors(metric)]

    @property
    def of_priors(self) -> list[SampleMetric]:
        """Metrics of class images: without the subject, generated after fitting."""
        return [metric for metric in self.of_images if of_priors(metric)]

    @property
    def all(self) -> list[Metric]:
        """All metrics."""
        return [*self.of_images, *self.of_sets]

    @property
    def fingerprints(self) -> list[Mapping[str, str]]:
        """The fingerprint parts of each metric."""
        return [self._parts[id(metric)] for metric in self.all]

    @property
    def columns(self) -> dict[str, dict[str, Any]]:
        """The columns for metrics.json, by title."""
        kinds = (("pictures", self.of_subjects), ("priors", self.of_priors), ("sets", self.of_sets))
        return {title(metric): self._column(metric, of) for of, metrics in kinds for metric in metrics}

    def fingerprint_of(self, metric: Metric) -> str:
        """Digest of what a metric depends on."""
        return self._digests[id(metric)]

    @cached_property
    def _parts(self) -> dict[int, dict[str, str]]:
        return {id(metric): fingerprint_parts(metric) for metric in self.all}

    @cached_property
    def _digests(self) -> dict[int, str]:
        return {key: digest_of(parts) for key, parts in self._parts.items()}

    def _column(self, metric: Metric, of: str) -> dict[str, Any]:
        return {
            "name": metric.name,
            "encoder": metric.encoder,
            "better": metric.better,
            "of": of,
            "fingerprint": self._parts[id(metric)],
        }


def build_metrics(suite: Suite) -> Metrics:
    """Build the suite's metrics and open their encoders; raises MetricError, also for two of one name."""
    metrics = Metrics(*make(suite.metrics, encoders=suite.encoders))
    titles = [title(metric) for metric in metrics.all]
    for name in titles:
        if titles.count(name) > 1:
            raise MetricError(f"two metrics are called {name}, and would share a column; leave one out")
    return metrics


def with_metrics(suite: Suite, added: Sequence[str]) -> Suite:
    """The suite with further metrics."""
    return replace(suite, metrics=tuple(dict.fromkeys([*suite.metrics, *added])))


def title(metric: Metric) -> str:
    """A column's title: metric and encoder, such as `identity (sface)`."""
    return f"{metric.name} ({metric.encoder})" if metric.encoder else metric.name


def fingerprint_parts(metric: Any) -> dict[str, str]:
    """The metric's own fingerprint, and the digest of its code and its encoders' code."""
    return {**metric.fingerprint, "code": digest_of(_code(metric))}


def settings_of(metric: object) -> dict[str, str]:
    """Every public setting of a metric and of its encoders, whether or not its fingerprint contains it."""
    return {
        f"{type(part).__name__}.{name}": repr(value)
        for part in components_of(metric)
        for name, value in _attributes(part).items()
        if not name.startswith("_") and _is_plain(value)
    }


def _code(metric: object) -> dict[str, dict[str, str]]:
    """Digests, by class, of all definitions that the metric and its encoders depend on."""
    classes = [type(part) for part in components_of(metric)]
    return {
        cls.__qualname__: definition_digests(cls.__module__, cls.__qualname__, shared=PACKAGE)
        for cls in classes
    }


def components_of(metric: object) -> Iterator[Any]:
    """The metric, and all objects in its attributes whose class is defined in its package or in `metrics`."""
    packages = {PACKAGE, _package(metric)}
    seen: set[int] = set()
    queue: list[Any] = [metric]
    while queue:
        part = queue.pop()
        if id(part) in seen:
            continue
        seen.add(id(part))
        yield part
        found = [value for value in _attributes(part).values() if _package(value) in packages]
        queue += [value for value in found if type(value).__module__ != STORES]


def _attributes(part: object) -> dict[str, Any]:
    """The attributes of an object, without those that it derives from the others when they are first used."""
    return {
        name: value
        for name, value in getattr(part, "__dict__", {}).items()
        if not isinstance(getattr(type(part), name, None), cached_property)
    }


def _package(value: object) -> str:
    return type(value).__module__.partition(".")[0]


def _is_plain(value: object) -> bool:
    if isinstance(value, tuple | list):
        return all(map(_is_plain, value))
    return value is None or isinstance(value, bool | int | float | str)
