"""Cells, seeds and selection of a plan."""

from pathlib import Path

import pytest

from bench.errors import SuiteError
from bench.runs.plan import Plan, fit_seed, image_seed, make_plan
from bench.subjects.identity import Identity, PhotoFile
from bench.suite.prompts import Prompt

PROMPTS = (Prompt("hat", "{subject} in a hat"), Prompt("tie", "{subject} in a tie"))


def person(name: str) -> Identity:
    return Identity(name, "man", (), (PhotoFile(Path("x.png"), "{subject}, " + name),))


def plan(methods: tuple[str, ...] = ("a", "b"), samples: int = 2) -> Plan:
    return make_plan(methods, [person("ada"), person("bob")], PROMPTS, recaptions=1, samples=samples, seed=3)


def seeds(plan: Plan) -> dict[str, int]:
    return {cell.id: cell.seed for cell in plan.cells}


def test_all_methods_start_from_the_same_noise() -> None:
    by_cell: dict[str, set[int]] = {}
    for cell in plan().cells:
        by_cell.setdefault(cell.id.partition("/")[2], set()).add(cell.seed)
    assert all(len(found) == 1 for found in by_cell.values())
    assert len({next(iter(found)) for found in by_cell.values()}) == len(by_cell) == 12


def test_adding_a_method_or_a_sample_changes_no_seed() -> None:
    small, large = seeds(plan(("b",), samples=1)), seeds(plan(("a", "b", "c"), samples=5))
    assert small.items() <= large.items()


def test_seeds_are_frozen() -> None:
    # A change here would change every image of every run.
    assert image_seed(0, "ada", "hat", 1) == 3331802225
    assert fit_seed(0, "ada") == 915390102


def test_recaption_is_the_caption_of_the_same_person() -> None:
    templates = {c.identity: c.prompt.template for c in plan().cells if c.prompt.category == "recaption"}
    assert templates == {"ada": "{subject}, ada", "bob": "{subject}, bob"}


def test_glob_selects_cells_and_keeps_whole_groups() -> None:
    part = plan().only("b/*/hat/s1")
    assert [cell.id for cell in part.selected] == ["b/ada/hat/s1", "b/bob/hat/s1"]
    assert part.groups == plan().groups


def test_glob_without_a_match_is_refused_with_an_example() -> None:
    with pytest.raises(SuiteError, match="the first is a/ada/hat/s1"):
        plan().only("nothing")


def test_prompt_for_another_kind_of_subject_is_left_out() -> None:
    prompts = (*PROMPTS, Prompt("cave", "{subject} in a cave", suits="live"))
    dog = Identity("rex", "dog", (), person("rex").held_out, {"kind": "live"})
    made = make_plan(("a",), (person("ada"), dog), prompts, recaptions=0, samples=1, seed=0)
    ids = {group.identity: [cell.prompt.id for cell in group.cells] for group in made.groups}
    assert ids == {"ada": ["hat", "tie"], "rex": ["hat", "tie", "cave"]}


def test_subject_without_a_suitable_prompt_is_refused() -> None:
    prompts = (Prompt("cave", "{subject} in a cave", suits="live"),)
    with pytest.raises(SuiteError, match="ada: its kind is '', the prompts suit live; choose another set"):
        make_plan(("a",), (person("ada"),), prompts, recaptions=1, samples=1, seed=0)


@pytest.mark.parametrize("template", ["no slot", "{subject} and {subject}"])
def test_prompt_contains_the_slot_once(template: str) -> None:
    with pytest.raises(SuiteError, match="must contain the slot"):
        Prompt("x", template)
