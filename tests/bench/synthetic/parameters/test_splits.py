"""The split of an identity follows from its seed."""

import pytest

from bench.synthetic.parameters.splits import FIRST_SEED, MAX_IDENTITIES, identity_seeds, split_of


@pytest.mark.parametrize("split", FIRST_SEED)
def test_every_seed_of_a_split_belongs_to_it(split: str) -> None:
    seeds = identity_seeds(split, MAX_IDENTITIES)  # type: ignore[arg-type]
    assert split_of(seeds[0]) == split_of(seeds[-1]) == split


@pytest.mark.parametrize("seed", [-1, 3_000_000])
def test_other_seeds_belong_to_no_split(seed: int) -> None:
    assert split_of(seed) is None
