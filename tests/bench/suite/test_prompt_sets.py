"""The built-in prompt sets: content, ids, slots, categories, grammar, and expected attributes."""

import hashlib
import json
import re
from collections import Counter
from pathlib import Path

import pytest
from safetensors import safe_open

from bench.errors import SuiteError
from bench.suite.prompt_sets import PROMPT_SETS, choose_prompts, prompt_set
from bench.suite.prompts import Prompt

FILLED = [name for name in PROMPT_SETS if prompt_set(name)]
REAL = {"person", "live", "object", "live-or-object"}
CATEGORIES = {
    "person": {"recontextualisation", "accessory", "style", "action", "expression", "attribute"},
    "live": {"recontextualisation", "accessory", "style", "action", "attribute"},
    "object": {"recontextualisation", "style", "action", "attribute"},
}
WORDS = {"front": "facing the camera", "left": "turned left", "right": "turned right"}
# An article, a possessive, a finite verb or a pronoun would not agree with every noun phrase.
DISAGREEING = re.compile(
    r"\b(a|an|the|this|his|her|its|their) \{subject\}|\{subject\}('s?| (is|are|has|have|was|were)\b)"
)
PRONOUNS = re.compile(r"\b(he|she|they|him|her|his|hers|them|their|its)\b")

CLASSIFIER = Path(__file__).parents[3] / "metrics" / "weights" / "attributes.safetensors"

each_set = pytest.mark.parametrize("prompts", [prompt_set(name) for name in FILLED], ids=FILLED)


@pytest.fixture(scope="module")
def attribute_classes() -> dict[str, list[str]]:
    """The classes of the shipped attribute classifier, read from its file."""
    with safe_open(CLASSIFIER, "np") as file:
        classes: dict[str, list[str]] = json.loads(file.metadata()["classes"])
    return classes


@pytest.mark.parametrize(
    ("name", "digest"),
    [
        ("portrait", "7d7dec570dba99da"),
        ("person", "5b75d361cc78320a"),
        ("live", "f50153b09c30e2d7"),
        ("object", "bca398791e25dbfd"),
        ("live-or-object", "cd7073ab5002d330"),
    ],
)
def test_prompts_are_those_of_the_published_results(name: str, digest: str) -> None:
    content = "\n".join(map(repr, prompt_set(name)))
    assert hashlib.sha256(content.encode()).hexdigest().startswith(digest)


@each_set
def test_ids_and_templates_are_unique(prompts: tuple[Prompt, ...]) -> None:
    templates = {" ".join(re.findall(r"\w+", prompt.template.lower())) for prompt in prompts}
    assert len({prompt.id for prompt in prompts}) == len(templates) == len(prompts)


@each_set
def test_every_template_has_one_slot(prompts: tuple[Prompt, ...]) -> None:
    for prompt in prompts:
        assert prompt.template.count("{subject}") == 1, prompt.id
        assert prompt.text("a man") != prompt.template


@each_set
def test_every_template_agrees_with_any_noun_phrase(prompts: tuple[Prompt, ...]) -> None:
    for prompt in prompts:
        assert not DISAGREEING.search(prompt.template), prompt.template
        assert not PRONOUNS.search(prompt.template), prompt.template
        assert not re.search(r"  |[.,]$|^\s|\s$", prompt.template), prompt.template
        # No template contains an exception such as `hour`.
        assert not re.search(r"\b(a [aeiou]|an [^aeiou])", prompt.template), prompt.template


@each_set
def test_expected_attributes_occur_in_the_template(prompts: tuple[Prompt, ...]) -> None:
    for prompt in prompts:
        for label, value in prompt.expected_attributes.items():
            assert WORDS.get(value, value) in prompt.template, (prompt.id, label)


@each_set
def test_expected_attributes_are_classes_of_the_classifier(
    prompts: tuple[Prompt, ...], attribute_classes: dict[str, list[str]]
) -> None:
    assert len(attribute_classes) > 5
    for prompt in prompts:
        for label, value in prompt.expected_attributes.items():
            assert value in attribute_classes[label], (prompt.id, label, value)


@pytest.mark.parametrize("name", sorted(CATEGORIES))
def test_categories_match_the_published_sets(name: str) -> None:
    prompts = prompt_set(name)
    counts = Counter(prompt.category for prompt in prompts)
    assert set(counts) == CATEGORIES[name]
    assert min(counts.values()) >= 5
    first = {prompt.category for prompt in prompts[: len(counts)]}
    assert first == set(counts), "the first prompts must cover every category"


def test_sets_have_the_sizes_used_in_the_suites() -> None:
    assert {name: len(prompt_set(name)) for name in REAL} == {
        "person": 36,
        "live": 25,
        "object": 25,
        "live-or-object": 50,
    }


def test_joint_set_has_as_many_prompts_for_animals_as_for_objects() -> None:
    kinds = [prompt.suits for prompt in prompt_set("live-or-object")]
    assert Counter(kinds) == {"live": 25, "object": 25}
    assert kinds[:4] == ["live", "object", "live", "object"]
    assert not {prompt.suits for name in ("person", "live", "object") for prompt in prompt_set(name)} - {""}


def test_person_live_and_object_share_no_template() -> None:
    templates = [prompt.template for name in CATEGORIES for prompt in prompt_set(name)]
    assert len(set(templates)) == len(templates) == 36 + 25 + 25


def test_unknown_sets_unknown_prompts_and_too_large_counts_are_refused() -> None:
    with pytest.raises(SuiteError, match="unknown prompt set 'persons'; did you mean 'person'"):
        choose_prompts("persons", count=None, ids=())
    with pytest.raises(
        SuiteError, match="unknown prompt 'harbor' in the set 'person'; did you mean 'harbour'"
    ):
        choose_prompts("person", count=None, ids=("harbor",))
    with pytest.raises(SuiteError, match="count = 37, the set 'person' has 36 prompts"):
        choose_prompts("person", count=37, ids=())
