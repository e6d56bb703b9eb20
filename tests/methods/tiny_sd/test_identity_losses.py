"""What the vision tower is taught of a person: the mean of the other photographs, and the numbers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from bench.synthetic.parameters.persona_vector import Descriptions
from methods.tiny_sd.contrastive_pairs import Pairs, contrast
from methods.tiny_sd.identity_losses import VARIANCE_FLOOR, IdentityLosses, MeanPhotographs

PATCH = 4


@dataclass(frozen=True)
class Photographs:
    """Three photographs of each of five persons, in no order, 16 px; and one of a sixth."""

    pixels: NDArray[np.uint8]
    identities: NDArray[np.int64]
    descriptions: Descriptions | None

    def caption(self, row: int, rng: np.random.Generator, *, mirrored: bool) -> str:
        raise NotImplementedError

    def template(self, row: int, *, mirrored: bool) -> str:
        raise NotImplementedError

    def noun(self, row: int) -> str:
        raise NotImplementedError


@pytest.fixture
def photographs() -> Photographs:
    rng = np.random.default_rng(0)
    identities = rng.permutation(np.array([*[0, 1, 2, 3, 4] * 3, 5]))
    pixels = rng.integers(0, 256, (16, 16, 16, 3), dtype=np.uint8)
    numbers = rng.normal(size=(6, 7)).astype(np.float32)[identities]
    return Photographs(pixels, identities, Descriptions(numbers, (7,)))


def test_a_photograph_is_never_part_of_the_mean_that_it_is_to_tell(photographs: Photographs) -> None:
    means = MeanPhotographs(photographs, PATCH)
    row = int(np.flatnonzero(photographs.identities == 2)[1])
    told = means.of_others(torch.tensor([row, row]), torch.tensor([False, True]))
    mates = [r for r in np.flatnonzero(photographs.identities == 2) if r != row]
    everybody = np.stack([photographs.pixels[photographs.identities == who].mean(0) for who in range(6)])
    wanted = photographs.pixels[mates].mean(0) - everybody.mean(0)
    wanted = wanted / (everybody.std(0, ddof=1) + VARIANCE_FLOOR)
    upper_second = wanted[0:4, 4:8].reshape(-1)
    np.testing.assert_allclose(told[0, 1], upper_second, rtol=1e-4, atol=1e-4)
    # Mirrored, the second patch of a row of four shows what the third did.
    np.testing.assert_allclose(told[1, 2], wanted[0:4, 4:8][:, ::-1].reshape(-1), rtol=1e-4, atol=1e-4)


def test_whoever_knows_nothing_loses_about_one_for_each_thing_to_tell(photographs: Photographs) -> None:
    rows, straight = torch.arange(15), torch.zeros(15, dtype=torch.bool)
    losses = []
    for told in (photographs.descriptions, None):
        torch.manual_seed(0)
        seen = Photographs(photographs.pixels, photographs.identities, told)
        portrait = IdentityLosses(seen, width=8, patch=PATCH)
        assert (portrait.numbers is None) == (told is None)
        losses.append(portrait(torch.zeros(15, 1 + 16, 8), rows, straight).item())
    assert losses[0] - losses[1] == pytest.approx(1, abs=0.4)


def test_tokens_that_tell_the_person_lose_little(photographs: Photographs) -> None:
    """Each place has a direction for each person: what a linear head can read, it learns to read."""
    torch.manual_seed(0)
    rows = torch.arange(16)[torch.from_numpy(photographs.identities) < 5]
    portrait = IdentityLosses(photographs, width=64, patch=PATCH)
    tokens = torch.randn(6, 1 + 16, 64)[torch.from_numpy(photographs.identities)[rows]]
    straight = torch.zeros(len(rows), dtype=torch.bool)
    optimizer = torch.optim.Adam(portrait.parameters(), 0.02)
    numbers = portrait.numbers
    assert numbers is not None
    before = [portrait(tokens, rows, straight).item(), numbers(tokens, rows).item()]
    for _ in range(150):
        optimizer.zero_grad()
        portrait(tokens, rows, straight).backward()
        optimizer.step()
    after = [portrait(tokens, rows, straight).item(), numbers(portrait.norm(tokens), rows).item()]
    assert after[0] < 0.6 * before[0]
    assert after[1] < 0.05 * before[1]


def test_pairs_are_two_photographs_of_one_person_who_has_two(photographs: Photographs) -> None:
    pairs = Pairs(photographs)
    for seed in range(20):
        rows, mirrored = pairs.sample(4, torch.Generator().manual_seed(seed))
        first, second = rows.chunk(2)
        who = photographs.identities[first]
        assert (who == photographs.identities[second]).all()
        assert (first != second).all()
        assert len(set(who.tolist())) == 4
        assert 5 not in who
        assert len(mirrored) == 8


def test_a_mirrored_picture_is_the_picture_mirrored(photographs: Photographs) -> None:
    pairs = Pairs(photographs)
    straight, mirrored = pairs.pictures(torch.tensor([3, 3]), torch.tensor([False, True]))
    assert torch.equal(straight.flip(2), mirrored)
    assert not torch.equal(straight, mirrored)


def test_contrast_is_the_chance_of_the_wrong_row_and_column() -> None:
    logits = torch.tensor([[2.0, 0.0], [1.0, 3.0]])
    rows = -torch.log(torch.tensor([1 / (1 + np.exp(-2)), 1 / (1 + np.exp(-2))])).mean()
    columns = -torch.log(torch.tensor([1 / (1 + np.exp(-1)), 1 / (1 + np.exp(-3))])).mean()
    assert contrast(logits).item() == pytest.approx(float((rows + columns) / 2), rel=1e-5)
