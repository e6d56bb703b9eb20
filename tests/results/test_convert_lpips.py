"""The converter of LPIPS' backbone reads arrays only, and transposes them to torch's order."""

import io
import pickle
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

SCRIPTS = Path(__file__).parents[2] / "results" / "scripts"


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(SCRIPTS)
    monkeypatch.delitem(sys.modules, "convert_lpips", raising=False)
    import convert_lpips

    return convert_lpips


def test_arrays_are_read_and_every_other_object_is_refused(script: Any) -> None:
    # NumPy 2 writes another module name than NumPy 1, which wrote the published file.
    content = pickle.dumps({"a": np.arange(3)}, protocol=3).replace(b"numpy._core", b"numpy.core")
    assert script.ArrayUnpickler(io.BytesIO(content)).load()["a"].tolist() == [0, 1, 2]
    for other in (Path("x"), print, np.random.default_rng(0)):
        with pytest.raises(SystemExit, match="expected NumPy arrays only"):
            script.ArrayUnpickler(io.BytesIO(pickle.dumps(other))).load()


def test_kernels_are_output_by_input_by_height_by_width(script: Any) -> None:
    kernel = np.arange(3 * 5 * 2 * 4, dtype=np.float32).reshape(3, 5, 2, 4)
    layer = {"kernel": kernel, "bias": np.zeros(4, np.float32)}
    arrays = {"AlexNet_0": {f"Conv_{i}": layer for i in range(5)}, "NetLinLayer_0": {}}
    tensors = script.convolutions(arrays, "alex")
    assert list(tensors)[-2:] == ["features.10.weight", "features.10.bias"]
    weight = tensors["features.0.weight"]
    assert weight.shape == (4, 2, 3, 5)
    assert weight[3, 1, 2, 4] == kernel[2, 4, 1, 3]
