"""Prompts and captions beyond the text encoder's last token."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from bench.errors import DatasetError, SuiteError
from bench.runner.prompt_lengths import check_lengths
from bench.runs.plan import Cell
from bench.subjects.identity import Identity, PhotoFile
from bench.suite.prompts import Prompt, class_prompts

LIMIT = 8


def excess(texts: Sequence[str]) -> list[int]:
    """One token per word."""
    return [max(0, len(text.split()) - LIMIT) for text in texts]


def person(caption: str = "{subject}") -> Identity:
    return Identity("ada", "woman", (PhotoFile(Path("01.jpg"), caption),), ())


def lines(*templates: str, caption: str = "{subject}") -> list[str]:
    prompts = [Prompt(f"p{number}", template) for number, template in enumerate(templates)]
    cells = [Cell("m", "ada", prompt, 1, 0) for prompt in (*prompts, *class_prompts("a woman"))]
    return check_lengths(cells, [person(caption)], excess)


def test_texts_that_fit_are_not_mentioned() -> None:
    text = "one two three four five six"
    assert lines(f"{text} {{subject}}", caption=f"{{subject}} {text}") == []


def test_prompt_whose_end_is_cut_off_is_reported() -> None:
    assert lines("{subject}", "{subject} one two three four five six seven") == [
        "prompt 'p1': the text encoder cuts off the last 1 tokens, which have no effect"
    ]


def test_prompt_whose_subject_is_cut_off_is_refused() -> None:
    with pytest.raises(SuiteError, match="prompt 'p0': the text encoder cuts off the subject, 1 tokens"):
        lines("one two three four five six seven {subject}")


def test_captions_of_references_are_checked_alike() -> None:
    assert lines("{subject}", caption="{subject} one two three four five six seven eight") == [
        "the text encoder cuts off the end of 1 captions of references, first 01.jpg (2 tokens)"
    ]
    with pytest.raises(DatasetError, match=r"01\.jpg: the text encoder cuts off the subject"):
        lines("{subject}", caption="one two three four five six seven eight {subject}")
