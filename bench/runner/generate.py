"""Fit each person by each method and draw what is missing; what fails becomes a row with its reason."""

import gc
import os
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any, TypeVar

from PIL.Image import Image

from bench.atomic_io import FULL, fresh_folder, read_json, refusal, write_json
from bench.errors import StoreError
from bench.runner.resources import measured
from bench.runs.events import Event, Failed, Fitted, Generated, Skipped
from bench.runs.plan import Cell, fit_seed
from bench.runs.run_folder import RunFolder
from bench.runs.task import GroupTask
from bench.suite.prompts import PRIOR
from methods.errors import MethodError
from methods.interface import Personalised
from methods.subject import FLAW, Request, Subject

T = TypeVar("T")


@dataclass(frozen=True)
class Failure:
    """An attempt that went wrong: the reason in a line, and the traceback for the sidecar."""

    reason: str
    traceback: str = ""


@dataclass(frozen=True)
class Job:
    """A group of pictures with what they are drawn by and where they go."""

    task: GroupTask
    backbone: Any
    folder: RunFolder

    def wants(self, cell: Cell) -> bool:
        """Whether the cell is chosen and its picture is not there yet."""
        if cell.id not in self.task.wanted:
            return False
        return self.task.overwrite or not self.folder.has(cell, self.task.fingerprint_parts.fingerprint(cell))

    def clean(self) -> AbstractContextManager[None]:
        """The backbone watches that a method takes away what it added."""
        return nullcontext() if self.backbone is None else self.backbone.clean()


def generate_group(task: GroupTask, backbone: Any, folder: RunFolder) -> Iterator[Event]:
    """Draw the wanted pictures of one group that are not there yet, in whole batches of the full plan.

    A batch always holds the same cells, however many of them are missing: should a method's bytes depend
    on a picture's neighbours, a run that was killed and begun again still makes the same ones.
    """
    if task.guidance is not None and backbone is not None:
        backbone = backbone.guided(task.guidance)
    job = Job(task, backbone, folder)
    cells = task.group.cells
    missing = frozenset(cell.id for cell in cells if job.wants(cell))
    yield from (Skipped(cell) for cell in cells if cell.id in task.wanted and cell.id not in missing)
    if not missing:
        return
    # What the last method left unreachable must not count as this one's memory.
    gc.collect()
    ready = _attempt(lambda: _personalise(job))
    if isinstance(ready, Failure):
        yield from _give_up([cell for cell in cells if cell.id in missing], ready, job)
        return
    personalised, fitted = ready
    if fitted is not None:
        yield fitted
    for batch in _batches(cells, task.batch):
        if missing.intersection(cell.id for cell in batch):
            yield from _draw_batch(batch, missing, personalised, job)


def _batches(cells: Sequence[Cell], size: int) -> Iterator[Sequence[Cell]]:
    """Prior cells apart: an adapter draws them in another way, and their time is not the subject's."""
    for _, members in groupby(cells, key=lambda cell: cell.prompt.category == PRIOR):
        alike = list(members)
        yield from (alike[start : start + size] for start in range(0, len(alike), size))


def _personalise(job: Job) -> tuple[Personalised, Fitted | None]:
    method, group = job.task.method, job.task.group
    subject = job.task.who.subject
    unsupported_reason = method.unsupported_reason(subject)
    if unsupported_reason:
        raise MethodError(unsupported_reason)
    fitted = _fit(job, subject)
    with job.clean():
        return method.load(job.folder.fit(group.method, group.identity), backbone=job.backbone), fitted


def _fit(job: Job, subject: Subject) -> Fitted | None:
    """Fit unless what is there was fitted in the same way."""
    method, identity = job.task.group.method, job.task.group.identity
    place, sidecar = job.folder.fit(method, identity), job.folder.fit_sidecar(method, identity)
    seed = fit_seed(job.task.run_seed, identity)
    fingerprint = job.task.fingerprint_parts.fit_fingerprint(seed)
    if not job.task.overwrite and place.is_dir() and read_json(sidecar).get("fingerprint") == fingerprint:
        return None
    sidecar.unlink(missing_ok=True)
    with fresh_folder(place) as into, job.clean(), measured() as cost:
        job.task.method.fit(subject, into, backbone=job.backbone, seed=seed)
    write_json(sidecar, {"fingerprint": fingerprint, **cost.record, "bytes": _size(place)})
    return Fitted(method, identity, cost.seconds)


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _draw_batch(
    batch: Sequence[Cell], missing: frozenset[str], personalised: Personalised, job: Job
) -> Iterator[Event]:
    drawn = _attempt(lambda: _pictures(personalised, batch, job))
    if isinstance(drawn, Failure):
        if len(batch) == 1:
            yield from _give_up(batch, drawn, job)
            return
        # One bad cell must not take its neighbours with it.
        for cell in batch:
            if cell.id in missing:
                yield from _draw_batch([cell], missing, personalised, job)
        return
    pictures, cost = drawn
    for cell, picture in zip(batch, pictures, strict=True):
        if cell.id in missing:
            _keep(cell, picture, cost, job)
            yield Generated(cell, cost["seconds"])


def _pictures(
    personalised: Personalised, batch: Sequence[Cell], job: Job
) -> tuple[list[Image], dict[str, Any]]:
    """The batch's pictures and the cost of each one of them."""
    requests = [Request(cell.prompt.template, cell.seed) for cell in batch]
    with job.clean(), measured() as cost:
        pictures = personalised.generate(requests)
    if len(pictures) != len(requests):
        raise MethodError(f"generate returned {len(pictures)} pictures for {len(requests)} requests")
    for picture in pictures:
        if not isinstance(picture, Image):
            raise MethodError(f"generate returned a {type(picture).__name__}, wanted is a PIL image")
    return pictures, {**cost.record, "seconds": cost.seconds / len(batch), "batch": len(batch)}


def _keep(cell: Cell, picture: Image, cost: Mapping[str, Any], job: Job) -> None:
    fingerprint_parts = job.task.fingerprint_parts
    record = {**cost, "flaw": flaw(picture), "made": fingerprint_parts.parts(cell)}
    job.folder.save(cell, picture, fingerprint_parts.fingerprint(cell), record)
    job.folder.failure(cell).unlink(missing_ok=True)


def flaw(picture: Image) -> str:
    """What makes a picture no picture: `nan` where its maker says so, `black` or `constant`; else empty."""
    if picture.info.get(FLAW):
        return str(picture.info[FLAW])
    pixels = picture.convert("RGB").tobytes()
    if pixels != pixels[:3] * (len(pixels) // 3):
        return ""
    return "black" if not any(pixels[:3]) else "constant"


def give_up(task: GroupTask, reason: str, folder: RunFolder) -> Iterator[Event]:
    """Rows with a reason for all that is missing of a group which never came back."""
    job = Job(task, None, folder)
    yield from _give_up([cell for cell in task.group.cells if job.wants(cell)], Failure(reason), job)


def _give_up(cells: Sequence[Cell], trouble: Failure, job: Job) -> Iterator[Event]:
    for cell in cells:
        fingerprint = job.task.fingerprint_parts.fingerprint(cell)
        record = {"fingerprint": fingerprint, "reason": trouble.reason, "traceback": trouble.traceback}
        write_json(job.folder.failure(cell), record)
        yield Failed(cell, trouble.reason)


def _attempt(action: Callable[[], T]) -> T | Failure:
    """Do it, or say why it cannot be done. A full disk is no cell's fault, and ends the run."""
    try:
        return action()
    except StoreError:
        raise
    except MethodError as error:
        return Failure(" ".join(str(error).split()), traceback.format_exc())
    except Exception as error:
        if isinstance(error, OSError) and error.errno in FULL:
            raise refusal(Path(str(error.filename or os.curdir)), error) from error
        return Failure(
            f"{type(error).__name__}: {' '.join(str(error).split())}"[:300], traceback.format_exc()
        )
