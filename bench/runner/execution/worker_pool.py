"""Generate groups in several processes of one thread each, or with one process per GPU."""

import multiprocessing
import os
import signal
import sys
import threading
import traceback
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from typing import Final

from bench.errors import BenchError, WorkerError
from bench.runner.backbone_source import THREAD_VARIABLES, BackboneSource, environment, opened
from bench.runner.generate import generate_group, record_lost_group
from bench.runs.events import Event
from bench.runs.run_folder import RunFolder
from bench.runs.task import GroupTask
from bench.working_folder import leave_deleted_folder
from methods.errors import MethodError

CONTEXT: Final = multiprocessing.get_context("spawn")
"""A forked process could not use CUDA, and inherits the locks of the threads that it does not inherit."""

SECONDS_TO_END: Final = 5.0


@dataclass(frozen=True)
class Ready:
    """Sent by a worker that waits for a task."""


@dataclass
class Worker:
    """A process and the task that it works on."""

    process: SpawnProcess
    connection: Connection
    task: GroupTask | None = None

    def give(self, task: GroupTask) -> None:
        """Send a task to the waiting worker."""
        self.task = task
        self.connection.send(task)

    def end(self) -> None:
        """Stop the process, also in the middle of a task: all its files are whole at any time."""
        self.process.terminate()
        self.process.join(SECONDS_TO_END)
        self.process.kill()
        self.process.join()
        self.connection.close()


@dataclass
class WorkerPool:
    """Workers by slot; a slot stands for a core or a GPU."""

    backbone: BackboneSource | None
    folder: RunFolder
    slots: int
    workers: dict[int, Worker] = field(default_factory=dict)

    def generate(self, tasks: Sequence[GroupTask]) -> Iterator[Event]:
        """Generate the groups and yield their events as they happen.

        A worker that dies fails its group alone and is replaced. Raises the error of a worker, and
        WorkerError for a worker that dies before its first task.
        """
        pending = deque(tasks)
        try:
            while pending or self.workers:
                for slot in range(self.slots):
                    if slot not in self.workers and len(self.workers) < len(pending) + self._busy:
                        self.workers[slot] = self._start(slot)
                yield from self._next_events(pending)
        finally:
            for worker in self.workers.values():
                worker.end()

    @property
    def _busy(self) -> int:
        return sum(worker.task is not None for worker in self.workers.values())

    def _start(self, slot: int) -> Worker:
        ours, theirs = CONTEXT.Pipe()
        process = CONTEXT.Process(target=serve, args=(theirs, self.backbone, self.folder))
        with environment(**self._variables(slot)):
            process.start()
        theirs.close()
        return Worker(process, ours)

    def _variables(self, slot: int) -> dict[str, str]:
        if self.backbone is None or self.backbone.device == "cpu":
            return dict.fromkeys(THREAD_VARIABLES, "1")
        visible = os.environ.get("CUDA_VISIBLE_DEVICES")
        cards = visible.split(",") if visible else [str(number) for number in range(self.slots)]
        return {"CUDA_VISIBLE_DEVICES": cards[slot]}

    def _next_events(self, pending: deque[GroupTask]) -> Iterator[Event]:
        """Wait for messages and handle them."""
        by_connection = {worker.connection: slot for slot, worker in self.workers.items()}
        for connection in wait(list(by_connection)):
            slot = by_connection[connection]  # type: ignore[index]  # these are connections
            worker = self.workers[slot]
            try:
                message = worker.connection.recv()
            except (EOFError, ConnectionError):
                yield from self._lost(slot)
                continue
            if isinstance(message, Ready):
                worker.task = None
                if pending:
                    worker.give(pending.popleft())
                else:
                    self.workers.pop(slot).end()
            elif isinstance(message, BaseException):
                raise message
            else:
                yield message

    def _lost(self, slot: int) -> Iterator[Event]:
        """Record the group of a worker that died; the slot becomes free."""
        worker = self.workers.pop(slot)
        worker.end()
        how = _how_it_ended(worker.process.exitcode)
        if worker.task is None:
            raise WorkerError(
                f"a worker process ended while it started ({how}); run with fewer processes: --workers 1"
            )
        yield from record_lost_group(worker.task, f"the worker process was lost: {how}", self.folder)


def _how_it_ended(exitcode: int | None) -> str:
    if exitcode == -signal.SIGKILL:
        return "killed, perhaps because memory ran out"
    if exitcode is not None and exitcode < 0:
        return f"signal {signal.Signals(-exitcode).name}"
    return f"exit status {exitcode}"


def serve(connection: Connection, backbone: BackboneSource | None, folder: RunFolder) -> None:
    """The main function of a worker: load the backbone, then generate one group after another."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # By default the signal ends the process without the clean-up of libraries.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    leave_deleted_folder()
    threading.Thread(target=_end_with_parent, daemon=True, name="parent watcher").start()
    try:
        opened(backbone)
        connection.send(Ready())
        while True:
            for event in generate_group(connection.recv(), opened(backbone), folder):
                connection.send(event)
            connection.send(Ready())
    except (EOFError, ConnectionError):
        return
    except (BenchError, MethodError) as error:
        connection.send(error)
    except Exception as error:
        connection.send(RuntimeError(f"{error}\n\nin a worker process:\n{traceback.format_exc()}"))


def _end_with_parent() -> None:
    """End this process when the run's process is gone, also if that was killed."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
