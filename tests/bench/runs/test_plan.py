"""Cells, seeds and selection of a plan."""

from pathlib import Path

import pytest

from bench.errors import SuiteError
from bench.runs.plan import ImageCounts, Plan, fit_seed, image_seed, make_plan
from bench.subjects.identity import Identity, PhotoFile
from bench.suite.prompts import Prompt

PROMPTS = (Prompt("hat", "{subject} in a hat"), Prompt("tie", "{subject} in a tie"))


def person(name: str) -> Identity:
    return Identity(name, "man", (), (PhotoFile(Path("x.png"), "{subject}, " + name),))


def plan(methods: tuple[str, ...] = ("a", "b"), samples: int = 2) -> Plan:
    return make_plan(
        methods, [person("ada"), person("bob")], PROMPTS, ImageCounts(samples, recaptions=1), seed=3
    )


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


def test_every_fit_has_its_own_seed_and_samples() -> None:
    two = make_plan(("a",), [person("ada")], PROMPTS, ImageCounts(2, fits=2, priors=4), seed=3)
    assert [(group.identity, group.fit) for group in two.groups] == [("ada", 1), ("ada", 2)]
    ids = [[cell.id.removeprefix("a/ada/") for cell in group.cells] for group in two.groups]
    assert ids[0][:4] == ["hat/s1", "hat/s2", "tie/s1", "tie/s2"]
    assert ids[1][:4] == ["hat/s3", "hat/s4", "tie/s3", "tie/s4"]
    assert ids[1][4:] == ["prior/s3", "prior/s4", "prior-green/s2", "prior-close-up/s2"]
    assert {cell.fit for cell in two.groups[1].cells} == {2}
    assert fit_seed(0, "ada", 2) != fit_seed(0, "ada") == fit_seed(0, "ada", 1)


def test_another_fit_changes_no_planned_image() -> None:
    one, two = (
        make_plan(("a",), [person("ada")], PROMPTS, ImageCounts(2, fits, 1), seed=3) for fits in (1, 2)
    )
    assert seeds(one).items() < seeds(two).items()


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
    made = make_plan(("a",), (person("ada"), dog), prompts, ImageCounts(), seed=0)
    ids = {group.identity: [cell.prompt.id for cell in group.cells] for group in made.groups}
    assert ids == {"ada": ["hat", "tie"], "rex": ["hat", "tie", "cave"]}


def test_subject_without_a_suitable_prompt_is_refused() -> None:
    prompts = (Prompt("cave", "{subject} in a cave", suits="live"),)
    with pytest.raises(SuiteError, match="ada: its kind is '', the prompts suit live; choose another set"):
        make_plan(("a",), (person("ada"),), prompts, ImageCounts(recaptions=1), seed=0)


@pytest.mark.parametrize("template", ["no slot", "{subject} and {subject}"])
def test_prompt_contains_the_slot_once(template: str) -> None:
    with pytest.raises(SuiteError, match="must contain the slot"):
        Prompt("x", template)
