"""Agreement of two face networks on the ranking."""

import json

import pytest
from fake_run import cell, column, finished_run, scores

from bench.analysis.comparison_table import compare
from bench.analysis.rank_agreement import MetricPairAgreement
from bench.report.formats.export import as_json
from bench.report.sections.rank_agreement import agreement_section
from bench.runs.finished_run import FinishedRun

METHODS = {"a": 0.1, "b": 0.3, "c": 0.5, "text-only": 0.0}


def run(signs: dict[str, float], conditioning_encoders: dict[str, list[str]] | None = None) -> FinishedRun:
    """Networks whose scores rise (1) or fall (-1) with the method's mean."""
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


def agreements(found: FinishedRun) -> list[MetricPairAgreement]:
    return compare(found).rank_agreements


def test_equal_rankings_have_tau_1_and_reversed_rankings_minus_1() -> None:
    (same,) = agreements(run({"sface": 1, "mine": 2}))
    assert (same.tau, same.separable, same.agreeing) == (1.0, 3, 3)
    (reversed_pair,) = agreements(run({"sface": 1, "mine": -1}))
    assert (reversed_pair.tau, reversed_pair.separable, reversed_pair.agreeing) == (-1.0, 3, 0)


def test_baselines_and_methods_with_overlap_are_left_out() -> None:
    (two,) = agreements(run({"sface": 1, "mine": 1}, conditioning_encoders={"b": ["mine"]}))
    assert two.methods == ("a", "c")


def test_encoder_of_whole_images_is_not_a_face_network() -> None:
    (two,) = agreements(run({"sface": 1, "dinov2": 1, "mine": 1}))
    assert (two.one.encoder, two.other.encoder) == ("sface", "mine")


def test_report_and_json_contain_the_agreement() -> None:
    found = compare(run({"sface": 1, "mine": 1}))
    line = agreement_section(found).splitlines()[-1]
    fields = [field.strip() for field in line.strip("|").split("|")]
    assert fields == ["identity (sface), identity (mine)", "3 of 3", "1.000", "3"]
    (record,) = json.loads(as_json(found))["agreement"]
    assert record["tau"] == pytest.approx(1.0)
    assert record["methods"] == ["a", "b", "c"]


def test_single_network_has_no_section() -> None:
    assert agreement_section(compare(run({"sface": 1}))) == ""
