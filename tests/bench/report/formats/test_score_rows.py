"""One row per score, as CSV and Parquet."""

import csv
import io
from collections.abc import Callable
from pathlib import Path

import pytest
from known_run import known_run

from bench.report.formats.score_rows import COLUMNS, scores_csv, scores_parquet
from bench.runs.records.tables import REAL_SAME


def test_row_has_the_prompt_and_seed_of_its_image() -> None:
    run = known_run()
    rows = list(csv.DictReader(io.StringIO(scores_csv(run))))
    assert (len(rows), list(rows[0])) == (len(run.scores), list(COLUMNS))
    tuned = next(r for r in rows if (r["method"], r["identity"], r["prompt"]) == ("tuned", "bob", "p1"))
    assert (tuned["run"], tuned["text"], tuned["seed"], tuned["fit"]) == ("run", "{subject} p1", "7", "1")
    assert (tuned["better"], tuned["overlap"]) == ("higher", "")
    leaky = next(r for r in rows if r["method"] == "leaky" and r["encoder"] == "sface")
    assert leaky["overlap"] == "conditioned"
    photo = next(r for r in rows if r["method"] == REAL_SAME)
    assert (photo["text"], photo["seed"], photo["fit"]) == ("", "", "")
    missing = next(r for r in rows if r["reason"] == "no face found")
    assert missing["value"] == ""


def test_parquet_has_the_rows_of_csv() -> None:
    pytest.importorskip("pyarrow", reason="no pyarrow")
    import pandas as pd

    run = known_run()
    found = pd.read_parquet(io.BytesIO(scores_parquet(run)))
    assert found.to_csv(index=False, lineterminator="\n") == scores_csv(run)
    assert str(found["value"].dtype) == "Float64"


def test_parquet_is_not_printed(
    bench: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert bench("report", tmp_path, "--format", "scores-parquet") == 2
    assert capsys.readouterr().err == (
        "bench: --format scores-parquet needs --output FILE, because Parquet is no text\n"
    )
