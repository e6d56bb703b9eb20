"""Training data in the metadata of weight files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from methods.catalog import make
from methods.trained_on import training_data_of


def test_training_data_is_read_from_the_metadata(tmp_path: Path) -> None:
    file = tmp_path / "a.safetensors"
    save_file({"x": np.zeros(1)}, file, {"config": '{"training_data": "celeba-train"}'})
    assert training_data_of(file, "config", "training_data") == {"celeba-train"}
    assert training_data_of(file, "training", "data_name") == frozenset()
    assert training_data_of(tmp_path / "none.safetensors", "config", "training_data") == frozenset()


@pytest.mark.parametrize("name", ["ip-adapter", "loo-mean", "loo-attention"])
def test_shipped_adapters_declare_rendered_people_as_training_data(name: str) -> None:
    assert make(name).trained_on == {"rendered-people-train"}
