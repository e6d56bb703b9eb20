"""What may be compared between two runs."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from fake_run import cell, column, finished_run, scores

from bench.analysis.across_runs.comparability import (
    common_ground,
    method_differences,
    run_differences,
    same_images,
)
from bench.errors import ReportError
from bench.runs.finished_run import Column, FinishedRun
from bench.runs.records.tables import REAL_SAME

IDENTITY = column("identity", "sface", weights="abc")
DIVERSITY = column("diversity", "lpips", weights="abc")
PEOPLE = ("ada", "bob")


def small_run(columns: Sequence[Column] = (IDENTITY,), **manifest: Any) -> FinishedRun:
    """Two people and two prompts, one method, and a score of one photograph of each person."""
    about = {who: {"origin": "faces", "noun": "woman"} for who in PEOPLE}
    rows = [
        row
        for found in columns
        for who in PEOPLE
        for label, values in (("tuned", [0.5, 0.6]), (REAL_SAME, [0.8]))
        for row in scores(found, label, who, values)
    ]
    cells = [
        cell("tuned", who, f"p{i}", run_fingerprint="r", picture="f") for who in PEOPLE for i in range(2)
    ]
    return finished_run(
        columns,
        cells,
        rows,
        people=about,
        **{"methods": {"tuned": {}}, "fingerprints": {"r": {"steps": "6"}}, **manifest},
    )


def test_equal_runs_have_everything_in_common() -> None:
    ground = common_ground(small_run(), small_run())
    assert (ground.methods, len(ground.places), ground.refused) == (("tuned",), 4, ())
    assert same_images(small_run(), small_run(), "tuned", ground) == (4, 4)


def test_metric_with_another_fingerprint_is_refused_with_both_values() -> None:
    other = small_run((replace(IDENTITY, fingerprint={"weights": "xyz"}), DIVERSITY))
    ground = common_ground(small_run((IDENTITY, DIVERSITY)), other)
    assert [c.title for c, _ in ground.columns] == ["diversity (lpips)"]
    assert [(c.title, c.reasons) for c in ground.refused] == [("identity (sface)", ("weights: abc / xyz",))]


def test_only_a_metric_with_another_fingerprint_in_common_ends_the_comparison() -> None:
    other = small_run((replace(IDENTITY, fingerprint={"weights": "xyz"}),))
    with pytest.raises(
        ReportError, match=r"identity \(sface\) differs in weights: abc / xyz; .*score RUN --overwrite"
    ):
        common_ground(small_run(), other)


def test_other_photographs_are_refused() -> None:
    run = small_run()
    rows = tuple(
        replace(row, value=0.7) if (row.method, row.identity) == (REAL_SAME, "bob") else row
        for row in run.scores
    )
    with pytest.raises(ReportError, match="the photographs of bob are not the same"):
        common_ground(run, replace(run, scores=rows))


def test_rounding_of_another_machine_is_no_other_photograph() -> None:
    run = small_run()
    rows = tuple(replace(row, value=(row.value or 0) + 1e-7) for row in run.scores)
    assert common_ground(run, replace(run, scores=rows)).columns


@pytest.mark.parametrize(("name", "value"), [("origin", "celeba"), ("noun", "man")])
def test_person_of_another_dataset_is_refused(name: str, value: str) -> None:
    run = small_run()
    people = {who: replace(about, **{name: value}) for who, about in run.people.items()}
    other = replace(run, manifest=replace(run.manifest, people=people))
    with pytest.raises(ReportError, match=f"ada is not the same: {name} .* / '{value}'"):
        common_ground(run, other)


def test_prompt_with_other_words_is_left_out() -> None:
    run = small_run()
    cells = tuple(replace(c, template="{subject} elsewhere") if c.prompt == "p1" else c for c in run.cells)
    ground = common_ground(run, replace(run, cells=cells))
    assert {prompt for _, prompt, _ in ground.places} == {"p0"}
    assert ground.other_words == 2
    cells = tuple(replace(c, template="{subject} elsewhere") for c in run.cells)
    with pytest.raises(ReportError, match="no common image"):
        common_ground(run, replace(run, cells=cells))


def test_no_common_method_or_person_is_refused() -> None:
    run = small_run()
    cells = tuple(replace(c, method="mine") for c in run.cells)
    with pytest.raises(ReportError, match="no common method: tuned / mine"):
        common_ground(run, replace(run, cells=cells))
    stranger = replace(run, manifest=replace(run.manifest, people={"zoe": run.people["ada"]}))
    with pytest.raises(ReportError, match="no common person: ada, bob / zoe"):
        common_ground(run, stranger)


def test_threshold_of_another_run_is_refused() -> None:
    run = small_run((IDENTITY, DIVERSITY))
    one = replace(run, calibration={"identity (sface)": {"threshold": 0.4}})
    other = replace(run, calibration={"identity (sface)": {"threshold": 0.5}})
    assert [c.title for c in common_ground(one, other).refused] == ["identity (sface)"]


def test_diversity_of_another_number_of_images_is_refused() -> None:
    run = small_run((IDENTITY, DIVERSITY))
    second = tuple(replace(c, cell=f"{c.cell}+", sample=2) for c in run.cells)
    ground = common_ground(run, replace(run, cells=run.cells + second))
    assert [c.title for c in ground.refused] == ["diversity (lpips)"]


def test_what_differs_is_named() -> None:
    parts = {"method": "M", "setting scale": "1", "code": "x"}
    one = small_run(methods={"tuned": {"fingerprint_parts": parts, "code": {"fit": "1", "load": "1"}}})
    changed = {**parts, "setting scale": "2", "code": "y"}
    other = small_run(
        seed=7,
        fingerprints={"r": {"steps": "30"}},
        methods={"tuned": {"fingerprint_parts": changed, "code": {"fit": "2", "load": "1"}}},
    )
    assert run_differences(one, other) == ["seed: 0 / 7", "steps: 6 / 30"]
    assert method_differences(one, other, "tuned") == ["code of fit", "setting scale: 1 / 2"]
