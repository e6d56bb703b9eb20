"""Which images a study compares."""

import json
from collections import Counter
from dataclasses import replace

import pytest
from known_run import METHODS

from bench.errors import ReportError, SuiteError
from bench.runs.finished_run import FinishedRun
from bench.votes.study import make_study, read_studies, write_study

ALL = 1000


def test_seed_decides_and_nothing_else(run: FinishedRun) -> None:
    assert make_study(run, (), 40, 3) == make_study(run, (), 40, 3)
    assert make_study(run, (), 40, 3) != make_study(run, (), 40, 4)
    assert make_study(run, (), 40, 3) == make_study(run, METHODS[::-1], 40, 3)


def test_every_two_methods_are_compared_equally_often_on_both_sides(run: FinishedRun) -> None:
    study = make_study(run, (), 50, 0)
    pairs = Counter(frozenset((c.left, c.right)) for c in study.comparisons)
    assert set(pairs.values()) == {5}
    assert len(pairs) == 10
    sides = Counter(c.left for c in make_study(run, ("tuned", "leaky"), ALL, 0).comparisons)
    assert set(sides) == {"tuned", "leaky"}
    assert min(sides.values()) > 3
    assert len(set(study.comparisons)) == 50
    # The order of the page is not that of the pairs of methods.
    first = [frozenset((c.left, c.right)) for c in study.comparisons[:10]]
    assert len(set(first)) < 10


def test_images_of_one_comparison_have_person_prompt_and_sample_in_common(run: FinishedRun) -> None:
    shown = {(c.method, c.identity, c.prompt, c.sample) for c in run.cells if c.category != "prior"}
    for c in make_study(run, (), ALL, 0).comparisons:
        assert {(c.left, c.person, c.prompt, c.sample), (c.right, c.person, c.prompt, c.sample)} <= shown


def test_failed_and_black_images_are_never_shown_and_counted(run: FinishedRun) -> None:
    study = make_study(run, (), ALL, 0)
    assert study.left_out == {"tuned": 1, "close": 1}
    lost = {("tuned", "ada", "p0"), ("close", "bob", "p1")}
    assert not {(m, c.person, c.prompt) for c in study.comparisons for m in (c.left, c.right)} & lost
    assert len(study.comparisons) == 10 * 18 - 8


def test_unknown_and_single_methods_are_refused(run: FinishedRun) -> None:
    with pytest.raises(SuiteError, match="no row 'tuned1'; did you mean 'tuned'"):
        make_study(run, ("tuned1", "close"), 5, 0)
    with pytest.raises(SuiteError, match="at least two methods; found tuned, tuned"):
        make_study(run, ("tuned", "tuned"), 5, 0)


def test_study_is_read_back_while_its_images_are_the_same(run: FinishedRun) -> None:
    study = make_study(run, (), 9, 0)
    path = write_study(run.path, study)
    assert read_studies(run) == {study.id: study}
    others = replace(run, cells=tuple(replace(cell, picture="new") for cell in run.cells))
    assert read_studies(others) == {}
    content = json.loads(path.read_text())
    content["comparisons"][0]["left"], content["comparisons"][0]["right"] = (
        content["comparisons"][0]["right"],
        content["comparisons"][0]["left"],
    )
    path.write_text(json.dumps(content))
    with pytest.raises(ReportError, match="the study has been changed"):
        read_studies(run)
    path.write_text("{}")
    with pytest.raises(ReportError, match="the key 'run' is missing; the study is damaged"):
        read_studies(run)
