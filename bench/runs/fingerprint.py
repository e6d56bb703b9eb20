"""The recipe of a picture: everything its bytes depend on, named, so that two recipes can be told apart."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bench.runs.plan import Cell


@dataclass(frozen=True)
class FingerprintParts:
    """What all pictures of one person by one method depend on."""

    run: Mapping[str, str]
    """Backbone, sampling, device, libraries: the same for every method of a run."""
    method: Mapping[str, str]
    """Class, settings, sources and weights."""
    subject: Mapping[str, str]
    """The reference photographs and their captions."""

    def parts(self, cell: Cell) -> dict[str, str]:
        """By name, what the cell's picture depends on."""
        own = {"prompt": cell.prompt.template, "seed": str(cell.seed)}
        return {**self.run, **self.method, **self.subject, **own}

    def fingerprint(self, cell: Cell) -> str:
        """The digest of `parts`."""
        return digest_of(self.parts(cell))

    def fit_fingerprint(self, seed: int) -> str:
        """The digest of what the fitting depends on: no prompt."""
        return digest_of({**self.run, **self.method, **self.subject, "seed": str(seed)})


def differing(one: Mapping[str, str], other: Mapping[str, str]) -> list[str]:
    """Names of the parts in which two recipes differ, each with both values."""
    return [
        f"{name}: {one.get(name, 'absent')} / {other.get(name, 'absent')}"
        for name in sorted({*one, *other})
        if one.get(name) != other.get(name)
    ]


def digest(content: bytes | str) -> str:
    """SHA-256, 16 hexadecimal digits of it."""
    whole = content.encode() if isinstance(content, str) else content
    return hashlib.sha256(whole).hexdigest()[:16]


def digest_of(parts: Mapping[str, Any]) -> str:
    """The digest of a mapping, whatever the order of its keys."""
    return digest(json.dumps(parts, sort_keys=True, ensure_ascii=False, default=str))
