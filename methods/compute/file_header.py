"""Header of a safetensors file: equal content gives equal bytes."""

from __future__ import annotations

import json
from pathlib import Path


def sort_header(path: Path) -> None:
    """Rewrite a safetensors file's header with sorted keys, in place and without moving any tensor.

    The library writes the metadata in an order that differs from process to process.
    """
    with path.open("r+b") as file:
        size = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(size))
        text = json.dumps(header, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
        if len(text) > size:
            raise ValueError(f"{path}: the sorted header has {len(text)} bytes, the written one {size}")
        file.seek(8)
        file.write(text.ljust(size))
