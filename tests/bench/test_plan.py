"""Cells, their seeds, and how they are chosen."""

from pathlib import Path

import pytest

from bench.errors import SuiteError
from bench.identities import Identity, PhotoFile
from bench.plan import Plan, fit_seed, make_plan, picture_seed
from bench.prompts import PROMPT_SETS, PromptCard

CARDS = (PromptCard("hat", "{subject} in a hat"), PromptCard("tie", "{subject} in a tie"))


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


@pytest.mark.parametrize("name", sorted(PROMPT_SETS))
def test_the_built_in_prompts_have_ids_of_their_own_and_ask_for_what_they_say(name: str) -> None:
    cards = PROMPT_SETS[name]
    assert len({card.id for card in cards}) == len({card.template for card in cards}) == len(cards)
    for card in cards:
        for label, value in card.asks.items():
            words = {"front": "facing the camera", "left": "turned left", "right": "turned right"}
            assert words.get(value, value) in card.template, (card.id, label)


@pytest.mark.parametrize("template", ["no slot", "{subject} and {subject}"])
def test_a_prompt_has_its_slot_once(template: str) -> None:
    with pytest.raises(SuiteError, match="must hold the slot"):
        PromptCard("x", template)
