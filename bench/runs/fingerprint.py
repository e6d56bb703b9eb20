"""Fingerprints: digests of everything that an image depends on, with named parts."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bench.runs.plan import Cell


@dataclass(frozen=True)
class FingerprintParts:
    """Everything that the images of one identity by one method depend on, by name."""

    run: Mapping[str, str]
    """Backbone, sampling, device and library versions; equal for all methods of a run."""
    method: Mapping[str, str]
    """Class, settings, code and weights."""
    subject: Mapping[str, str]
    """Noun, reference photographs and captions."""

    def parts(self, cell: Cell) -> dict[str, str]:
        """All parts of one cell's fingerprint, prompt and seed included."""
        own = {"prompt": cell.prompt.template, "seed": str(cell.seed)}
        if cell.fit > 1:
            own["fit"] = str(cell.fit)
        return {**self.run, **self.method, **self.subject, **own}

    def fingerprint(self, cell: Cell) -> str:
        """Digest of `parts`."""
        return digest_of(self.parts(cell))

    def fit_fingerprint(self, seed: int) -> str:
        """Digest of the parts that a fit depends on; it contains no prompt."""
        return digest_of({**self.run, **self.method, **self.subject, "seed": str(seed)})


def differing(one: Mapping[str, str], other: Mapping[str, str]) -> list[str]:
    """The parts in which two fingerprints differ, each with both values: `name: one / other`."""
    return [
        f"{name}: {one.get(name, 'absent')} / {other.get(name, 'absent')}"
        for name in sorted({*one, *other})
        if one.get(name) != other.get(name)
    ]


def differing_with_code(
    one: Mapping[str, str],
    other: Mapping[str, str],
    one_code: Mapping[str, str],
    other_code: Mapping[str, str],
) -> list[str]:
    """As `differing`; the part `code` is replaced by the names of the definitions that differ.

    The digests of the definitions are `one_code` and `other_code`; unless both are known, the part stays.
    """
    changed = differing(one_code, other_code) if one_code and other_code else []
    names = ", ".join(line.partition(":")[0] for line in changed)
    return [
        f"code of {names}" if names and line.startswith("code:") else line for line in differing(one, other)
    ]


def digest(content: bytes | str) -> str:
    """The first 16 hexadecimal digits of the SHA-256."""
    whole = content.encode() if isinstance(content, str) else content
    return hashlib.sha256(whole).hexdigest()[:16]


def digest_of(parts: Mapping[str, Any]) -> str:
    """Digest of a mapping, independent of the order of its keys."""
    return digest(json.dumps(parts, sort_keys=True, ensure_ascii=False, default=str))
