"""The metrics of a suite and their columns."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bench.runs.fingerprint import digest_of
from bench.suite.suite import Suite
from metrics.catalog import make, of_priors
from metrics.interface import SampleMetric, SetMetric

Metric = SampleMetric | SetMetric


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
        """Fingerprint parts of each metric."""
        return [metric.fingerprint for metric in self.all]

    @property
    def columns(self) -> dict[str, dict[str, Any]]:
        """The columns for metrics.json, by title."""
        kinds = (("pictures", self.of_subjects), ("priors", self.of_priors), ("sets", self.of_sets))
        return {title(metric): _column(metric, of) for of, metrics in kinds for metric in metrics}


def build_metrics(suite: Suite) -> Metrics:
    """Build the suite's metrics and open their encoders; raises MetricError."""
    return Metrics(*make(suite.metrics, encoders=suite.encoders))


def title(metric: Metric) -> str:
    """A column's title: metric and encoder, such as `identity (sface)`."""
    return f"{metric.name} ({metric.encoder})" if metric.encoder else metric.name


def fingerprint_of(metric: Metric) -> str:
    """Digest of a metric's fingerprint parts."""
    return digest_of(metric.fingerprint)


def _column(metric: Metric, of: str) -> dict[str, Any]:
    return {
        "name": metric.name,
        "encoder": metric.encoder,
        "better": metric.better,
        "of": of,
        "fingerprint": dict(metric.fingerprint),
    }
