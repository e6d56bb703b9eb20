"""One file of features: rows of numbers by the digest of their image, written whole and never changed."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from metrics.atomic_write import atomic_write
from metrics.encoders.runtime.image_cache import Row

KEY_BYTES: Final = 16
"""Length of an image's digest."""
TABLES: Final = ("keys", "checks", "ends")
"""Digest of the image, checksum and end of each row."""


class DamagedShardError(Exception):
    """A file of features is cut, overwritten or not a file of features."""


def write_shard(path: Path, rows: Mapping[bytes, Row]) -> None:
    """Write rows of one dtype, which may differ in length, by the digests of their images; raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    tables: dict[str, Row] = {
        "keys": np.frombuffer(b"".join(rows), np.uint8).reshape(-1, KEY_BYTES),
        "checks": np.array([_check(key, row) for key, row in rows.items()], np.uint32),
        "ends": np.cumsum([len(row) for row in rows.values()], dtype=np.int64),
    }
    values = np.concatenate(list(rows.values()))
    try:
        with atomic_write(path) as temporary:
            save_file({**tables, "values": values}, str(temporary), {"check": _check_of_tables(tables)})
    except SafetensorError as error:  # such as a full disk
        raise OSError((str(error).splitlines() or ["?"])[0]) from error


class FeatureShard:
    """A shard that is open for reading. Raises DamagedShardError if it is not whole."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with _opened(path) as file:
            tables = {name: file.get_tensor(name) for name in TABLES}
            (length,) = file.get_slice("values").get_shape()
            stored_check = (file.metadata() or {}).get("check")
        if stored_check != _check_of_tables(tables):
            raise DamagedShardError("its tables have another checksum")
        keys, self._checks, self._ends = tables.values()
        if length != (self._ends[-1] if len(self._ends) else 0):
            raise DamagedShardError("its rows are cut")
        self.keys: list[bytes] = keys.view(f"V{KEY_BYTES}").ravel().tolist()

    def read(self, numbers: Sequence[int]) -> list[Row]:
        """The rows at these positions; raises DamagedShardError if a checksum differs."""
        with _opened(self.path) as file:
            values = file.get_slice("values")
            # The library refuses an empty slice at the end of the numbers.
            empty = values[:1][:0] if len(self._ends) and self._ends[-1] else file.get_tensor("values")
            rows = [
                values[start:end] if start < end else empty
                for start, end in ((self._start(i), int(self._ends[i])) for i in numbers)
            ]
        for i, row in zip(numbers, rows, strict=True):
            if _check(self.keys[i], row) != self._checks[i]:
                raise DamagedShardError(f"row {i} has another checksum")
        return rows

    def _start(self, number: int) -> int:
        return int(self._ends[number - 1]) if number else 0


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    try:
        with safe_open(str(path), framework="np") as file:
            yield file
    except (SafetensorError, ValueError) as error:
        raise DamagedShardError((str(error).splitlines() or ["?"])[0]) from error


def _check(key: bytes, row: Row) -> int:
    """CRC-32 of digest, dtype and numbers."""
    return zlib.crc32(row.tobytes(), zlib.crc32(key + row.dtype.str.encode()))


def _check_of_tables(tables: Mapping[str, Row]) -> str:
    return str(zlib.crc32(b"".join(tables[name].tobytes() for name in TABLES)))
