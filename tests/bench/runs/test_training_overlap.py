"""Methods and metrics trained on people of the run are marked and not ranked."""

from pathlib import Path

import pytest
from fake_run import cell, column, finished_run, scores

from bench.analysis.comparison_table import compare
from bench.report.markdown_report import ranking_section, score_section
from bench.report.sections.caveats import notes, provenance_section
from bench.runs.finished_run import FinishedRun
from bench.runs.training_overlap import names_in, overlapping_names

FACE = column("identity", "sface")
IN_DOMAIN = column("identity", "in-domain", **{"trained on": "faces-train, faces-test/ada"})
PEOPLE = {who: {"origin": "faces-test"} for who in ("ada", "bob", "cleo")}


def run(columns: tuple = (FACE,), **trained: list[str]) -> FinishedRun:
    methods = ("fair", "other", "best")
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
def test_dataset_that_contains_a_person_of_the_run_overlaps_it(name: str) -> None:
    assert overlapping_names([name], ["faces-test/bob"]) == [name]


@pytest.mark.parametrize("name", ["faces-train", "faces-te", "faces-test/bo", "face", "other/bob", ""])
def test_dataset_of_other_people_does_not_overlap(name: str) -> None:
    assert overlapping_names([name], ["faces-test/bob"]) == []


def test_names_are_separated_by_commas() -> None:
    assert names_in("a, b-c/1 ,") == ["a", "b-c/1"]
    assert names_in("") == []


def test_method_trained_on_people_of_the_run_is_marked_and_not_ranked() -> None:
    table = compare(run(best=["faces-train", "faces-test/ada"]))
    (face,) = table.image_columns
    assert face.entry("best").overlap == "trained"
    assert face.ranking == ["other", "fair"]
    assert [(c.one, c.other) for c in face.contrasts] == [("other", "fair")]
    text = score_section(table)
    assert "‡" in next(line for line in text.splitlines() if line.startswith("| best"))
    assert "‡" not in next(line for line in text.splitlines() if line.startswith("| other"))
    assert "best was trained on faces-test/ada, which contains people of this run" in text


def test_method_trained_on_other_people_is_ranked() -> None:
    found = run(best=["faces-train"])
    (face,) = compare(found).image_columns
    assert face.entry("best").overlap is None
    assert face.ranking[0] == "best"
    assert "best faces-train" in provenance_section(found)
    assert "* people of this run: faces-test" in provenance_section(found)


def test_metric_trained_on_people_of_the_run_ranks_nothing() -> None:
    found = run(columns=(FACE, IN_DOMAIN))
    face, in_domain = compare(found).image_columns
    assert [in_domain.entry(m).overlap for m in found.methods] == ["judge trained"] * 3
    assert in_domain.ranking == []
    assert len(face.ranking) == 3
    assert "in-domain" not in ranking_section(compare(found))
    expected = "in-domain, the encoder of identity (in-domain), was trained on faces-test/ada"
    assert any(expected in note for note in notes(found))


def test_method_without_training_data_has_an_empty_set() -> None:
    from methods.interface import trained_on

    class Silent:
        pass

    class Declared:
        trained_on = frozenset({"celeba"})

    assert trained_on(Silent()) == frozenset()  # type: ignore[arg-type]
    assert trained_on(Declared()) == frozenset({"celeba"})  # type: ignore[arg-type]


def test_run_records_training_data_and_origins(run_folder: Path) -> None:
    from bench.atomic_io import read_json

    manifest = read_json(run_folder / "run.json")
    (method,) = manifest["methods"].values()
    assert method["trained_on"] == []
    assert manifest["people"]["ada"]["origin"] == "folder-people"
