"""A score is a finite number or a reason; anything else is one line of error."""

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fake_metrics import Gap, Length
from PIL import Image

from bench.errors import ExitStatus
from bench.runs.finished_run import read_run
from bench.scoring.checked_metrics import NO_REASON, NOT_FINITE, CheckedSetMetric, checked_scores
from metrics.interface import Features, MetricError, Sample, Score

SAMPLES = [Sample(f"m/ada/p{i}/s1", "ada", f"p{i}", Image.new("RGB", (4, 4)), "x") for i in range(2)]


@dataclass(frozen=True)
class Returns(Length):
    """Returns a fixed result."""

    result: Any = None

    def score(self, samples: Any, real: Any) -> Any:
        return self.result


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), np.float32("nan")])
def test_non_finite_value_becomes_a_reason(value: float) -> None:
    assert checked_scores(Returns(result=[Score(value), Score(1.0)]), SAMPLES, []) == [
        Score(None, NOT_FINITE),
        Score(1.0),
    ]


def test_numpy_numbers_and_integers_become_floats() -> None:
    found = checked_scores(Returns(result=[Score(np.float32(0.5)), Score(True)]), SAMPLES, [])
    assert [type(score.value) for score in found] == [float, float]
    assert [score.value for score in found] == [0.5, 1.0]


def test_missing_value_always_has_a_reason() -> None:
    found = checked_scores(Returns(result=[Score(None), Score(None, "no face")]), SAMPLES, [])
    assert [score.reason for score in found] == [NO_REASON, "no face"]


@pytest.mark.parametrize(
    ("result", "message"),
    [
        ([Score(1.0)], "length: `score` returned 1 scores for 2 images"),
        (None, "length: `score` returned a NoneType, expected a list of Score"),
        ([1.0, 2.0], "length: a score is a float, expected metrics.interface.Score"),
        ([Score("1.0"), Score(1.0)], "length: a score is '1.0', expected a number or None"),  # type: ignore[arg-type]
        ([Score([1, 2]), Score(1.0)], "length: a score is [1, 2], expected a number or None"),  # type: ignore[arg-type]
    ],
)
def test_malformed_result_is_one_line_of_error(result: Any, message: str) -> None:
    with pytest.raises(MetricError, match=f"^{re.escape(message)}$"):
        checked_scores(Returns(result=result), SAMPLES, [])


@dataclass(frozen=True)
class SetReturns(Gap):
    """A set metric with a fixed result."""

    result: Any = None
    rows: int = 2

    def features(self, images: Any) -> Features:
        return np.zeros((self.rows, 1))

    def measure(self, generated: Features, real: Features) -> Any:
        return self.result


def test_results_of_set_metrics_are_checked() -> None:
    images = [sample.image for sample in SAMPLES]
    metric = SetReturns(result=Score(float("inf")))
    rows = CheckedSetMetric(metric).features(images)
    assert CheckedSetMetric(metric).measure(rows, rows) == Score(None, NOT_FINITE)
    with pytest.raises(MetricError, match=r"^gap \(fake-eye\): a score is a float, expected"):
        CheckedSetMetric(replace(metric, result=1.0)).measure(rows, rows)
    with pytest.raises(MetricError, match=r"^gap \(fake-eye\): `features` returned 1 rows for 2 images$"):
        CheckedSetMetric(replace(metric, rows=1)).features(images)


def test_ranking_of_other_methods_survives_a_nan(run_folder: Path, bench: Any, suite: Path) -> None:
    suite.write_text(suite.read_text().replace("fake_metrics:Length", "fake_metrics:SometimesNaN"))
    assert bench("score", run_folder, "--suite", suite) == ExitStatus.DONE
    rows = [row for row in read_run(run_folder).scores if row.metric == "sometimes"]
    assert {row.reason for row in rows} == {"", NOT_FINITE}
    assert all((row.value is None) == (row.reason == NOT_FINITE) for row in rows)
    assert all(np.isfinite(row.value) for row in rows if row.value is not None)


def test_metric_with_too_few_scores_ends_the_command_with_one_line(
    run_folder: Path, bench: Any, suite: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    suite.write_text(suite.read_text().replace("fake_metrics:Length", "fake_metrics:TooFew"))
    assert bench("score", run_folder, "--suite", suite) == ExitStatus.WRONG_INPUT
    error = capsys.readouterr().err
    assert "too-few: `score` returned 1 scores for" in error
    assert "Traceback" not in error
