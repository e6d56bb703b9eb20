"""How much faster the statistics are than the field's, on the same features and pictures in one run.

Not in the default run: `pytest -o addopts=--import-mode=importlib tests/speed -k metrics`. Theirs
is timed once, for it takes long; ours is the best of five, after one warm-up of both.
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

from bench.torchvision_ops import ensure_torchvision_imports
from metrics.catalog import make
from metrics.diversity import mean_pairwise
from metrics.encoders.weights import sha256
from metrics.frechet import frechet_distance
from metrics.interface import SetMetric

ensure_torchvision_imports()


def timed(work: Callable[[], float]) -> tuple[float, float]:
    start = time.perf_counter()
    value = work()
    return value, time.perf_counter() - start


def report(what: str, theirs: float, ours: float, wanted: float) -> None:
    line = f"{what}: theirs {theirs:.2f} s, ours {ours:.3f} s, {theirs / ours:.1f}x (wanted {wanted:.0f}x)\n"
    sys.stderr.write(line)
    assert theirs > wanted * ours, line


def features(seed: int, n: int = 500) -> NDArray[np.float64]:
    rng = np.random.default_rng(seed)
    return np.maximum(rng.normal(size=(n, 2048)) / np.sqrt(1 + np.arange(2048)) * 10, 0)


def test_the_frechet_distance_of_500_pictures(benchmark: Any) -> None:
    clean_fid = importlib.import_module("cleanfid.fid")
    x, y = features(0), features(1)

    def theirs() -> float:
        statistics = [(z.mean(0), np.cov(z, rowvar=False)) for z in (x, y)]
        return float(clean_fid.frechet_distance(*statistics[0], *statistics[1]))

    wanted, taken = timed(theirs)
    ours = benchmark.pedantic(frechet_distance, (x, y), rounds=5, warmup_rounds=1)
    assert ours == pytest.approx(wanted, rel=1e-4)
    report("Frechet distance, N = 500, D = 2048, clean-fid", taken, benchmark.stats["min"], 20)


def pictures(n: int, size: int) -> list[Image.Image]:
    """Smooth random pictures."""
    rng = np.random.default_rng(2)
    return [
        Image.fromarray(rng.integers(0, 256, (8, 8, 3), np.uint8)).resize(
            (size, size), Image.Resampling.BICUBIC
        )
        for _ in range(n)
    ]


def test_lpips_over_all_pairs_of_16_pictures(benchmark: Any, tmp_path: Path) -> None:
    lpips = importlib.import_module("lpips")
    theirs = lpips.LPIPS(net="alex", pnet_rand=True, verbose=False)
    backbone = {f"features.{key.split('.', 1)[1]}": value for key, value in theirs.net.state_dict().items()}
    torch.save(backbone, tmp_path / "alex.pth")
    (diversity,), _ = make(["diversity@lpips-alex"], {"lpips-alex": {"path": str(tmp_path / "alex.pth")}})
    network: Any = diversity.network  # type: ignore[attr-defined]
    images = pictures(16, 256)
    tensors = [torch.from_numpy(np.array(p)).permute(2, 0, 1)[None].float() / 127.5 - 1 for p in images]

    def pair_by_pair() -> float:
        with torch.no_grad():
            return float(
                np.mean([theirs(tensors[i], tensors[j]).item() for i in range(16) for j in range(i)])
            )

    theirs(tensors[0], tensors[1])
    wanted, taken = timed(pair_by_pair)
    ours = benchmark.pedantic(lambda: mean_pairwise(network.embed(images)), rounds=5, warmup_rounds=1)
    assert ours == pytest.approx(wanted, rel=1e-4)
    report("LPIPS-alex, all 120 pairs of 16 pictures at 256, lpips", taken, benchmark.stats["min"], 10)


class RandomInception(nn.Module):
    """torchvision's Inception-v3, as deep as the published one, in clean-fid's layout."""

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


def test_four_statistics_from_one_pass(benchmark: Any, tmp_path: Path) -> None:
    """FID and KID by clean-fid, IS and precision / recall by torch-fidelity, each with a pass of its own."""
    torch.manual_seed(0)
    path = tmp_path / "inception-2015-12-05.pt"
    torch.jit.script(RandomInception().eval()).save(str(path))
    generated, real = pictures(64, 64)[:32], pictures(64, 64)[32:]
    clean_fid, torchscript, resize = (
        importlib.import_module(f"cleanfid.{name}") for name in ("fid", "inception_torchscript", "resize")
    )
    isc, prc = (importlib.import_module(f"torch_fidelity.metric_{name}") for name in ("isc", "prc"))
    network, resizer = torchscript.InceptionV3W(str(tmp_path), download=False), resize.build_resizer("clean")

    def seen(images: list[Image.Image]) -> Tensor:
        batch = np.stack([resizer(np.asarray(image)) for image in images])
        with torch.no_grad():
            return network(torch.from_numpy(batch).permute(0, 3, 1, 2))

    def one_after_the_other() -> float:
        x, y = seen(generated).numpy(), seen(real).numpy()
        fid = clean_fid.frechet_distance(
            x.mean(0), np.cov(x, rowvar=False), y.mean(0), np.cov(y, rowvar=False)
        )
        clean_fid.kernel_distance(seen(generated).numpy(), seen(real).numpy())
        isc.isc_features_to_metric(seen(generated) @ network.base.output.weight.T, splits=1)
        prc.prc_features_to_metric(seen(generated), seen(real), verbose=False)
        return float(fid)

    names = [f"{name}@inception-v3" for name in ("fid", "kid", "is", "precision", "recall")]
    settings = {"inception-v3": {"path": str(path), "digest": sha256(path)}}

    def fresh() -> tuple[tuple[list[SetMetric]], dict[str, object]]:
        return (make(names, settings)[1],), {}

    def one_pass(metrics: list[SetMetric]) -> float | None:
        scores = [metric.measure(metric.features(generated), metric.features(real)) for metric in metrics]
        return scores[0].value

    wanted, taken = timed(one_after_the_other)
    assert benchmark.pedantic(one_pass, setup=fresh, rounds=3) == pytest.approx(wanted, rel=1e-3)
    report("FID, KID, IS, precision and recall of 32 + 32 pictures", taken, benchmark.stats["min"], 2)
