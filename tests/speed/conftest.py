"""Fixtures of the speed tests."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

# The module of this folder and the fakes that the tests import.
sys.path += [str(Path(__file__).parent), str(Path(__file__).parents[1] / "methods" / "fakes")]


@pytest.fixture
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
