"""Groups: fitted once, drawn in whole batches, failing cell by cell."""

import gc
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from fake_method import FakeMethod, read_stamp, stamp
from PIL import Image

from bench.datasets.registry import open_people
from bench.errors import StoreError
from bench.runner.executors import local
from bench.runner.generate import flaw, generate_group, record_lost_group
from bench.runs.events import Failed, Fitted, Generated, Skipped
from bench.runs.fingerprint import FingerprintParts
from bench.runs.image_index import index_images, with_missing
from bench.runs.plan import make_plan
from bench.runs.run_folder import RunFolder
from bench.runs.task import GroupTask
from bench.suite.prompts import Prompt
from bench.suite.suite import DatasetSettings
from methods.errors import MethodError
from methods.subject import Request

PROMPTS = [Prompt(f"p{i}", f"{{subject}} number {i}") for i in range(5)]


@pytest.fixture
def task(people: Path) -> GroupTask:
    """Ada's ten cells."""
    chosen = open_people(DatasetSettings("folder", "people", references=2), people.parent).chosen
    plan = make_plan(["fake"], chosen[:1], PROMPTS, recaptions=0, samples=2, seed=0)
    fingerprint_parts = FingerprintParts({"run": "r"}, {"method": "m"}, {"subject": "s"})
    return GroupTask(plan.groups[0], chosen[0], FakeMethod(), fingerprint_parts, 4, 0, plan.wanted, False)


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    return RunFolder(tmp_path / "run")


def generated(task: GroupTask, backbone: Any, folder: RunFolder) -> Iterator[Any]:
    """Generate what is missing now, as a run does."""
    return generate_group(with_missing(task, index_images([task], folder)), backbone, folder)


def kinds(events: Iterator[object] | Sequence[object]) -> list[str]:
    return [type(event).__name__ for event in events]


def test_a_group_is_fitted_once_and_drawn_in_batches(task: GroupTask, folder: RunFolder) -> None:
    assert kinds(generated(task, None, folder)) == ["Fitted", *["Generated"] * 10]
    assert kinds(generated(task, None, folder)) == ["Skipped"] * 10
    with Image.open(folder.image(task.group.cells[9])) as last:
        seeds = read_stamp(last).split("|")[2].split()
    assert seeds == [str(cell.seed) for cell in task.group.cells[8:]]


def test_only_what_came_since_is_looked_through_for_garbage(task: GroupTask, folder: RunFolder) -> None:
    counts = [
        gc.get_freeze_count() for _ in local([with_missing(task, index_images([task], folder))], None, folder)
    ]
    assert min(counts) > 10_000
    assert gc.get_freeze_count() == 0


def test_a_batch_holds_the_same_cells_whatever_is_missing(task: GroupTask, folder: RunFolder) -> None:
    list(generated(task, None, folder))
    path = folder.image(task.group.cells[2])
    before = path.read_bytes()
    path.unlink()
    events = list(generated(task, None, folder))
    assert [event.cell.id for event in events if isinstance(event, Generated)] == [task.group.cells[2].id]
    assert path.read_bytes() == before


def test_only_wanted_cells_are_drawn_or_spoken_of(task: GroupTask, folder: RunFolder) -> None:
    some = replace(task, wanted=frozenset([task.group.cells[1].id]))
    assert kinds(generated(some, None, folder)) == ["Fitted", "Generated"]
    assert len(list(folder.path.rglob("*.png"))) == 1


def test_again_fits_and_draws_anew(task: GroupTask, folder: RunFolder) -> None:
    list(generated(task, None, folder))
    assert kinds(generated(replace(task, overwrite=True), None, folder)) == [
        "Fitted",
        *["Generated"] * 10,
    ]


def test_another_recipe_is_fitted_anew(task: GroupTask, folder: RunFolder) -> None:
    list(generated(task, None, folder))
    other = replace(task, fingerprint_parts=replace(task.fingerprint_parts, method={"method": "other"}))
    assert kinds(generated(other, None, folder))[0] == "Fitted"


def test_one_bad_cell_does_not_take_its_batch_with_it(task: GroupTask, folder: RunFolder) -> None:
    bad = replace(task, method=FakeMethod(fails_on="number 1"))
    events = list(generated(bad, None, folder))
    assert [event.cell.prompt.id for event in events if isinstance(event, Failed)] == ["p1", "p1"]
    assert sum(isinstance(event, Generated) for event in events) == 8


@dataclass(frozen=True)
class Returns:
    """A method that hands back a fixed thing."""

    what: Any

    def unsupported_reason(self, subject: object) -> None:
        return None

    def fit(self, subject: object, into: Path, *, backbone: object, seed: int) -> None:
        (into / "x").write_text("x")

    def load(self, fitted: Path, *, backbone: object) -> "Returns":
        return self

    def generate(self, requests: Sequence[Request]) -> Any:
        return self.what


@pytest.mark.parametrize(
    ("what", "reason"),
    [([], "0 images for 1 requests"), (["text"], "a str, expected a PIL image"), (None, "TypeError")],
)
def test_what_is_no_picture_is_a_failure(
    what: object, reason: str, task: GroupTask, folder: RunFolder
) -> None:
    events = list(generated(replace(task, method=Returns(what)), None, folder))  # type: ignore[arg-type]
    failed = [event for event in events if isinstance(event, Failed)]
    assert len(failed) == 10
    assert reason in failed[0].reason


class WatchedBackbone:
    """Finds something left behind once, as the real one does."""

    def __init__(self, dirty_at: int) -> None:
        self.times = 0
        self.dirty_at = dirty_at

    @contextmanager
    def clean(self) -> Iterator[None]:
        yield
        self.times += 1
        if self.times == self.dirty_at:
            raise MethodError("backbone handed back changed: a LoRA")


@pytest.mark.parametrize(("dirty_at", "failed"), [(1, 10), (2, 10), (99, 0)], ids=["fit", "load", "never"])
def test_a_backbone_handed_back_changed_fails_what_changed_it(
    dirty_at: int, failed: int, task: GroupTask, folder: RunFolder
) -> None:
    events = list(generated(task, WatchedBackbone(dirty_at), folder))
    found = [event for event in events if isinstance(event, Failed)]
    assert len(found) == failed
    assert all("handed back changed" in event.reason for event in found)


class FullDisk(FakeMethod):
    def fit(self, subject: object, into: Path, *, backbone: object, seed: int) -> None:  # type: ignore[override]
        raise OSError(28, "No space left on device", str(into / "weights"))


def test_a_full_disk_while_fitting_ends_the_run(task: GroupTask, folder: RunFolder) -> None:
    with pytest.raises(StoreError, match=r"weights: cannot be written \(No space left on device\)"):
        list(generated(replace(task, method=FullDisk()), None, folder))


def test_a_group_that_never_came_back_is_rows(task: GroupTask, folder: RunFolder) -> None:
    list(generated(replace(task, wanted=frozenset([task.group.cells[0].id])), None, folder))
    events = list(
        record_lost_group(with_missing(task, index_images([task], folder)), "the worker was lost", folder)
    )
    assert len(events) == 9
    assert isinstance(events[0], Failed)
    assert events[0].reason == "the worker was lost"


def test_costs_and_recipe_stand_beside_the_picture(task: GroupTask, folder: RunFolder) -> None:
    import json

    fitted = next(generated(task, None, folder))
    assert isinstance(fitted, Fitted)
    list(generated(task, None, folder))
    record = json.loads(folder.sidecar(task.group.cells[0]).read_text())
    assert record["seconds"] > 0
    assert record["memory_mb"] > 10
    assert record["batch"] == 4
    assert record["fingerprint_parts"]["seed"] == str(task.group.cells[0].seed)
    fit = json.loads(folder.fit_sidecar("fake", "ada").read_text())
    assert fit["bytes"] == (folder.fit("fake", "ada") / "subject.txt").stat().st_size


def test_black_and_constant_pictures_are_told_from_pictures() -> None:
    assert flaw(Image.new("RGB", (8, 8))) == "black"
    assert flaw(Image.new("RGB", (8, 8), (9, 9, 9))) == "constant"
    assert flaw(stamp("a picture")) == ""


def test_skipped_cells_are_named(task: GroupTask, folder: RunFolder) -> None:
    list(generated(task, None, folder))
    skipped = [event.cell.id for event in generated(task, None, folder) if isinstance(event, Skipped)]
    assert skipped == [cell.id for cell in task.group.cells]


@dataclass(frozen=True)
class Dial:
    """A backbone that notes the guidance it was asked for."""

    asked: list[float]

    def guided(self, scale: float) -> "Dial":
        self.asked.append(scale)
        return self

    @contextmanager
    def clean(self) -> Iterator[None]:
        yield


def test_a_row_may_draw_by_a_guidance_of_its_own(task: GroupTask, folder: RunFolder) -> None:
    dial = Dial([])
    list(generated(task, dial, folder))
    assert dial.asked == []
    list(generated(replace(task, guidance=5.0, overwrite=True), dial, folder))
    assert dial.asked == [5.0]
