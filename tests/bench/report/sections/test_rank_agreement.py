"""Two face networks over the same methods."""

import json

import pytest
from fake_run import cell, column, finished_run, scores

from bench.report.export import as_json
from bench.report.sections.rank_agreement import agreement, face_metric_pairs
from bench.runs.finished_run import FinishedRun

METHODS = {"a": 0.1, "b": 0.3, "c": 0.5, "text-only": 0.0}


def run(signs: dict[str, float], conditioning_encoders: dict[str, list[str]] | None = None) -> FinishedRun:
    """Judges whose scores rise (1) or fall (-1) with the method's mean."""
    people = [f"p{i}" for i in range(6)]
    columns = [column("identity", encoder) for encoder in signs]
    cells = [cell(m, who, "p0") for m in METHODS for who in people]
    rows = [
        row
        for c in columns
        for m, mean in METHODS.items()
        for i, who in enumerate(people)
        for row in scores(c, m, who, [signs[c.encoder] * mean + 0.01 * i])
    ]
    declared = {m: {"conditioning_encoders": (conditioning_encoders or {}).get(m, [])} for m in METHODS}
    return finished_run(columns, cells, rows, methods=declared)


def test_two_networks_that_agree_have_tau_1_and_that_disagree_minus_1() -> None:
    (same,) = face_metric_pairs(run({"sface": 1, "mine": 2}))
    assert (same.agreement.tau, same.agreement.low, same.agreement.high) == (1.0, 1.0, 1.0)
    (turned,) = face_metric_pairs(run({"sface": 1, "mine": -1}))
    assert turned.agreement.tau == -1.0


def test_baselines_and_leaking_methods_take_no_part() -> None:
    (two,) = face_metric_pairs(run({"sface": 1, "mine": 1}, conditioning_encoders={"b": ["mine"]}))
    assert two.methods == ("a", "c")


def test_a_network_that_sees_whole_pictures_is_no_judge_of_faces() -> None:
    (two,) = face_metric_pairs(run({"sface": 1, "dinov2": 1, "mine": 1}))
    assert (two.one.encoder, two.other.encoder) == ("sface", "mine")


def test_the_report_and_the_json_say_it() -> None:
    found = run({"sface": 1, "mine": 1})
    assert "| identity (sface), identity (mine) | 1.000 [1.000, 1.000] | 3 " in agreement(found)
    (said,) = json.loads(as_json(found))["agreement"]
    assert said["tau"] == pytest.approx(1.0)
    assert said["methods"] == ["a", "b", "c"]


def test_one_network_alone_has_nobody_to_agree_with() -> None:
    assert agreement(run({"sface": 1})) == ""
