"""The index of stored images."""

from dataclasses import replace
from pathlib import Path

import pytest
from fake_method import FakeMethod
from PIL import Image

from bench.runs.fingerprint import FingerprintParts
from bench.runs.image_index import index_images, with_missing
from bench.runs.plan import Cell, Group
from bench.runs.run_folder import RunFolder
from bench.runs.task import GroupTask
from bench.subjects.identity import Identity
from bench.suite.prompts import Prompt

CELLS = tuple(Cell("fake", "ada", Prompt(f"p{i}", "{subject}"), 1, i) for i in range(3))


@pytest.fixture
def task() -> GroupTask:
    parts = FingerprintParts({"run": "r"}, {"method": "m"}, {"subject": "s"})
    selected = frozenset(cell.id for cell in CELLS[:2])
    who = Identity("ada", "woman", (), ())
    return GroupTask(Group("fake", "ada", CELLS), who, FakeMethod(), parts, 4, 0, selected, False)


@pytest.fixture
def folder(tmp_path: Path, task: GroupTask) -> RunFolder:
    """The first image is current, the second has another fingerprint, the third is absent."""
    folder = RunFolder(tmp_path)
    for cell, fingerprint in zip(
        CELLS, (task.fingerprint_parts.fingerprint(CELLS[0]), "other"), strict=False
    ):
        folder.save(cell, Image.new("RGB", (8, 8)), fingerprint, {"flaw": ""})
    return folder


def test_image_is_current_stale_or_absent(task: GroupTask, folder: RunFolder) -> None:
    index = index_images([task], folder)
    assert [index.has(cell) for cell in CELLS] == [True, False, False]
    assert [index.is_stale(cell) for cell in CELLS] == [False, True, False]


def test_missing_images_are_the_selected_ones_that_are_not_current(
    task: GroupTask, folder: RunFolder
) -> None:
    index = index_images([task], folder)
    assert with_missing(task, index).missing == {CELLS[1].id}
    assert with_missing(replace(task, overwrite=True), index).missing == {CELLS[0].id, CELLS[1].id}


def test_after_a_run_only_groups_with_missing_images_are_opened_again(
    task: GroupTask, folder: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = index_images([task], folder)
    current = task.fingerprint_parts.fingerprint(CELLS[1])
    folder.save(CELLS[1], Image.new("RGB", (8, 8)), current, {"seconds": 1.0})
    assert before.updated([replace(task, missing=frozenset({CELLS[1].id}))], folder).has(CELLS[1])
    monkeypatch.setattr(RunFolder, "found", lambda self, cell: pytest.fail(cell.id))
    unchanged = replace(task, missing=frozenset())
    assert before.updated([unchanged], folder) == before
    folder.image(CELLS[0]).unlink()
    assert not before.updated([unchanged], folder).has(CELLS[0])


def test_every_file_is_opened_once(
    task: GroupTask, folder: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = []
    found = RunFolder.found
    monkeypatch.setattr(RunFolder, "found", lambda self, cell: opened.append(cell.id) or found(self, cell))
    with_missing(task, index_images([task], folder))
    assert opened == [cell.id for cell in CELLS]
