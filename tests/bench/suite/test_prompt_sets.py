"""The built-in prompt sets: their ids, slots, categories, grammar, and what they ask of the classifier."""

import json
import re
from collections import Counter
from pathlib import Path

import pytest
from safetensors import safe_open

from bench.errors import SuiteError
from bench.suite.prompt_sets import PROMPT_SETS, choose_prompts
from bench.suite.prompts import Prompt

FILLED = {name: cards for name, cards in PROMPT_SETS.items() if cards}
REAL = {"person", "live", "object", "live-or-object"}
CATEGORIES = {
    "person": {"recontextualisation", "accessory", "style", "action", "expression", "attribute"},
    "live": {"recontextualisation", "accessory", "style", "action", "attribute"},
    "object": {"recontextualisation", "style", "action", "attribute"},
}
WORDS = {"front": "facing the camera", "left": "turned left", "right": "turned right"}
# An article, a possessive, a finite verb or a pronoun would not agree with every noun phrase.
BESIDE = re.compile(
    r"\b(a|an|the|this|his|her|its|their) \{subject\}|\{subject\}('s?| (is|are|has|have|was|were)\b)"
)
PRONOUNS = re.compile(r"\b(he|she|they|him|her|his|hers|them|their|its)\b")

CLASSIFIER = Path(__file__).parents[3] / "metrics" / "weights" / "attributes.safetensors"

each_set = pytest.mark.parametrize("cards", FILLED.values(), ids=FILLED.keys())


@pytest.fixture(scope="module")
def attribute_classes() -> dict[str, list[str]]:
    """What the shipped attribute classifier can tell apart, by its own file."""
    with safe_open(CLASSIFIER, "np") as file:
        classes: dict[str, list[str]] = json.loads(file.metadata()["classes"])
    return classes


@each_set
def test_no_two_cards_share_an_id_or_a_template(cards: tuple[Prompt, ...]) -> None:
    templates = {" ".join(re.findall(r"\w+", card.template.lower())) for card in cards}
    assert len({card.id for card in cards}) == len(templates) == len(cards)


@each_set
def test_every_card_names_its_subject_once(cards: tuple[Prompt, ...]) -> None:
    for card in cards:
        assert card.template.count("{subject}") == 1, card.id
        assert card.text("a man") != card.template


@each_set
def test_every_template_reads_well_with_any_noun_phrase(cards: tuple[Prompt, ...]) -> None:
    for card in cards:
        assert not BESIDE.search(card.template), card.template
        assert not PRONOUNS.search(card.template), card.template
        assert not re.search(r"  |[.,]$|^\s|\s$", card.template), card.template
        # No template has one of the exceptions, such as `hour`.
        assert not re.search(r"\b(a [aeiou]|an [^aeiou])", card.template), card.template


@each_set
def test_what_a_card_asks_for_stands_in_its_words(cards: tuple[Prompt, ...]) -> None:
    for card in cards:
        for label, value in card.expected_attributes.items():
            assert WORDS.get(value, value) in card.template, (card.id, label)


@each_set
def test_the_attribute_classifier_knows_everything_that_is_asked(
    cards: tuple[Prompt, ...], attribute_classes: dict[str, list[str]]
) -> None:
    assert len(attribute_classes) > 5
    for card in cards:
        for label, value in card.expected_attributes.items():
            assert value in attribute_classes[label], (card.id, label, value)


@pytest.mark.parametrize("name", sorted(CATEGORIES))
def test_the_categories_are_those_of_the_published_sets(name: str) -> None:
    cards = PROMPT_SETS[name]
    counts = Counter(card.category for card in cards)
    assert set(counts) == CATEGORIES[name]
    assert min(counts.values()) >= 5
    first = {card.category for card in cards[: len(counts)]}
    assert first == set(counts), "the first cards cover every category"


def test_the_sets_have_the_sizes_that_the_suites_count_with() -> None:
    assert {name: len(PROMPT_SETS[name]) for name in REAL} == {
        "person": 36,
        "live": 25,
        "object": 25,
        "live-or-object": 50,
    }


def test_animals_and_objects_get_as_many_cards_of_the_joint_set() -> None:
    kinds = [card.suits for card in PROMPT_SETS["live-or-object"]]
    assert Counter(kinds) == {"live": 25, "object": 25}
    assert kinds[:4] == ["live", "object", "live", "object"]
    assert not {card.suits for name in ("person", "live", "object") for card in PROMPT_SETS[name]} - {""}


def test_persons_animals_and_objects_share_no_prompt() -> None:
    templates = [card.template for name in CATEGORIES for card in PROMPT_SETS[name]]
    assert len(set(templates)) == len(templates) == 36 + 25 + 25


def test_an_unknown_set_an_unknown_card_and_too_many_are_refused() -> None:
    with pytest.raises(SuiteError, match="unknown prompt set 'persons'; did you mean 'person'"):
        choose_prompts("persons", count=None, ids=())
    with pytest.raises(
        SuiteError, match="unknown prompt 'harbor' in the set 'person'; did you mean 'harbour'"
    ):
        choose_prompts("person", count=None, ids=("harbor",))
    with pytest.raises(SuiteError, match="count = 37, the set 'person' holds 36"):
        choose_prompts("person", count=37, ids=())
