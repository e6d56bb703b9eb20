"""Equal tensors and metadata give equal files, in whatever order they are written."""

import json
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from methods.compute.file_header import sort_header

TENSORS = {"b": torch.arange(6.0).reshape(2, 3), "a": torch.ones(2, dtype=torch.float16)}
METADATA = {name: f"value of {name}, é" for name in "qwertyuiop"}


def header(path: Path) -> dict[str, object]:
    content = path.read_bytes()
    found: dict[str, object] = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    return found


def test_header_is_sorted_and_everything_else_is_unchanged(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    save_file(TENSORS, path, metadata=METADATA)
    size = path.stat().st_size
    sort_header(path)
    assert list(header(path)) == sorted(header(path))
    assert list(header(path)["__metadata__"]) == sorted(METADATA)  # type: ignore[call-overload]
    assert path.stat().st_size == size
    with safe_open(path, "pt") as opened:
        assert opened.metadata() == METADATA
    assert all(torch.equal(value, TENSORS[name]) for name, value in load_file(path).items())


def test_files_of_different_calls_are_equal(tmp_path: Path) -> None:
    files = [tmp_path / f"{i}.safetensors" for i in range(6)]
    for path in files:
        save_file(TENSORS, path, metadata=METADATA)
    assert len({path.read_bytes() for path in files}) > 1, "the library has an order now: sort_header can go"
    for path in files:
        sort_header(path)
    assert len({path.read_bytes() for path in files}) == 1
