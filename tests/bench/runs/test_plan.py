"""Cells, their seeds, and how they are chosen."""

from pathlib import Path

import pytest

from bench.errors import SuiteError
from bench.runs.plan import Plan, fit_seed, make_plan, picture_seed
from bench.subjects.identity import Identity, PhotoFile
from bench.suite.prompts import Prompt

CARDS = (Prompt("hat", "{subject} in a hat"), Prompt("tie", "{subject} in a tie"))


def person(name: str) -> Identity:
    return Identity(name, "man", (), (PhotoFile(Path("x.png"), "{subject}, " + name),))


def plan(methods: tuple[str, ...] = ("a", "b"), samples: int = 2) -> Plan:
    return make_plan(methods, [person("ada"), person("bob")], CARDS, recaptions=1, samples=samples, seed=3)


def seeds(plan: Plan) -> dict[str, int]:
    return {cell.id: cell.seed for cell in plan.cells}


def test_every_method_starts_from_the_same_noise() -> None:
    by_place: dict[str, set[int]] = {}
    for cell in plan().cells:
        by_place.setdefault(cell.id.partition("/")[2], set()).add(cell.seed)
    assert all(len(found) == 1 for found in by_place.values())
    assert len({next(iter(found)) for found in by_place.values()}) == len(by_place) == 12


def test_adding_a_method_or_a_sample_changes_nobodys_seed() -> None:
    small, large = seeds(plan(("b",), samples=1)), seeds(plan(("a", "b", "c"), samples=5))
    assert small.items() <= large.items()


def test_seeds_are_frozen() -> None:
    # A change here would change every picture of every run.
    assert picture_seed(0, "ada", "hat", 1) == 3331802225
    assert fit_seed(0, "ada") == 915390102


def test_a_recaption_is_the_persons_own() -> None:
    templates = {c.identity: c.prompt.template for c in plan().cells if c.prompt.category == "recaption"}
    assert templates == {"ada": "{subject}, ada", "bob": "{subject}, bob"}


def test_a_glob_chooses_cells_and_the_groups_stay_whole() -> None:
    chosen = plan().only("b/*/hat/s1")
    assert [cell.id for cell in chosen.chosen] == ["b/ada/hat/s1", "b/bob/hat/s1"]
    assert chosen.groups == plan().groups


def test_a_glob_without_a_match_says_what_a_cell_is_called() -> None:
    with pytest.raises(SuiteError, match="a cell is called a/ada/hat/s1"):
        plan().only("nothing")


def test_a_card_for_another_kind_of_subject_is_left_out() -> None:
    cards = (*CARDS, Prompt("cave", "{subject} in a cave", suits="live"))
    dog = Identity("rex", "dog", (), person("rex").held_out, {"kind": "live"})
    made = make_plan(("a",), (person("ada"), dog), cards, recaptions=0, samples=1, seed=0)
    prompts = {group.identity: [cell.prompt.id for cell in group.cells] for group in made.groups}
    assert prompts == {"ada": ["hat", "tie"], "rex": ["hat", "tie", "cave"]}


def test_a_subject_whom_no_card_suits_is_refused() -> None:
    cards = (Prompt("cave", "{subject} in a cave", suits="live"),)
    with pytest.raises(SuiteError, match="ada: its kind is '', the prompts suit live; choose another set"):
        make_plan(("a",), (person("ada"),), cards, recaptions=1, samples=1, seed=0)


@pytest.mark.parametrize("template", ["no slot", "{subject} and {subject}"])
def test_a_prompt_has_its_slot_once(template: str) -> None:
    with pytest.raises(SuiteError, match="must contain the slot"):
        Prompt("x", template)
