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


def run(
    columns: tuple = (FACE,), against: dict[str, list[str]] | None = None, **trained: list[str]
) -> FinishedRun:
    methods = ("fair", "other", "best")
    cells = [cell(m, who, f"p{i}") for m in methods for who in PEOPLE for i in range(3)]
    rows = [
        row
        for c in columns
        for k, m in enumerate(methods)
        for j, who in enumerate(PEOPLE)
        for row in scores(c, m, who, [0.1 * k + 0.01 * j + 0.001 * i for i in range(3)])
    ]
    declared = {
        m: {"trained_on": trained.get(m, []), "optimised_against": (against or {}).get(m, [])}
        for m in methods
    }
    return finished_run(columns, cells, rows, methods=declared, people=PEOPLE)


@pytest.mark.parametrize("name", ["faces", "faces-test", "faces-test/bob", "faces-test/bob/1"])
def test_dataset_that_contains_a_person_of_the_run_overlaps_it(name: str) -> None:
    assert overlapping_names([name], ["faces-test/bob"]) == [name]


@pytest.mark.parametrize("name", ["faces-train", "faces-te", "faces-test/bo", "face", "other/bob", ""])
def test_dataset_of_other_people_does_not_overlap(name: str) -> None:
    assert overlapping_names([name], ["faces-test/bob"]) == []


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("celeba-train", "celeba-all/c00001"),
        ("celeba-valid", "celeba-all/c00001"),
        ("celeba-test", "celeba-all/c00001"),
        ("celeba-all", "celeba-test/c02880"),
        ("celeba-all", "celeba-all/c00001"),
        ("celeba-all/c00001", "celeba-train/c00001"),
        ("celeba", "celeba-all/c00001"),
        ("celeba/c00001", "celeba-train/c00001"),
    ],
)
def test_partition_all_contains_the_others_in_both_directions(one: str, other: str) -> None:
    assert overlapping_names([one], [other]) == [one]
    assert overlapping_names([other], [one]) == [other]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("celeba-all/c00001", "celeba-train/c00002"),
        ("faces-all", "celeba-train/c00001"),
        ("celeba-hq-all", "celeba-train/c00001"),
        ("celeba-train/c1", "celeba-train/c1-2"),
        ("celeba", "/ada"),
        ("/ada", "/ada/1"),
    ],
)
def test_other_people_and_people_of_unknown_origin_do_not_overlap(one: str, other: str) -> None:
    assert overlapping_names([one], [other]) == []
    assert overlapping_names([other], [one]) == []


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


def test_method_optimised_against_an_encoder_is_not_ranked_by_it() -> None:
    found = run(columns=(FACE, column("identity", "arcface")), against={"best": ["sface"]})
    face, other = compare(found).image_columns
    assert face.entry("best").overlap == "optimised"
    assert face.ranking == ["other", "fair"]
    assert other.entry("best").overlap is None
    assert other.ranking[0] == "best"
    text = score_section(compare(found))
    assert "§" in next(line for line in text.splitlines() if line.startswith("| best"))
    note = "§ best was optimised against sface, the encoder of identity (sface): not ranked by that metric."
    assert note in text


def test_common_training_people_of_metric_and_method_are_a_note_and_both_are_ranked() -> None:
    trained = column("identity", "in-domain", **{"trained on": "faces-train"})
    found = run(columns=(FACE, trained), best=["faces-train"], other=["faces"], fair=["elsewhere"])
    _, in_domain = compare(run(columns=(FACE, trained), best=["faces-train"], fair=["x"])).image_columns
    assert in_domain.entry("best").overlap is None
    assert in_domain.ranking[0] == "best"
    text = "".join(notes(run(columns=(FACE, trained), best=["faces-train"])))
    assert (
        "* in-domain (encoders of metrics) and best (methods) were trained on the same people (faces-train): "
        in text
    )
    # `other` was trained on the whole dataset, which contains the run's people: marked instead.
    assert "in-domain (encoders of metrics) and best (methods) were" in "".join(notes(found))
    assert "encoders of metrics" not in "".join(notes(run(columns=(FACE, trained), best=["elsewhere"])))


def test_method_without_the_member_is_optimised_against_nothing() -> None:
    from methods.interface import optimised_against

    class Silent:
        pass

    class Declared:
        optimised_against = frozenset({"sface"})

    assert optimised_against(Silent()) == frozenset()  # type: ignore[arg-type]
    assert optimised_against(Declared()) == frozenset({"sface"})  # type: ignore[arg-type]


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
    assert method["optimised_against"] == []
    assert manifest["people"]["ada"]["origin"] == "folder-people"
