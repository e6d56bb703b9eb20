"""Features of images on disk, shared by runs: computed once for an encoder and an image.

<folder>/<encoder>-<digest>/about.json            what the encoder's numbers depend on
<folder>/<encoder>-<digest>/<unique>.safetensors  rows of several images

The store is a cache: every file may be deleted at any time. Processes share it without locks, because a file
is written under a temporary name, renamed, and never changed. If two processes store the same rows, these are
equal.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import time
import uuid
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

from metrics.atomic_write import atomic_write
from metrics.encoders.runtime.feature_shard import DamagedShardError, FeatureShard, write_shard
from metrics.encoders.runtime.image_cache import Row

MAX_BYTES: Final = 20 << 30
"""Size above which the least recently used files are deleted when a store is opened."""
MAX_ROW: Final = 1 << 20
"""Bytes of the largest row that is stored. LPIPS at 256 pixels has 2.6 MB per image and is computed again."""
SHARD_BYTES: Final = 64 << 20
SHARD_ROWS: Final = 4096
SHARD_SECONDS: Final = 30.0
"""A shard is written when it reaches one of these sizes, or this age; a killed process loses at most that."""
SUFFIX: Final = ".safetensors"
PLACES: Final = 1 << 32


class FeatureStore:
    """A folder of features. `warn` receives one line if it cannot be written or if a file is damaged."""

    def __init__(self, folder: Path, warn: Callable[[str], None], max_bytes: int = MAX_BYTES) -> None:
        self.folder = folder
        self.warn = warn
        self.writable = True
        self._opened: dict[str, EncoderFeatures] = {}
        self._delete_oldest(max_bytes)

    def features(self, encoder: str, depends_on: Mapping[str, str]) -> EncoderFeatures:
        """The features of one encoder; `depends_on` contains everything that its numbers depend on."""
        text = json.dumps(dict(depends_on), sort_keys=True, ensure_ascii=False, indent=1)
        safe = re.sub(r"[^A-Za-z0-9-]", "-", encoder)[:60]
        name = f"{safe}-{hashlib.sha256(text.encode()).hexdigest()[:16]}"
        if name not in self._opened:
            self._opened[name] = EncoderFeatures(self, self.folder / name, text)
        return self._opened[name]

    def flush(self) -> None:
        """Write everything that is not yet on disk."""
        for features in self._opened.values():
            features.flush()

    def refuse(self, error: Exception) -> None:
        """Stop writing, with one line."""
        if self.writable:
            reason = getattr(error, "strerror", None) or error
            self.warn(f"features are not kept: {self.folder} cannot be written ({reason}); see --cache")
        self.writable = False

    def _delete_oldest(self, max_bytes: int) -> None:
        total = 0
        for _, size, path in sorted(self._files(), reverse=True):
            total += size
            if total > max_bytes:
                _delete(path)

    def _files(self) -> Iterator[tuple[float, int, Path]]:
        """Time of last use, size and path of every shard; deletes what killed processes left half written."""
        yesterday = time.time() - 86400
        for path in self.folder.glob("*/*"):
            with suppress(OSError):
                status = path.stat()
                if path.suffix == SUFFIX:
                    yield status.st_mtime, status.st_size, path
                elif path.name.startswith(".") and status.st_mtime < yesterday:
                    _delete(path)


class EncoderFeatures:
    """The stored features of one encoder."""

    def __init__(self, store: FeatureStore, folder: Path, about: str) -> None:
        self._store = store
        self._folder = folder
        self._about = about
        self._shards: list[FeatureShard] = []
        self._places: dict[bytes, int] | None = None
        """By digest of the image, number of the shard times PLACES plus that of the row; None before use."""
        self._pending: dict[bytes, Row] = {}
        self._pending_bytes = 0
        self._pending_since = 0.0

    def get(self, keys: Collection[bytes]) -> dict[bytes, Row]:
        """The stored rows of these images; those without one are absent."""
        if self._places is None:
            self._places = self._read_places()
        found = {key: self._pending[key] for key in keys if key in self._pending}
        by_shard: dict[int, dict[int, bytes]] = defaultdict(dict)
        for key in keys:
            if key in self._places and key not in found:
                number, row = divmod(self._places[key], PLACES)
                by_shard[number][row] = key
        for number, rows in by_shard.items():
            try:
                found.update(zip(rows.values(), self._shards[number].read(list(rows)), strict=True))
            except (DamagedShardError, OSError) as error:
                self._places = {key: p for key, p in self._places.items() if p // PLACES != number}
                self._report(self._shards[number].path, error)
        return found

    def put(self, rows: Mapping[bytes, Row]) -> None:
        """Store rows, on disk when there are enough for a shard; rows above MAX_ROW are ignored."""
        if not self._store.writable:
            return
        small = {key: row for key, row in rows.items() if row.nbytes <= MAX_ROW}
        if not self._pending:
            self._pending_since = time.monotonic()
        self._pending |= small
        self._pending_bytes += sum(row.nbytes for row in small.values())
        large = self._pending_bytes >= SHARD_BYTES or len(self._pending) >= SHARD_ROWS
        if large or time.monotonic() - self._pending_since > SHARD_SECONDS:
            self.flush()

    def flush(self) -> None:
        """Write the rows that are not yet on disk."""
        if not self._pending or not self._store.writable:
            return
        path = self._folder / f"{uuid.uuid4().hex}{SUFFIX}"
        try:
            write_shard(path, self._pending)
            self._add(path)
            self._describe()
        except (OSError, DamagedShardError) as error:
            self._store.refuse(error)
        self._pending, self._pending_bytes = {}, 0

    def _describe(self) -> None:
        about = self._folder / "about.json"
        if not about.exists():
            with suppress(OSError), atomic_write(about) as temporary:
                temporary.write_text(self._about, encoding="utf-8")

    def _read_places(self) -> dict[bytes, int]:
        self._places = {}
        for path in sorted(self._folder.glob(f"*{SUFFIX}")):
            try:
                self._add(path)
            except (DamagedShardError, OSError) as error:
                self._report(path, error)
        return self._places

    def _add(self, path: Path) -> None:
        shard = FeatureShard(path)
        first = len(self._shards) * PLACES
        self._shards.append(shard)
        if self._places is not None:
            self._places.update(zip(shard.keys, range(first, first + len(shard.keys)), strict=True))
        # The time of last use, by which old files are deleted.
        with suppress(OSError):
            os.utime(path)

    def _report(self, path: Path, error: Exception) -> None:
        """One line for a file that cannot be used; a damaged one is deleted."""
        if isinstance(error, DamagedShardError):
            self._store.warn(f"{path}: damaged features are computed again ({error})")
            _delete(path)
        elif not isinstance(error, FileNotFoundError):  # which another process has deleted
            self._store.warn(f"{path}: unreadable features are computed again ({error})")


def _delete(path: Path) -> None:
    with suppress(OSError):
        path.unlink()
