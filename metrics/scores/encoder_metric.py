"""Base class of the metrics that use one network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Generic, TypeVar

from metrics.interface import Better, MetricBase, Network

N = TypeVar("N", bound=Network)


@dataclass(frozen=True)
class EncoderMetric(MetricBase, Generic[N]):
    """A metric that reports the name and the fingerprint of its network as its own."""

    network: N
    name: ClassVar[str]
    better: ClassVar[Better]

    @property
    def encoder(self) -> str:
        return self.network.name

    @property
    def fingerprint(self) -> Mapping[str, str]:
        return self.network.fingerprint
