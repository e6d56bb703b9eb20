"""The page of a run that ended earlier."""

import shutil
from pathlib import Path

from bench.report.run_files import PAGE, people_of, write_page_of
from bench.runs.finished_run import read_run


def test_people_are_those_of_the_run(run_folder: Path) -> None:
    people, remark = people_of(read_run(run_folder))
    assert ([who.id for who in people], remark) == (["ada", "bob", "cleo"], "")


def test_person_who_left_the_dataset_is_named(run_folder: Path, people: Path) -> None:
    shutil.rmtree(people / "bob")
    found, remark = people_of(read_run(run_folder))
    assert [who.id for who in found] == ["ada", "cleo"]
    assert remark == "No photographs of bob: not in the dataset any more."


def test_page_that_is_written_again_is_the_same(run_folder: Path) -> None:
    before = (run_folder / PAGE).read_text()
    assert write_page_of(read_run(run_folder), None, embed=False) == run_folder / PAGE
    assert (run_folder / PAGE).read_text() == before
