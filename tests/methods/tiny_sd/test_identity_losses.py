"""Identity losses of the vision tower (mean photographs, attributes) and contrastive pairs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from bench.synthetic.parameters.persona_vector import Descriptions
from methods.tiny_sd.contrastive_pairs import PhotoPairs, contrastive_loss
from methods.tiny_sd.identity_losses import VARIANCE_FLOOR, IdentityLosses, MeanPhotographs

PATCH = 4


@dataclass(frozen=True)
class Photographs:
    """Three photographs of each of five persons, shuffled, 16 px; and one of a sixth."""

    pixels: NDArray[np.uint8]
    identities: NDArray[np.int64]
    descriptions: Descriptions | None

    def caption(self, row: int, rng: np.random.Generator, *, mirrored: bool) -> str:
        raise NotImplementedError

    def template(self, row: int, *, mirrored: bool) -> str:
        raise NotImplementedError

    def noun(self, row: int) -> str:
        raise NotImplementedError

    def original_size(self, row: int) -> tuple[int, int]:
        height, width = self.pixels.shape[1:3]
        return height, width


@pytest.fixture
def photographs() -> Photographs:
    rng = np.random.default_rng(0)
    identities = rng.permutation(np.array([*[0, 1, 2, 3, 4] * 3, 5]))
    pixels = rng.integers(0, 256, (16, 16, 16, 3), dtype=np.uint8)
    numbers = rng.normal(size=(6, 7)).astype(np.float32)[identities]
    return Photographs(pixels, identities, Descriptions(numbers, (7,)))


def test_photograph_is_excluded_from_its_own_target(photographs: Photographs) -> None:
    means = MeanPhotographs(photographs, PATCH)
    row = int(np.flatnonzero(photographs.identities == 2)[1])
    targets = means.of_others(torch.tensor([row, row]), torch.tensor([False, True]))
    others = [r for r in np.flatnonzero(photographs.identities == 2) if r != row]
    all_means = np.stack(
        [photographs.pixels[photographs.identities == person].mean(0) for person in range(6)]
    )
    expected = photographs.pixels[others].mean(0) - all_means.mean(0)
    expected = expected / (all_means.std(0, ddof=1) + VARIANCE_FLOOR)
    upper_second = expected[0:4, 4:8].reshape(-1)
    np.testing.assert_allclose(targets[0, 1], upper_second, rtol=1e-4, atol=1e-4)
    # Mirrored, the second patch of a row of four contains the third one.
    np.testing.assert_allclose(targets[1, 2], expected[0:4, 4:8][:, ::-1].reshape(-1), rtol=1e-4, atol=1e-4)


def test_each_loss_is_about_one_without_information(photographs: Photographs) -> None:
    rows, straight = torch.arange(15), torch.zeros(15, dtype=torch.bool)
    losses = []
    for descriptions in (photographs.descriptions, None):
        torch.manual_seed(0)
        data = Photographs(photographs.pixels, photographs.identities, descriptions)
        identity_losses = IdentityLosses(data, width=8, patch=PATCH)
        assert (identity_losses.attributes is None) == (descriptions is None)
        losses.append(identity_losses(torch.zeros(15, 1 + 16, 8), rows, straight).item())
    assert losses[0] - losses[1] == pytest.approx(1, abs=0.4)


def test_losses_fall_for_tokens_that_encode_the_person(photographs: Photographs) -> None:
    """Each token has a random vector per person, from which a linear head can learn every target."""
    torch.manual_seed(0)
    rows = torch.arange(16)[torch.from_numpy(photographs.identities) < 5]
    identity_losses = IdentityLosses(photographs, width=64, patch=PATCH)
    tokens = torch.randn(6, 1 + 16, 64)[torch.from_numpy(photographs.identities)[rows]]
    straight = torch.zeros(len(rows), dtype=torch.bool)
    optimizer = torch.optim.Adam(identity_losses.parameters(), 0.02)
    attributes = identity_losses.attributes
    assert attributes is not None
    before = [identity_losses(tokens, rows, straight).item(), attributes(tokens, rows).item()]
    for _ in range(150):
        optimizer.zero_grad()
        identity_losses(tokens, rows, straight).backward()
        optimizer.step()
    after = [
        identity_losses(tokens, rows, straight).item(),
        attributes(identity_losses.norm(tokens), rows).item(),
    ]
    assert after[0] < 0.6 * before[0]
    assert after[1] < 0.05 * before[1]


def test_pairs_are_different_photographs_of_one_person(photographs: Photographs) -> None:
    pairs = PhotoPairs(photographs)
    for seed in range(20):
        rows, mirrored = pairs.sample(4, torch.Generator().manual_seed(seed))
        first, second = rows.chunk(2)
        persons = photographs.identities[first]
        assert (persons == photographs.identities[second]).all()
        assert (first != second).all()
        assert len(set(persons.tolist())) == 4
        assert 5 not in persons
        assert len(mirrored) == 8


def test_mirrored_image_is_flipped(photographs: Photographs) -> None:
    pairs = PhotoPairs(photographs)
    straight, mirrored = pairs.images(torch.tensor([3, 3]), torch.tensor([False, True]))
    assert torch.equal(straight.flip(2), mirrored)
    assert not torch.equal(straight, mirrored)


def test_contrastive_loss_is_the_mean_cross_entropy_of_rows_and_columns() -> None:
    logits = torch.tensor([[2.0, 0.0], [1.0, 3.0]])
    rows = -torch.log(torch.tensor([1 / (1 + np.exp(-2)), 1 / (1 + np.exp(-2))])).mean()
    columns = -torch.log(torch.tensor([1 / (1 + np.exp(-1)), 1 / (1 + np.exp(-3))])).mean()
    assert contrastive_loss(logits).item() == pytest.approx(float((rows + columns) / 2), rel=1e-5)
