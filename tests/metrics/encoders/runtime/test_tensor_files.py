"""Weight files that are damaged, or contain something else than tensors."""

from pathlib import Path

import pytest
import torch

from metrics.encoders.runtime.tensor_files import read_tensors
from metrics.interface import MetricError


@pytest.mark.parametrize("content", [b"", b"half a download", b"\x80\x02}q\x00(", b"PK\x03\x04"])
@pytest.mark.parametrize("name", ["weights.pth", "weights.safetensors"])
def test_damaged_file_is_refused_in_one_line(name: str, content: bytes, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(MetricError) as caught:
        read_tensors(path)
    assert str(caught.value).startswith(f"{path}: not a file of tensors (")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("stored", [[torch.zeros(1)], {"epoch": 3}])
def test_file_without_tensors_by_name_is_refused(stored: object, tmp_path: Path) -> None:
    path = tmp_path / "other.pth"
    torch.save(stored, path)
    with pytest.raises(MetricError, match=r"other\.pth: expected tensors by name, found a (list|dict)"):
        read_tensors(path)
