"""Base class of the metrics that use one network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import ClassVar, Generic, TypeVar

from metrics.interface import Better, MetricBase, Network

N = TypeVar("N", bound=Network)


@dataclass(frozen=True)
class EncoderMetric(MetricBase, Generic[N]):
    """A metric that reports the name of its network as its own.

    Its fingerprint contains that of its network, and each of its settings under the field's name.
    """

    network: N
    name: ClassVar[str]
    better: ClassVar[Better]

    @property
    def encoder(self) -> str:
        return self.network.name

    @property
    def fingerprint(self) -> Mapping[str, str]:
        return {**self.network.fingerprint, **self.settings}

    @property
    def settings(self) -> dict[str, str]:
        """All fields but the networks, such as `{"min images": "16"}`."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {
            name.replace("_", " "): str(value)
            for name, value in values.items()
            if not hasattr(value, "fingerprint")
        }
