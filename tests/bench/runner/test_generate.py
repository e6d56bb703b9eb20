"""A group is fitted once and generated in whole batches; cells fail one by one."""

import gc
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import pytest
from fake_method import FakeMethod, FittedFake, read_stamp, stamp
from PIL import Image
from safetensors import SafetensorError

from bench.atomic_io import read_json
from bench.datasets.registry import open_people
from bench.errors import StoreError
from bench.runner.execution.executors import local
from bench.runner.generate import flaw, generate_group, record_lost_group
from bench.runs.events import Failed, Fitted, Generated, Skipped
from bench.runs.fingerprint import FingerprintParts
from bench.runs.image_index import index_images, with_missing
from bench.runs.plan import ImageCounts, make_plan
from bench.runs.run_folder import RunFolder
from bench.runs.task import GroupTask
from bench.suite.prompts import Prompt
from bench.suite.suite import DatasetSettings
from methods.errors import MethodError
from methods.subject import Request

PROMPTS = [Prompt(f"p{i}", f"{{subject}} number {i}") for i in range(5)]


@pytest.fixture
def task(people: Path) -> GroupTask:
    """A group of ten cells of ada."""
    chosen = open_people(DatasetSettings("folder", "people", references=2), people.parent).chosen
    plan = make_plan(["fake"], chosen[:1], PROMPTS, ImageCounts(samples=2), seed=0)
    fingerprint_parts = FingerprintParts({"run": "r"}, {"method": "m"}, {"subject": "s"})
    return GroupTask(
        plan.groups[0], chosen[0], FakeMethod(), fingerprint_parts, 4, 0, plan.selected_ids, False
    )


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    return RunFolder(tmp_path / "run")


def run_group(task: GroupTask, backbone: Any, folder: RunFolder) -> Iterator[Any]:
    """Generate the missing images, as a run does."""
    return generate_group(with_missing(task, index_images([task], folder)), backbone, folder)


def event_names(events: Iterator[object] | Sequence[object]) -> list[str]:
    return [type(event).__name__ for event in events]


def test_group_is_fitted_once_and_generated_in_batches(task: GroupTask, folder: RunFolder) -> None:
    assert event_names(run_group(task, None, folder)) == ["Fitted", *["Generated"] * 10]
    assert event_names(run_group(task, None, folder)) == ["Skipped"] * 10
    with Image.open(folder.image(task.group.cells[9])) as last:
        seeds = read_stamp(last).split("|")[2].split()
    assert seeds == [str(cell.seed) for cell in task.group.cells[8:]]


def test_objects_from_before_the_run_are_excluded_from_garbage_collection(
    task: GroupTask, folder: RunFolder
) -> None:
    counts = [
        gc.get_freeze_count()
        for _ in local([with_missing(task, index_images([task], folder))], None, folder, 1)
    ]
    assert min(counts) > 10_000
    assert gc.get_freeze_count() == 0


def test_batch_contains_the_same_cells_whichever_are_missing(task: GroupTask, folder: RunFolder) -> None:
    list(run_group(task, None, folder))
    path = folder.image(task.group.cells[2])
    before = path.read_bytes()
    path.unlink()
    events = list(run_group(task, None, folder))
    assert [event.cell.id for event in events if isinstance(event, Generated)] == [task.group.cells[2].id]
    assert path.read_bytes() == before


def test_only_selected_cells_are_generated_or_reported(task: GroupTask, folder: RunFolder) -> None:
    part = replace(task, selected=frozenset([task.group.cells[1].id]))
    assert event_names(run_group(part, None, folder)) == ["Fitted", "Generated"]
    assert len(list(folder.path.rglob("*.png"))) == 1


def test_overwrite_repeats_fit_and_images(task: GroupTask, folder: RunFolder) -> None:
    list(run_group(task, None, folder))
    assert event_names(run_group(replace(task, overwrite=True), None, folder)) == [
        "Fitted",
        *["Generated"] * 10,
    ]


def test_changed_fingerprint_repeats_the_fit(task: GroupTask, folder: RunFolder) -> None:
    list(run_group(task, None, folder))
    other = replace(task, fingerprint_parts=replace(task.fingerprint_parts, method={"method": "other"}))
    assert event_names(run_group(other, None, folder))[0] == "Fitted"


def test_failing_cell_does_not_fail_its_batch(task: GroupTask, folder: RunFolder) -> None:
    bad = replace(task, method=FakeMethod(fails_on="number 1"))
    events = list(run_group(bad, None, folder))
    assert [event.cell.prompt.id for event in events if isinstance(event, Failed)] == ["p1", "p1"]
    assert sum(isinstance(event, Generated) for event in events) == 8


@dataclass(frozen=True)
class FixedOutput:
    """A method whose `generate` returns a fixed value."""

    output: Any

    def unsupported_reason(self, subject: object) -> None:
        return None

    def fit(self, subject: object, into: Path, *, backbone: object, seed: int) -> None:
        (into / "x").write_text("x")

    def load(self, fitted: Path, *, backbone: object) -> "FixedOutput":
        return self

    def generate(self, requests: Sequence[Request]) -> Any:
        return self.output


@pytest.mark.parametrize(
    ("output", "reason"),
    [([], "0 images for 1 requests"), (["text"], "a str, expected a PIL image"), (None, "TypeError")],
)
def test_output_that_is_no_image_is_a_failure(
    output: object, reason: str, task: GroupTask, folder: RunFolder
) -> None:
    events = list(run_group(replace(task, method=FixedOutput(output)), None, folder))  # type: ignore[arg-type]
    failed = [event for event in events if isinstance(event, Failed)]
    assert len(failed) == 10
    assert reason in failed[0].reason


class CheckedBackbone:
    """Reports a change at the given check, as the real backbone does."""

    def __init__(self, dirty_at: int) -> None:
        self.checks = 0
        self.dirty_at = dirty_at

    @contextmanager
    def clean(self) -> Iterator[None]:
        yield
        self.checks += 1
        if self.checks == self.dirty_at:
            raise MethodError("backbone returned changed: a LoRA")


@pytest.mark.parametrize(("dirty_at", "failed"), [(1, 10), (2, 10), (99, 0)], ids=["fit", "load", "never"])
def test_changed_backbone_fails_the_cells_of_the_method_that_changed_it(
    dirty_at: int, failed: int, task: GroupTask, folder: RunFolder
) -> None:
    events = list(run_group(task, CheckedBackbone(dirty_at), folder))
    found = [event for event in events if isinstance(event, Failed)]
    assert len(found) == failed
    assert all("returned changed" in event.reason for event in found)


class FullDisk(FakeMethod):
    def fit(self, subject: object, into: Path, *, backbone: object, seed: int) -> None:  # type: ignore[override]
        raise OSError(28, "No space left on device", str(into / "weights"))


def test_full_disk_during_a_fit_ends_the_run(task: GroupTask, folder: RunFolder) -> None:
    with pytest.raises(StoreError, match=r"weights: cannot be written \(No space left on device\)"):
        list(run_group(replace(task, method=FullDisk()), None, folder))


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="finds names by /proc/self/fd")
def test_fit_is_on_disk_before_its_record_and_its_record_before_the_images(
    task: GroupTask, folder: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[tuple[str, str]] = []
    fsync, replace_file = os.fsync, os.replace

    def recorded_fsync(opened: int) -> None:
        order.append(("sync", Path(f"/proc/self/fd/{opened}").readlink().name))
        fsync(opened)

    def recorded_replace(source: Path, target: Path) -> None:
        order.append(("rename", Path(target).name))
        replace_file(source, target)

    monkeypatch.setattr(os, "fsync", recorded_fsync)
    monkeypatch.setattr(os, "replace", recorded_replace)
    list(run_group(task, None, folder))
    assert order[:8] == [
        ("sync", "subject.txt"),
        ("sync", ".ada.partial"),
        ("rename", "ada"),
        ("sync", "fake"),
        ("sync", ".ada.json.partial"),
        ("rename", "ada.json"),
        ("sync", "fake"),
        ("sync", ".p0.s1.json.partial"),
    ]


class FullDiskInSafetensors(FakeMethod):
    def fit(self, subject: object, into: Path, *, backbone: object, seed: int) -> None:  # type: ignore[override]
        raise SafetensorError("I/O error: No space left on device (os error 28)")


def test_full_disk_reported_by_safetensors_ends_the_run(task: GroupTask, folder: RunFolder) -> None:
    with pytest.raises(StoreError, match=rf"^{folder.path}: cannot be written .*; free some space"):
        list(run_group(replace(task, method=FullDiskInSafetensors()), None, folder))


def test_unwritable_folder_of_fits_ends_the_run(task: GroupTask, folder: RunFolder) -> None:
    folder.path.mkdir()
    (folder.path / "fits").write_text("a file")
    with pytest.raises(StoreError, match="cannot be written"):
        list(run_group(task, None, folder))


@pytest.mark.parametrize("damage", ["emptied", "removed", "added"])
def test_damaged_fit_is_made_again(damage: str, task: GroupTask, folder: RunFolder) -> None:
    list(run_group(task, None, folder))
    file, image = folder.fit("fake", "ada") / "subject.txt", folder.image(task.group.cells[0])
    content, pixels = file.read_bytes(), image.read_bytes()
    match damage:
        case "emptied":
            file.write_bytes(b"")
        case "removed":
            file.unlink()
        case "added":
            file.with_name("other").write_bytes(b"")
    image.unlink()
    assert event_names(run_group(task, None, folder))[-2:] == ["Fitted", "Generated"]
    assert (file.read_bytes(), image.read_bytes()) == (content, pixels)
    assert list(file.parent.iterdir()) == [file]


def test_lost_group_is_recorded_as_failures(task: GroupTask, folder: RunFolder) -> None:
    list(run_group(replace(task, selected=frozenset([task.group.cells[0].id])), None, folder))
    events = list(
        record_lost_group(with_missing(task, index_images([task], folder)), "the worker was lost", folder)
    )
    assert len(events) == 9
    assert isinstance(events[0], Failed)
    assert events[0].reason == "the worker was lost"


def test_sidecar_contains_costs_and_fingerprint_parts(task: GroupTask, folder: RunFolder) -> None:
    import json

    fitted = next(run_group(task, None, folder))
    assert isinstance(fitted, Fitted)
    list(run_group(task, None, folder))
    record = json.loads(folder.sidecar(task.group.cells[0]).read_text())
    assert record["seconds"] > 0
    assert record["memory_mb"] > 10
    assert record["batch"] == 4
    assert record["fingerprint_parts"]["seed"] == str(task.group.cells[0].seed)
    fit = json.loads(folder.fit_sidecar("fake", "ada").read_text())
    assert fit["bytes"] == (folder.fit("fake", "ada") / "subject.txt").stat().st_size


def test_black_and_constant_images_are_flawed() -> None:
    assert flaw(Image.new("RGB", (8, 8))) == "black"
    assert flaw(Image.new("RGB", (8, 8), (9, 9, 9))) == "constant"
    assert flaw(stamp("an image")) == ""


def test_existing_images_are_reported_as_skipped(task: GroupTask, folder: RunFolder) -> None:
    list(run_group(task, None, folder))
    skipped = [event.cell.id for event in run_group(task, None, folder) if isinstance(event, Skipped)]
    assert skipped == [cell.id for cell in task.group.cells]


@dataclass(frozen=True)
class GuidedBackbone:
    """Records the requested guidance scales."""

    scales: list[float]

    def guided(self, scale: float) -> "GuidedBackbone":
        self.scales.append(scale)
        return self

    @contextmanager
    def clean(self) -> Iterator[None]:
        yield


def test_row_can_set_its_own_guidance(task: GroupTask, folder: RunFolder) -> None:
    backbone = GuidedBackbone([])
    list(run_group(task, backbone, folder))
    assert backbone.scales == []
    list(run_group(replace(task, guidance=5.0, overwrite=True), backbone, folder))
    assert backbone.scales == [5.0]


SESSIONS: list[str] = []


@dataclass(frozen=True)
class FittedWithSession(FittedFake):
    """Notes when its session opens, generates and closes."""

    def session(self) -> Any:
        if self.method.mark == "refuses":
            raise MethodError("the LoRA does not fit")
        return self._noted()

    @contextmanager
    def _noted(self) -> Iterator[None]:
        SESSIONS.append("open")
        yield
        SESSIONS.append("close")

    def generate(self, requests: Sequence[Request]) -> list[Image.Image]:
        SESSIONS.append("batch")
        return super().generate(requests)


@dataclass(frozen=True)
class WithSession(FakeMethod):
    """Loaded once for all batches of a person."""

    def load(self, fitted: Path, *, backbone: Any) -> FittedWithSession:
        return FittedWithSession((fitted / "subject.txt").read_text(), self)


def test_a_session_is_open_for_all_batches_of_a_group(task: GroupTask, folder: RunFolder) -> None:
    SESSIONS.clear()
    list(run_group(replace(task, method=WithSession()), None, folder))
    assert SESSIONS == ["open", "batch", "batch", "batch", "close"]


def test_a_session_that_does_not_open_fails_every_image(task: GroupTask, folder: RunFolder) -> None:
    events = list(run_group(replace(task, method=WithSession(mark="refuses")), None, folder))
    assert event_names(events)[-10:] == ["Failed"] * 10
    assert events[-1].reason.endswith("the LoRA does not fit")


@dataclass(frozen=True)
class MadeElsewhere(FakeMethod):
    """Without costs of its own."""

    has_costs: ClassVar[bool] = False


def test_costs_of_images_made_elsewhere_are_blank(task: GroupTask, folder: RunFolder) -> None:
    list(run_group(replace(task, method=MadeElsewhere()), None, folder))
    group = task.group
    for path in (folder.sidecar(group.cells[0]), folder.fit_sidecar(group.method, group.identity, group.fit)):
        record = read_json(path)
        assert record["seconds"] is None
        assert record["memory_mb"] is None
