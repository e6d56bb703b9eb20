"""Fit one group, generate its missing images, and record failures with their reason."""

import gc
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any, TypeVar

from PIL.Image import Image

from bench.atomic_io import (
    is_full_disk,
    refusal,
    remove_file,
    write_json,
)
from bench.errors import StoreError
from bench.runner.fitting import fit_group, known_costs, unchanged
from bench.runner.resources import measured
from bench.runs.events import Event, Failed, Fitted, Generated, Skipped
from bench.runs.plan import Cell
from bench.runs.run_folder import RunFolder
from bench.runs.task import GroupTask
from bench.suite.prompts import PRIOR
from methods.errors import MethodError
from methods.interface import Personalised
from methods.subject import FLAW, Request

T = TypeVar("T")


@dataclass(frozen=True)
class Failure:
    """A failed attempt: the reason in one line, and the traceback for the sidecar."""

    reason: str
    traceback: str = ""


@dataclass(frozen=True)
class Job:
    """A group of images with the backbone that generates them and the folder that receives them."""

    task: GroupTask
    backbone: Any
    folder: RunFolder

    @property
    def fit_folder(self) -> Path:
        """Folder of the group's fit."""
        group = self.task.group
        return self.folder.fit(group.method, group.identity, group.fit)

    @property
    def missing(self) -> list[Cell]:
        """Cells to generate now."""
        return [cell for cell in self.task.group.cells if cell.id in self.task.missing]


def generate_group(task: GroupTask, backbone: Any, folder: RunFolder) -> Iterator[Event]:
    """Generate the missing images of one group, in whole batches of the full plan.

    A batch always contains the same cells, however many of them are missing. Even if an image's bytes
    depended on its neighbours, a run that was killed and continued would produce the same images.
    """
    if task.guidance is not None and backbone is not None:
        backbone = backbone.guided(task.guidance)
    job = Job(task, backbone, folder)
    cells = task.group.cells
    kept = task.selected - task.missing
    yield from (Skipped(cell) for cell in cells if cell.id in kept)
    if not task.missing:
        return
    # Unreachable objects of the previous method must not count as this method's memory.
    gc.collect()
    ready = _attempt(lambda: _personalise(job), job)
    if isinstance(ready, Failure):
        yield from _record_failures(job.missing, ready, job)
        return
    personalised, fitted = ready
    if fitted is not None:
        yield fitted
    with ExitStack() as stack:
        # Changes that stay between batches, such as a LoRA; the check is then at the end of the group.
        session = getattr(personalised, "session", nullcontext)
        if session is not nullcontext:
            stack.enter_context(unchanged(job.backbone))
        opened = _attempt(lambda: stack.enter_context(session()), job)
        if isinstance(opened, Failure):
            yield from _record_failures(job.missing, opened, job)
            return
        for batch in _batches(cells, task.batch):
            if any(cell.id in task.missing for cell in batch):
                yield from _generate_batch(batch, personalised, job)


def _batches(cells: Sequence[Cell], size: int) -> Iterator[Sequence[Cell]]:
    """Class images get separate batches, so that their time does not count as the subject's."""
    for _, members in groupby(cells, key=lambda cell: cell.prompt.category == PRIOR):
        same_kind = list(members)
        yield from (same_kind[start : start + size] for start in range(0, len(same_kind), size))


def _personalise(job: Job) -> tuple[Personalised, Fitted | None]:
    method = job.task.method
    subject = job.task.who.subject
    unsupported_reason = method.unsupported_reason(subject)
    if unsupported_reason:
        raise MethodError(unsupported_reason)
    fitted = fit_group(job.task, job.backbone, job.folder)
    with unchanged(job.backbone):
        return method.load(job.fit_folder, backbone=job.backbone), fitted


def _generate_batch(batch: Sequence[Cell], personalised: Personalised, job: Job) -> Iterator[Event]:
    generated = _attempt(lambda: _images(personalised, batch, job), job)
    missing = [cell for cell in batch if cell.id in job.task.missing]
    if isinstance(generated, Failure):
        if len(batch) == 1:
            yield from _record_failures(batch, generated, job)
            return
        # One failing cell must not fail its neighbours.
        for cell in missing:
            yield from _generate_batch([cell], personalised, job)
        return
    images, cost = generated
    for cell, image in zip(batch, images, strict=True):
        if cell in missing:
            _save(cell, image, cost, job)
            yield Generated(cell, cost["seconds"] or 0.0)


def _images(
    personalised: Personalised, batch: Sequence[Cell], job: Job
) -> tuple[list[Image], dict[str, Any]]:
    """The batch's images, and the cost per image."""
    requests = [Request(cell.prompt.template, cell.seed, cell.prompt.id, cell.sample) for cell in batch]
    with unchanged(job.backbone), measured() as cost:
        images = personalised.generate(requests)
    if len(images) != len(requests):
        raise MethodError(
            f"generate returned {len(images)} images for {len(requests)} requests; return one for each"
        )
    for image in images:
        if not isinstance(image, Image):
            raise MethodError(f"generate returned a {type(image).__name__}, expected a PIL image")
    record = {**cost.record, "seconds": cost.seconds / len(batch)}
    return images, {**known_costs(record, job.task.method), "batch": len(batch)}


def _save(cell: Cell, image: Image, cost: Mapping[str, Any], job: Job) -> None:
    parts = job.task.fingerprint_parts
    record = {**cost, "flaw": flaw(image), "fingerprint_parts": parts.parts(cell)}
    job.folder.save(cell, image, parts.fingerprint(cell), record)
    remove_file(job.folder.failure(cell))


def flaw(image: Image) -> str:
    """Why an image has no content: `nan` (set by the method), `black` or `constant`; otherwise empty."""
    if image.info.get(FLAW):
        return str(image.info[FLAW])
    pixels = image.convert("RGB").tobytes()
    if pixels != pixels[:3] * (len(pixels) // 3):
        return ""
    return "black" if not any(pixels[:3]) else "constant"


def record_lost_group(task: GroupTask, reason: str, folder: RunFolder) -> Iterator[Event]:
    """Record a failure for every image that a lost worker did not generate."""
    job = Job(task, None, folder)
    lost = [c for c in job.missing if folder.found(c) != task.fingerprint_parts.fingerprint(c)]
    yield from _record_failures(lost, Failure(reason), job)


def _record_failures(cells: Sequence[Cell], failure: Failure, job: Job) -> Iterator[Event]:
    for cell in cells:
        fingerprint = job.task.fingerprint_parts.fingerprint(cell)
        record = {"fingerprint": fingerprint, "reason": failure.reason, "traceback": failure.traceback}
        write_json(job.folder.failure(cell), record)
        yield Failed(cell, failure.reason)


def _attempt(action: Callable[[], T], job: Job) -> T | Failure:
    """Run `action`; an exception becomes a Failure. A full disk fails every cell, so it ends the run."""
    try:
        return action()
    except StoreError:
        raise
    except Exception as error:
        if is_full_disk(error):
            raise refusal(Path(getattr(error, "filename", None) or job.folder.path), error) from error
        reason = " ".join(str(error).split())
        if not isinstance(error, MethodError):
            reason = f"{type(error).__name__}: {reason}"[:300]
        return Failure(reason, traceback.format_exc())
