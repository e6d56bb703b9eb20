"""Scoring of a whole run folder: what metrics receive, and what the files contain."""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest

from bench.atomic_io import read_json
from bench.runs.finished_run import read_run
from bench.runs.no_effect import methods_without_effect
from bench.runs.records.tables import REAL_OTHER, REAL_SAME, REAL_SET_SAME
from bench.scoring.samples import EvaluationSample, in_parts
from bench.suite.prompts import PRIOR

Bench = Callable[..., int]
FAKE = "fake_method:FakeMethod"


def run_with(bench: Bench, suite: Path, metrics: str, methods: str) -> Path:
    """A run of the fake method, and of a row called text-only that generates the same images."""
    text = suite.read_text().replace("recaptions = 1", "recaptions = 1\npriors = 1")
    text = text.replace('"fake_metrics:Gap"]', f'"fake_metrics:Gap", {metrics}]')
    suite.write_text(text + f'\n[methods.text-only]\nlike = "{FAKE}"\npause = 0.001\n')
    assert bench("run", "--suite", suite, "--methods", methods, "--out", "run") == 0
    return Path("run")


def test_subject_images_are_compared_with_those_of_the_backbone(bench: Bench, suite: Path) -> None:
    folder = run_with(bench, suite, '"disruption@efficientnet-lite0"', f"text-only,{FAKE}")
    run = read_run(folder)
    rows = [row for row in run.scores if row.metric == "disruption"]
    generated = [row for row in rows if row.method == FAKE]
    assert PRIOR not in {row.category for row in generated}
    assert {row.value for row in generated} == {0.0}
    assert methods_without_effect(run.scores, run.floor) == [FAKE]
    real = [row for row in rows if row.method in (REAL_SAME, REAL_OTHER)]
    assert {(row.value, row.reason) for row in real} == {(None, "no image of the backbone to compare with")}


def test_without_the_row_of_the_backbone_there_is_a_reason(bench: Bench, suite: Path) -> None:
    run = read_run(run_with(bench, suite, '"disruption@efficientnet-lite0"', FAKE))
    found = {row.reason for row in run.scores if row.metric == "disruption"}
    assert found == {"no image of the backbone to compare with"}
    assert methods_without_effect(run.scores, run.floor) == []


def test_what_metrics_derive_from_real_photos_is_stored(bench: Bench, suite: Path) -> None:
    folder = run_with(bench, suite, '"fake_metrics:Calibrated"', FAKE)
    assert read_json(folder / "metrics.json")["calibration"] == {
        "calibrated (fake-eye)": {"photos": 9, "rate": None}
    }


def test_real_photos_of_the_runs_people_are_a_row_of_the_sets(run_folder: Path) -> None:
    rows = [row for row in read_run(run_folder).sets if row.method == REAL_SET_SAME]
    assert [row.left_out for row in rows] == ["", "ada", "bob", "cleo"]
    assert {row.n for row in read_run(run_folder).sets if not row.left_out} == {rows[0].n}


def test_scores_are_equal_if_people_are_scored_one_by_one(
    bench: Bench, suite: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = run_with(bench, suite, '"diversity@efficientnet-lite0"', f"text-only,{FAKE}")
    at_once = read_run(folder)
    parts: list[int] = []

    def one_by_one(samples: Iterable[EvaluationSample]) -> Iterator[list[EvaluationSample]]:
        for part in in_parts(samples, 1):
            parts.append(len({one.sample.identity for one in part}))
            yield part

    monkeypatch.setattr("bench.scoring.score.in_parts", one_by_one)
    assert bench("score", folder, "--overwrite") == 0
    assert set(parts) == {1}
    assert len(parts) == 9  # images of three people by both methods, and class images by one
    in_people = read_run(folder)
    assert sorted(map(repr, in_people.scores)) == sorted(map(repr, at_once.scores))
    assert any(row.metric == "diversity" and row.value for row in in_people.scores)
