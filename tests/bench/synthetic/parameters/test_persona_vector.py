"""The vector of a synthetic person's parameters."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from bench.synthetic.parameters.persona import Persona, sample_persona
from bench.synthetic.parameters.persona_vector import GROUPS, MAX_DEVIATIONS, describe

PEOPLE = [sample_persona(seed) for seed in range(60)]


def columns_of(group: str) -> slice:
    sizes = describe(PEOPLE).groups
    index = list(GROUPS).index(group)
    start = sum(sizes[:index])
    return slice(start, start + sizes[index])


def test_columns_are_standardised_and_divided_into_groups() -> None:
    described = describe(PEOPLE)
    assert sum(described.groups) == described.numbers.shape[1]
    assert np.abs(described.numbers).max() <= MAX_DEVIATIONS
    spreads = described.numbers.std(0)
    assert np.abs(described.numbers.mean(0)).max() < 0.2
    # 1, except for columns clipped at MAX_DEVIATIONS and constant columns.
    assert np.all((spreads < 1.01) & ((spreads > 0.7) | (spreads == 0)))


def test_every_local_shape_is_in_one_group() -> None:
    local = len(PEOPLE[0].amounts)
    shapes = ("nose", "chin", "cheek", "head", "outline", "brow", "eye", "mouth")
    others = {"brow": 7, "eye": 4, "mouth": 2}
    sizes = dict(zip(GROUPS, describe(PEOPLE).groups, strict=True))
    assert sum(sizes[group] - others.get(group, 0) for group in shapes) == local


def _other_nose(persona: Persona) -> Persona:
    amounts = {name: -value if name.startswith("nose") else value for name, value in persona.amounts.items()}
    return replace(persona, amounts=amounts)


@pytest.mark.parametrize(
    ("group", "changed"),
    [
        ("nose", _other_nose),
        ("brow", lambda persona: replace(persona, brows=replace(persona.brows, width=0.2))),
        ("style", lambda persona: replace(persona, volume=3.0)),
        ("skin", lambda persona: replace(persona, skin_tone=6.0)),
    ],
)
def test_changed_trait_changes_only_its_group(group: str, changed: object) -> None:
    assert callable(changed)
    before = describe(PEOPLE).numbers[1:]
    after = describe([PEOPLE[0], changed(PEOPLE[0]), *PEOPLE[1:]]).numbers
    moved = np.abs(after[1] - after[0]) > 1e-6
    assert moved[columns_of(group)].any()
    assert moved.sum() == moved[columns_of(group)].sum()
    assert before.shape[1] == after.shape[1]


def test_side_of_the_parting_is_left_out() -> None:
    persona = PEOPLE[0]
    pair = describe([persona, replace(persona, parting=-1 if persona.parting == 1 else 1)]).numbers
    assert np.array_equal(pair[0], pair[1])
