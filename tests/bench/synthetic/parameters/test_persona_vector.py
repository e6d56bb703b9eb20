"""What the U-Net is told of a synthetic person besides the captions."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from bench.synthetic.parameters.persona import Persona, sample_persona
from bench.synthetic.parameters.persona_vector import FARTHEST, GROUPS, describe

PEOPLE = [sample_persona(seed) for seed in range(60)]


def columns_of(group: str) -> slice:
    sizes = describe(PEOPLE).groups
    place = list(GROUPS).index(group)
    start = sum(sizes[:place])
    return slice(start, start + sizes[place])


def test_columns_have_mean_0_and_deviation_1_and_the_groups_cover_them() -> None:
    described = describe(PEOPLE)
    assert sum(described.groups) == described.numbers.shape[1]
    assert np.abs(described.numbers).max() <= FARTHEST
    spreads = described.numbers.std(0)
    assert np.abs(described.numbers.mean(0)).max() < 0.2
    # 1 but for what is cut off at FARTHEST, and for traits that nobody here has.
    assert np.all((spreads < 1.01) & ((spreads > 0.7) | (spreads == 0)))


def test_every_local_shape_is_in_one_group() -> None:
    local = len(PEOPLE[0].amounts)
    shapes = ("nose", "chin", "cheek", "head", "outline", "brow", "eye", "mouth")
    others = {"brow": 7, "eye": 4, "mouth": 2}
    sizes = dict(zip(GROUPS, describe(PEOPLE).groups, strict=True))
    assert sum(sizes[group] - others.get(group, 0) for group in shapes) == local


def _other_nose(who: Persona) -> Persona:
    amounts = {name: -value if name.startswith("nose") else value for name, value in who.amounts.items()}
    return replace(who, amounts=amounts)


@pytest.mark.parametrize(
    ("group", "changed"),
    [
        ("nose", _other_nose),
        ("brow", lambda who: replace(who, brows=replace(who.brows, width=0.2))),
        ("style", lambda who: replace(who, volume=3.0)),
        ("skin", lambda who: replace(who, skin_tone=6.0)),
    ],
)
def test_a_changed_trait_shows_in_its_group_alone(group: str, changed: object) -> None:
    assert callable(changed)
    before = describe(PEOPLE).numbers[1:]
    after = describe([PEOPLE[0], changed(PEOPLE[0]), *PEOPLE[1:]]).numbers
    moved = np.abs(after[1] - after[0]) > 1e-6
    assert moved[columns_of(group)].any()
    assert moved.sum() == moved[columns_of(group)].sum()
    assert before.shape[1] == after.shape[1]


def test_the_parting_is_not_told_as_a_mirror_would_turn_it() -> None:
    who = PEOPLE[0]
    pair = describe([who, replace(who, parting=-1 if who.parting == 1 else 1)]).numbers
    assert np.array_equal(pair[0], pair[1])
