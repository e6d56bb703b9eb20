"""Two runs on a GPU write the same images."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from bench.errors import ExitStatus

SUITE = """
name = "small"
samples = 2
metrics = []

[dataset]
kind = "rendered"
identities = 2
references = 2
held_out = 1

[prompts]
set = "portrait"
count = 2

[backbone]
path = "embedded"
steps = 4
batch = 4
device = "{device}"
dtype = "{dtype}"
"""
METHODS = "text-only,ip-adapter,loo-mean,loo-attention"


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("dtype", ["fp32", "bf16"])
def test_two_runs_on_a_gpu_write_the_same_images(
    dtype: str, bench: Callable[..., int], tmp_path: Path
) -> None:
    suite = tmp_path / "small.toml"
    suite.write_text(SUITE.format(device="cuda", dtype=dtype))
    written = []
    for name in ("one", "two"):
        assert bench("run", "--suite", suite, "--methods", METHODS, "--out", name) == ExitStatus.DONE
        paths = sorted((tmp_path / name / "images").rglob("*.png"))
        written.append({path.relative_to(tmp_path / name): path.read_bytes() for path in paths})
    assert len(written[0]) == 4 * 2 * 2 * 2
    assert written[0] == written[1]
