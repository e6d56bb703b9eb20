"""Speed of the statistics compared with other libraries, on the same features and images.

Not in the default run: `OMP_NUM_THREADS=2 pytest -o addopts=--import-mode=importlib tests/speed -k metrics`.
The other library is timed once because it is slow; ours is the best of several runs with empty caches.
"""

import importlib
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from metrics.catalog import make
from metrics.encoders.runtime.weight_files import sha256
from metrics.interface import SetMetric
from metrics.statistics.frechet import frechet_distance
from metrics.statistics.pairwise_distance import mean_to_others

GPU = pytest.param(
    "cuda",
    marks=[
        pytest.mark.gpu,
        pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
    ],
)


def synchronized_time(device: str) -> float:
    """The time after all work of the device is finished."""
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


def timed(work: Callable[[], float], device: str = "cpu") -> tuple[float, float]:
    start = synchronized_time(device)
    value = work()
    return value, synchronized_time(device) - start


def report(what: str, theirs: float, ours: float, factor: float) -> None:
    line = (
        f"{what}: theirs {theirs:.2f} s, ours {ours:.3f} s, {theirs / ours:.1f}x (expected {factor:.0f}x)\n"
    )
    sys.stderr.write(line)
    assert theirs > factor * ours, line


def features(seed: int, n: int = 500) -> NDArray[np.float64]:
    rng = np.random.default_rng(seed)
    return np.maximum(rng.normal(size=(n, 2048)) / np.sqrt(1 + np.arange(2048)) * 10, 0)


def test_the_frechet_distance_of_500_images_is_fast(benchmark: Any) -> None:
    clean_fid = importlib.import_module("cleanfid.fid")
    x, y = features(0), features(1)

    def theirs() -> float:
        statistics = [(z.mean(0), np.cov(z, rowvar=False)) for z in (x, y)]
        return float(clean_fid.frechet_distance(*statistics[0], *statistics[1]))

    expected, seconds = timed(theirs)
    ours = benchmark.pedantic(frechet_distance, (x, y), rounds=5, warmup_rounds=1)
    assert ours == pytest.approx(expected, rel=1e-4)
    report("Frechet distance, N = 500, D = 2048, clean-fid", seconds, benchmark.stats["min"], 20)
    # An interval requires one distance per person left out, about a hundred in all. CPU time of all threads
    # does not depend on the load of the machine.
    start = time.process_time()
    frechet_distance(x, y)
    assert time.process_time() - start < 2


def random_images(n: int, size: int) -> list[Image.Image]:
    """Smooth random images."""
    rng = np.random.default_rng(2)
    return [
        Image.fromarray(rng.integers(0, 256, (8, 8, 3), np.uint8)).resize(
            (size, size), Image.Resampling.BICUBIC
        )
        for _ in range(n)
    ]


@pytest.mark.parametrize("device", ["cpu", GPU])
@pytest.mark.parametrize("net", ["alex", "squeeze"])
def test_lpips_over_all_pairs_of_16_images_is_fast(
    benchmark: Any, tmp_path: Path, net: str, device: str
) -> None:
    lpips = importlib.import_module("lpips")
    torch.manual_seed(0)
    theirs = lpips.LPIPS(net=net, pnet_rand=True, verbose=False)
    path = tmp_path / f"{net}.pth"
    state = theirs.net.state_dict().items()
    torch.save({f"features.{key.split('.', 1)[1]}": value for key, value in state}, path)
    settings = {f"lpips-{net}": {"path": str(path), "digest": sha256(path), "device": device}}
    images = random_images(16, 256)
    theirs.to(device)
    tensors = [
        (torch.from_numpy(np.array(p)).permute(2, 0, 1)[None].float() / 127.5 - 1).to(device) for p in images
    ]

    def pair_by_pair() -> float:
        with torch.no_grad():
            return float(
                np.mean([theirs(tensors[i], tensors[j]).item() for i in range(16) for j in range(i)])
            )

    def fresh() -> tuple[tuple[Any], dict[str, object]]:
        (diversity,), _ = make([f"diversity@lpips-{net}"], settings)
        return (diversity.network,), {}  # type: ignore[attr-defined]

    theirs(tensors[0], tensors[1])
    expected, seconds = timed(pair_by_pair, device)
    ours = benchmark.pedantic(
        lambda network: float(mean_to_others(network.embed(images)).mean()),
        setup=fresh,
        rounds=5,
        warmup_rounds=1,
    )
    assert ours == pytest.approx(expected, rel=1e-4 if device == "cpu" else 1e-3)
    what = f"LPIPS-{net} on {device}, all 120 pairs of 16 images at 256, lpips"
    # On a GPU, copying the maps to the host and their product on the CPU take most of our time.
    report(what, seconds, benchmark.stats["min"], 10 if device == "cpu" else 1)


class RandomInception(nn.Module):
    """torchvision's Inception-v3, as deep as the published one, in the layout of clean-fid."""

    def __init__(self) -> None:
        super().__init__()
        whole = importlib.import_module("torchvision.models").inception_v3(
            weights=None, aux_logits=False, init_weights=False
        )
        parts = [part for name, part in whole.named_children() if name not in ("AuxLogits", "dropout", "fc")]
        self.layers = nn.Sequential(*parts)
        self.output = nn.Linear(2048, 1008)

    def forward(self, img: Tensor, return_features: bool = False) -> Tensor:
        pooled = self.layers((img - 128) / 128).flatten(1)
        return pooled if return_features else self.output(pooled).softmax(1)


@pytest.mark.parametrize("device", ["cpu", GPU])
def test_four_statistics_from_one_pass_are_fast(benchmark: Any, tmp_path: Path, device: str) -> None:
    """clean-fid's FID, then its KID, then torch-fidelity's IS and precision / recall.

    Three passes over both sets: torch-fidelity needs one for both of its statistics, as in one call;
    clean-fid needs one for each.
    """
    torch.manual_seed(0)
    path = tmp_path / "inception-2015-12-05.pt"
    torch.jit.script(RandomInception().eval()).save(str(path))
    generated, real = random_images(64, 64)[:32], random_images(64, 64)[32:]
    clean_fid, torchscript, resize = (
        importlib.import_module(f"cleanfid.{name}") for name in ("fid", "inception_torchscript", "resize")
    )
    isc, prc = (importlib.import_module(f"torch_fidelity.metric_{name}") for name in ("isc", "prc"))
    network = torchscript.InceptionV3W(str(tmp_path), download=False).to(device)
    resizer = resize.build_resizer("clean")

    def encode(images: list[Image.Image]) -> Tensor:
        batch = np.stack([resizer(np.asarray(image)) for image in images])
        with torch.no_grad():
            found: Tensor = network(torch.from_numpy(batch).permute(0, 3, 1, 2).to(device))
        return found

    def one_after_the_other() -> float:
        x, y = encode(generated).cpu().numpy(), encode(real).cpu().numpy()
        fid = clean_fid.frechet_distance(
            x.mean(0), np.cov(x, rowvar=False), y.mean(0), np.cov(y, rowvar=False)
        )
        clean_fid.kernel_distance(encode(generated).cpu().numpy(), encode(real).cpu().numpy())
        first, second = encode(generated), encode(real)
        isc.isc_features_to_metric(first @ network.base.output.weight.T, splits=1)
        prc.prc_features_to_metric(first.cpu(), second.cpu(), verbose=False)
        return float(fid)

    names = [f"{name}@inception-v3" for name in ("fid", "kid", "is", "precision", "recall")]
    settings = {"inception-v3": {"path": str(path), "digest": sha256(path), "device": device}}

    def fresh() -> tuple[tuple[list[SetMetric]], dict[str, object]]:
        return (make(names, settings)[1],), {}

    def one_pass(metrics: list[SetMetric]) -> float | None:
        scores = [metric.measure(metric.features(generated), metric.features(real)) for metric in metrics]
        return scores[0].value

    encode(generated[:2])
    expected, seconds = timed(one_after_the_other, device)
    ours = benchmark.pedantic(one_pass, setup=fresh, rounds=3, warmup_rounds=1)
    assert ours == pytest.approx(expected, rel=1e-3)
    what = f"FID, KID, IS, precision and recall of 32 + 32 images on {device}"
    report(what, seconds, benchmark.stats["min"], 2)
