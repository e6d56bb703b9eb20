"""Prompts and captions beyond the text encoder's last token."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pytest

from bench.errors import ExitStatus, SuiteError
from bench.runner.prompt_lengths import check_lengths
from bench.runs.fingerprint import FingerprintParts
from bench.runs.plan import Cell, Group
from bench.runs.task import GroupTask
from bench.subjects.identity import Identity, PhotoFile
from bench.suite.prompts import Prompt, class_prompts, recaption
from methods.errors import MethodError
from methods.interface import MethodBase
from methods.subject import Subject, Wording

LIMIT = 8


@dataclass(frozen=True)
class Worded(MethodBase):
    """A method with this phrase, which encodes the captions if it is `tuned`."""

    name: ClassVar[str] = "worded"
    own: str = ""
    tuned: bool = False

    def wording(self, subject: Subject) -> Wording:
        captions = tuple(photo.caption for photo in subject.references)
        return Wording(self.own or subject.phrase, captions if self.tuned else ())

    def fit(self, *_: Any, **__: Any) -> None:
        raise NotImplementedError

    load: Any = fit


class Silent(Worded):
    """A method without any text."""

    def wording(self, subject: Subject) -> None:  # type: ignore[override]
        return None


class Broken(Worded):
    """A method whose files are damaged."""

    def wording(self, subject: Subject) -> Wording:
        raise MethodError("no such file")


def excess(texts: Sequence[str]) -> list[dict[str, int]]:
    """One token per word, and one text encoder."""
    return [{"CLIP": max(0, len(text.split()) - LIMIT)} for text in texts]


def excess_of_two(texts: Sequence[str]) -> list[dict[str, int]]:
    """A second text encoder reads three words more."""
    limits = {"CLIP": LIMIT, "T5": LIMIT + 3}
    return [{name: max(0, len(text.split()) - most) for name, most in limits.items()} for text in texts]


def task(method: Any, templates: Sequence[str], caption: str = "{subject}", row: str = "m") -> GroupTask:
    who = Identity("ada", "woman", (PhotoFile(Path("01.jpg"), caption),), ())
    prompts = [Prompt(f"p{number}", template) for number, template in enumerate(templates)]
    cells = [Cell(row, "ada", prompt, 1, 0) for prompt in (*prompts, *class_prompts("a woman"))]
    parts = FingerprintParts({}, {}, {})
    return GroupTask(Group(row, "ada", tuple(cells)), who, method, parts, 1, 0, frozenset(), False)


def lines(method: Any, *templates: str, caption: str = "{subject}") -> list[str]:
    return check_lengths([task(method, templates, caption)], excess)


def test_texts_that_fit_are_not_mentioned() -> None:
    text = "one two three four five six"
    assert lines(Worded(tuned=True), f"{text} {{subject}}", caption=f"{{subject}} {text}") == []


def test_prompt_whose_end_is_cut_off_is_reported_with_its_rows() -> None:
    prompts = ["{subject}", "{subject} one two three four five six seven"]
    tasks = [task(Worded("sks old woman"), prompts, row="tuned"), task(Worded(), prompts, row="plain")]
    assert check_lengths([*tasks, task(Silent(), prompts, row="copy")], excess) == [
        "prompt 'p1': the text encoder cuts off the end, at most 2 tokens, which have no effect; "
        "rows: tuned, plain"
    ]


def test_prompt_that_only_the_phrase_of_one_row_makes_too_long_is_refused() -> None:
    prompt = "one two three four five six {subject}"
    assert lines(Worded(), prompt) == lines(Silent("a b c d"), prompt) == lines(Broken(), prompt) == []
    with pytest.raises(SuiteError, match="prompt 'p0': row m: the text encoder cuts off the subject, 1 tok"):
        lines(Worded("sks old woman"), prompt)


def test_text_that_another_encoder_reads_is_a_remark() -> None:
    words = "one two three four five six seven eight"
    late = check_lengths([task(Worded(), [f"{words} {{subject}}"])], excess_of_two)
    assert late == ["prompt 'p0': CLIP cuts off the end, at most 2 tokens, which T5 reads; rows: m"]
    both = check_lengths([task(Worded(), [f"{{subject}} {words} nine ten"])], excess_of_two)
    assert both == [
        "prompt 'p0': CLIP cuts off the end, at most 4 tokens and T5 cuts off the end, at most 1 tokens, "
        "which have no effect; rows: m"
    ]
    with pytest.raises(SuiteError, match="row m: all text encoders cut off the subject, 1 tokens too late"):
        check_lengths([task(Worded(), [f"{words} nine ten {{subject}}"])], excess_of_two)


def test_recaption_is_named_with_its_person() -> None:
    cell = Cell("m", "ada", recaption(1, "one two three four five six seven {subject}", {}), 1, 0)
    own = task(Worded(), [])
    with pytest.raises(SuiteError, match="prompt 'recaption-1' of ada: row m: the text encoder cuts off"):
        check_lengths([GroupTask(Group("m", "ada", (cell,)), *list(vars(own).values())[1:])], excess)


def test_captions_are_checked_where_a_fit_reads_them() -> None:
    long = "{subject} one two three four five six seven eight"
    assert lines(Worded(), "{subject}", caption=long) == []
    assert lines(Worded(tuned=True), "{subject}", caption=long) == [
        "01.jpg: the text encoder cuts off the end, at most 2 tokens, which have no effect; rows: m"
    ]
    with pytest.raises(SuiteError, match=r"01\.jpg: row m: the text encoder cuts off the subject"):
        lines(Worded(tuned=True), "{subject}", caption="one two three four five six seven eight {subject}")


def test_run_is_refused_before_its_first_image(
    bench: Callable[..., int], suite: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = suite.read_text().replace('path = "none"\nbatch = 4', 'path = "embedded"')
    suite.write_text(f'{text}\n[methods.many]\nbase = "textual-inversion"\nvectors = 50\n')
    assert (
        bench("run", "--suite", suite, "--methods", "text-only,many", "--out", "run")
        == ExitStatus.WRONG_INPUT
    )
    assert "row many: the text encoder cuts off the subject" in capsys.readouterr().err
    assert not list(Path("run").glob("*/*/*"))
