"""What leaks is marked, and takes no part in any ranking."""

from pathlib import Path

import pytest
from fake_run import cell, column, finished_run, scores

from bench.analysis.comparisons import contrasts_between, entry, ranked
from bench.report.markdown_report import ranking
from bench.report.markdown_report import scores as scores_section
from bench.report.sections.caveats import notes, provenance
from bench.runs.finished_run import FinishedRun
from bench.runs.training_overlap import names_in, overlapping_names

FACE = column("identity", "sface")
OWN = column("identity", "in-domain", **{"trained on": "faces-train, faces-test/ada"})
PEOPLE = {who: {"origin": "faces-test"} for who in ("ada", "bob", "cleo")}


def run(columns: tuple = (FACE,), **trained: list[str]) -> FinishedRun:
    methods = ("fair", "other", "asked")
    cells = [cell(m, who, f"p{i}") for m in methods for who in PEOPLE for i in range(3)]
    rows = [
        row
        for c in columns
        for k, m in enumerate(methods)
        for j, who in enumerate(PEOPLE)
        for row in scores(c, m, who, [0.1 * k + 0.01 * j + 0.001 * i for i in range(3)])
    ]
    declared = {m: {"conditioning_encoders": [], "trained_on": trained.get(m, [])} for m in methods}
    return finished_run(columns, cells, rows, methods=declared, people=PEOPLE)


@pytest.mark.parametrize("name", ["faces", "faces-test", "faces-test/bob", "faces-test/bob/1"])
def test_a_set_that_holds_a_person_of_the_run_overlaps_it(name: str) -> None:
    assert overlapping_names([name], ["faces-test/bob"]) == [name]


@pytest.mark.parametrize("name", ["faces-train", "faces-te", "faces-test/bo", "face", "other/bob", ""])
def test_a_set_of_other_people_does_not(name: str) -> None:
    assert overlapping_names([name], ["faces-test/bob"]) == []


def test_names_stand_between_commas() -> None:
    assert names_in("a, b-c/1 ,") == ["a", "b-c/1"]
    assert names_in("") == []


def test_a_method_trained_on_the_people_of_the_run_is_marked_and_not_ranked() -> None:
    found = run(asked=["faces-train", "faces-test/ada"])
    assert entry(found, "asked", FACE).overlap == "trained"
    assert ranked(found, FACE) == ["other", "fair"]
    assert [(c.one, c.other) for c in contrasts_between(found, FACE)] == [("other", "fair")]
    text = scores_section(found)
    assert "‡" in next(line for line in text.splitlines() if line.startswith("| asked"))
    assert "‡" not in next(line for line in text.splitlines() if line.startswith("| other"))
    assert "asked was trained on faces-test/ada, which holds people of this run" in text


def test_a_method_trained_on_others_is_ranked() -> None:
    found = run(asked=["faces-train"])
    assert entry(found, "asked", FACE).overlap is None
    assert ranked(found, FACE)[0] == "asked"
    assert "asked faces-train" in provenance(found)
    assert "the people of this run: faces-test" in provenance(found)


def test_nothing_is_ranked_by_a_judge_that_was_trained_on_the_people_of_the_run() -> None:
    found = run(columns=(FACE, OWN))
    assert [entry(found, m, OWN).overlap for m in found.methods] == ["judge trained"] * 3
    assert ranked(found, OWN) == []
    assert len(ranked(found, FACE)) == 3
    assert "in-domain" not in ranking(found)
    assert any(
        "in-domain, behind identity (in-domain), was trained on faces-test/ada" in n for n in notes(found)
    )


def test_a_method_that_says_nothing_of_its_training_is_taken_at_its_silence() -> None:
    from methods.interface import trained_on

    class Silent:
        pass

    class Says:
        trained_on = frozenset({"celeba"})

    assert trained_on(Silent()) == frozenset()  # type: ignore[arg-type]
    assert trained_on(Says()) == frozenset({"celeba"})  # type: ignore[arg-type]


def test_a_run_notes_on_whom_everything_was_trained(run_folder: Path) -> None:
    from bench.atomic_io import read_json

    manifest = read_json(run_folder / "run.json")
    (method,) = manifest["methods"].values()
    assert method["trained_on"] == []
    assert manifest["people"]["ada"]["origin"] == "folder-people"
