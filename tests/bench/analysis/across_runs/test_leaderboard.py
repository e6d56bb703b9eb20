"""One table over several runs."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from known_run import PEOPLE, known_run
from split_run import FIRST, REAL, SECOND, part, two_parts

from bench.analysis.across_runs.leaderboard import leaderboard
from bench.analysis.comparison_table import compare
from bench.errors import ReportError
from bench.runs.finished_run import FinishedRun
from bench.runs.records.run_manifest import PersonRecord
from bench.runs.records.tables import REAL_SAME


def test_numbers_are_those_of_one_run_with_all_methods() -> None:
    board, whole = leaderboard(two_parts()), compare(known_run())
    assert set(board.table.run.methods) == {*FIRST, *SECOND}
    assert [c.column for c in board.table.image_columns] == [c.column for c in whole.image_columns]
    pairs = zip(
        [*board.table.image_columns, *board.table.prior_columns],
        [*whole.image_columns, *whole.prior_columns],
        strict=True,
    )
    for own, expected in pairs:
        for label in (*FIRST, *SECOND, *REAL):
            assert own.entry(label) == expected.entry(label), (own.column.title, label)
        assert own.ranking == expected.ranking
        contrasts = {frozenset((c.one, c.other)): (abs(c.difference.mean), c.p) for c in expected.contrasts}
        assert {frozenset((c.one, c.other)): (abs(c.difference.mean), c.p) for c in own.contrasts} == {
            key: (pytest.approx(mean), pytest.approx(p)) for key, (mean, p) in contrasts.items()
        }
    assert board.table.set_columns[0].entries == whole.set_columns[0].entries


def test_rows_know_their_run_and_the_best_comes_first() -> None:
    board = leaderboard(two_parts())
    assert board.run_of == {**dict.fromkeys(FIRST, "one"), **dict.fromkeys(SECOND, "two")}
    assert board.rows[:2] == board.table.image_columns[0].ranking
    assert set(board.rows) == {*FIRST, *SECOND}
    assert (board.repeated, board.left_out) == ((), ())


def test_method_of_two_runs_is_kept_twice_under_the_names_of_the_runs() -> None:
    board = leaderboard([part(Path("one"), FIRST), part(Path("two"), ("tuned", "close"))])
    assert board.repeated == ("tuned",)
    assert set(board.rows) == {"text-only", "tuned (one)", "tuned (two)", "close"}
    column = board.table.image_columns[0]
    assert column.entry("tuned (one)") == column.entry("tuned (two)")
    twins = [c for c in column.contrasts if {c.one, c.other} == {"tuned (one)", "tuned (two)"}]
    assert [c.difference.mean for c in twins] == [0]


def test_runs_of_equal_names_are_named_by_their_paths(tmp_path: Path) -> None:
    board = leaderboard([part(tmp_path / "a" / "run", FIRST), part(tmp_path / "b" / "run", SECOND)])
    assert list(board.runs) == [str(tmp_path / "a" / "run"), str(tmp_path / "b" / "run")]


def test_one_folder_twice_is_refused() -> None:
    with pytest.raises(ReportError, match="given 2 times"):
        leaderboard([part(Path("one"), FIRST), part(Path("x/../one"), SECOND)])


def changed(run: FinishedRun, name: str, choose: Callable[[Any], bool], **values: Any) -> FinishedRun:
    """The run with other values in the rows of one table that are chosen."""
    rows = tuple(replace(row, **values) if choose(row) else row for row in getattr(run, name))
    return replace(run, **{name: rows})


def with_manifest(run: FinishedRun, **values: Any) -> FinishedRun:
    return replace(run, manifest=replace(run.manifest, **values))


def with_fingerprint(run: FinishedRun) -> FinishedRun:
    first, *others = run.columns
    return replace(run, columns=(replace(first, fingerprint={"weights": "xyz"}), *others))


OTHER_PEOPLE = {who: PersonRecord("woman", "faces-test") for who in PEOPLE[:-1]}
DIFFERENCES: dict[str, Callable[[FinishedRun], FinishedRun]] = {
    "suite: known / other": lambda run: with_manifest(run, suite="other"),
    "seed: 0 / 7": lambda run: with_manifest(run, seed=7),
    "people of one run only: fay": lambda run: with_manifest(run, people=OTHER_PEOPLE),
    "planned images: 6 differ, the first is ada/p1/s1": lambda run: changed(
        run, "cells", lambda row: row.prompt == "p1", template="{subject} elsewhere"
    ),
    "planned images: 1 differ, the first is bob/p2/s1": lambda run: replace(
        run, cells=tuple(row for row in run.cells if (row.identity, row.prompt) != ("bob", "p2"))
    ),
    "planned images: 18 differ": lambda run: changed(
        run, "cells", lambda row: row.category != "prior", seed=8
    ),
    "planned class images: 6 differ": lambda run: changed(
        run, "cells", lambda row: row.category == "prior", template="a picture of a man"
    ),
    "identity (sface): weights: abc / xyz (score both with this version": with_fingerprint,
    "the photographs of cleo are not the same": lambda run: changed(
        run, "scores", lambda row: (row.method, row.identity) == (REAL_SAME, "cleo"), value=0.3
    ),
}


@pytest.mark.parametrize("message", DIFFERENCES)
def test_runs_of_another_benchmark_are_refused_in_one_line(message: str) -> None:
    one, two = two_parts()
    with pytest.raises(ReportError) as raised:
        leaderboard([one, DIFFERENCES[message](two)])
    text = str(raised.value)
    assert text.startswith(f"one and two cannot share a leaderboard: {message}")
    assert "\n" not in text


def test_other_settings_of_the_dataset_are_refused_but_not_its_place(tmp_path: Path) -> None:
    runs = two_parts(tmp_path)
    suite = 'name = "known"\nmetrics = []\n[dataset]\nkind = "folder"\npath = "{}"\nreferences = {}\n'
    for run, path, references in zip(runs, ("/a", "/b"), (3, 3), strict=True):
        run.path.mkdir()
        (run.path / "suite.toml").write_text(suite.format(path, references))
    leaderboard(runs)
    (runs[1].path / "suite.toml").write_text(suite.format("/b", 4))
    with pytest.raises(ReportError, match=r"\[dataset\] references: 3 / 4"):
        leaderboard(runs)


def test_metrics_without_common_meaning_are_left_out_with_the_reason() -> None:
    one, two = two_parts()
    other_sets = changed(two, "sets", lambda row: not row.left_out, n=17)
    board = leaderboard([one, replace(other_sets, columns=other_sets.columns[1:])])
    assert board.left_out == (
        "identity (sface): not in two",
        "fid (lite0): the sets have other sizes, on which the score depends: "
        "18 images and 40 photographs / 17 images and 40 photographs",
    )
    assert [c.column.title for c in board.table.set_columns] == []
