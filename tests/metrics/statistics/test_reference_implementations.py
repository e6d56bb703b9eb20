"""The statistics compared with clean-fid and torch-fidelity, on the same features."""

import importlib
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from metrics.statistics.frechet import frechet_distance
from metrics.statistics.inception_score import inception_score
from metrics.statistics.kernel import kernel_distance
from metrics.statistics.manifold import manifold

WIDTH = 96


@pytest.fixture(scope="module")
def clean_fid() -> ModuleType:
    return importlib.import_module("cleanfid.fid")


def fidelity(statistic: str) -> ModuleType:
    return importlib.import_module(f"torch_fidelity.metric_{statistic}")


def features(n: int, seed: int, shift: float = 0.0) -> NDArray[np.float64]:
    """Similar to pooled features: non-negative, correlated, with a long tail of small variances."""
    mixing = np.random.default_rng(7).normal(size=(WIDTH, WIDTH)) / np.sqrt(1 + np.arange(WIDTH))[:, None]
    return np.maximum(np.random.default_rng(seed).normal(size=(n, WIDTH)) @ mixing + shift, 0)


@pytest.mark.filterwarnings("ignore:.*disp.*:DeprecationWarning")
@pytest.mark.parametrize(
    ("n", "m"), [(20, 20), (50, 200), (300, 300), (2000, 1500), (5000, 5000), (5000, 20)]
)
def test_the_frechet_distance_equals_clean_fid_and_torch_fidelity(
    clean_fid: ModuleType, n: int, m: int
) -> None:
    x, y = features(n, 0), features(m, 1, shift=0.1)
    ours = frechet_distance(x, y)
    theirs = clean_fid.frechet_distance(
        x.mean(0), np.cov(x, rowvar=False), y.mean(0), np.cov(y, rowvar=False)
    )
    assert ours == pytest.approx(theirs, rel=1e-4)
    fid = fidelity("fid")
    stats = [fid.fid_features_to_statistics(torch.from_numpy(z)) for z in (x, y)]
    assert ours == pytest.approx(
        fid.fid_statistics_to_metric(*stats, False)["frechet_inception_distance"], rel=1e-4
    )


@pytest.mark.parametrize("n", [30, 400])
def test_the_kernel_distance_equals_clean_fid_and_torch_fidelity(clean_fid: ModuleType, n: int) -> None:
    x, y = features(n, 2), features(n, 3, shift=0.05)
    ours = kernel_distance(x, y, rng=np.random.default_rng(0)).value
    assert ours == pytest.approx(clean_fid.kernel_distance(x, y, num_subsets=1), rel=1e-3)
    theirs = fidelity("kid").kid_features_to_metric(
        torch.from_numpy(x), torch.from_numpy(y), kid_subsets=1, kid_subset_size=n, verbose=False
    )
    assert ours == pytest.approx(theirs["kernel_inception_distance_mean"], rel=1e-3)


def test_the_kernel_distance_on_equal_subsets_equals_torch_fidelity() -> None:
    """torch-fidelity uses NumPy's legacy generator, which has the same `choice` call."""
    x, y = features(120, 4), features(150, 5, shift=0.05)
    theirs = fidelity("kid").kid_features_to_metric(
        torch.from_numpy(x),
        torch.from_numpy(y),
        kid_subsets=20,
        kid_subset_size=50,
        rng_seed=3,
        verbose=False,
    )
    legacy: Any = np.random.RandomState(3)
    ours = kernel_distance(x, y, subsets=20, subset_size=50, rng=legacy)
    assert ours.value == pytest.approx(theirs["kernel_inception_distance_mean"], rel=1e-3)
    assert ours.spread == pytest.approx(theirs["kernel_inception_distance_std"], rel=1e-3)


def test_the_spread_over_random_subsets_is_close_to_torch_fidelity() -> None:
    x, y = features(500, 4) / 4, features(500, 5, shift=0.05) / 4
    ours = kernel_distance(x, y, subsets=100, subset_size=100, rng=np.random.default_rng(0))
    theirs = fidelity("kid").kid_features_to_metric(
        torch.from_numpy(x), torch.from_numpy(y), kid_subsets=100, kid_subset_size=100, verbose=False
    )
    spread = theirs["kernel_inception_distance_std"]
    assert ours.value == pytest.approx(theirs["kernel_inception_distance_mean"], abs=4 * spread / 10)
    assert ours.spread == pytest.approx(spread, rel=0.3)


@pytest.mark.parametrize(("n", "splits"), [(100, 1), (100, 10), (97, 10), (1000, 10)])
def test_the_inception_score_equals_torch_fidelity(n: int, splits: int) -> None:
    logits = torch.randn(n, 50, generator=torch.Generator().manual_seed(n)) * 3
    theirs = fidelity("isc").isc_features_to_metric(logits, splits=splits, shuffle=False)
    ours = inception_score(logits.double().softmax(1).numpy(), splits)
    assert ours.mean == pytest.approx(theirs["inception_score_mean"], rel=1e-3)
    assert ours.std == pytest.approx(theirs["inception_score_std"], rel=1e-3, abs=1e-9)


def test_precision_and_recall_equal_torch_fidelity() -> None:
    x, y = features(150, 6), features(200, 7, shift=0.03)
    theirs = fidelity("prc").prc_features_to_metric(torch.from_numpy(x), torch.from_numpy(y), verbose=False)
    ours = manifold(x, y, k=3)
    assert (ours.precision, ours.recall) == pytest.approx((theirs["precision"], theirs["recall"]))
