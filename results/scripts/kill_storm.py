"""Kill runs at random moments and at random file operations, and check that nothing is lost or mixed.

    python results/scripts/kill_storm.py --kills 1000

Each round fits and generates in a fresh run folder, is killed again and again until it ends, and is compared
with an undisturbed run, byte for byte; every other round repeats a finished run with `--overwrite`. After
every kill all files of the run folder are checked. Prints the counts, and ends with status 1 after a fault.
"""

import argparse
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image

sys.path.append(str(Path(__file__).parent))

from storm_suite import write_inputs

from bench.atomic_io import PARTIAL, folder_digest, read_json
from bench.cli.main import main as command_line
from bench.errors import ReportError
from bench.runs.finished_run import read_run

WORKERS = "STORM_WORKERS"
"""Environment variable with the number of worker processes of a run."""


def forked_run(work: Path, out: Path, *options: str, kill_at: int | None = None) -> int:
    """Start `bench run` in a forked process, which kills itself before file operation `kill_at`."""
    process = os.fork()
    if process:
        return process
    try:
        sys.stdout = sys.stderr = open(os.devnull, "w")  # noqa: PTH123, SIM115  # ends with the process
        count_operations(kill_at, work / "operations")
        os._exit(run(work, out, *options))
    finally:
        os._exit(1)


def run(work: Path, out: Path, *options: str) -> int:
    """`bench run` in this process; its exit status."""
    suite, workers = str(work / "suite.toml"), os.environ.get(WORKERS, "1")
    sys.argv = ["bench", "run", "--suite", suite, "--methods", "all", "--out", str(out), "--workers", workers]
    sys.argv += options
    try:
        command_line()
    except SystemExit as ended:
        return int(ended.code or 0)
    return 0


def count_operations(kill_at: int | None, log: Path) -> None:
    """Count the operations on files; kill this process before one of them, or write their number at exit."""
    counted = 0

    def counting(operation: Any) -> Any:
        def call(*arguments: Any, **options: Any) -> Any:
            nonlocal counted
            counted += 1
            if counted == kill_at:
                os.kill(os.getpid(), signal.SIGKILL)
            if kill_at is None:
                log.write_text(str(counted))
            return operation(*arguments, **options)

        return call

    for name in ("fsync", "replace", "unlink", "mkdir", "rmdir"):
        setattr(os, name, counting(getattr(os, name)))


def ended(process: int) -> int | None:
    """Wait for a process; its exit status, or None if it was killed."""
    _, status = os.waitpid(process, 0)
    return os.waitstatus_to_exitcode(status) if os.WIFEXITED(status) else None


@dataclass
class Storm:
    """Kills runs in one folder and keeps what was seen."""

    work: Path
    random: random.Random
    seconds: float
    """Duration of an undisturbed run."""
    operations: int
    """File operations of an undisturbed run."""
    counts: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)

    def killed_run(self, out: Path, *options: str) -> int | None:
        """One run, killed at a random moment or operation; its status if it ended before."""
        if self.random.random() < 0.5:
            at = self.random.randint(1, self.operations)
            status = ended(forked_run(self.work, out, *options, kill_at=at))
        else:
            process = forked_run(self.work, out, *options, kill_at=0)
            time.sleep(self.random.uniform(0, 1.1 * self.seconds))
            os.kill(process, signal.SIGKILL)
            status = ended(process)
        self.counts["killed" if status is None else "ended"] += 1
        return status

    def round(self, reference: Path, out: Path, kills: int) -> None:
        """Kill runs into `out` until one ends, and compare the folder with the undisturbed one."""
        options = ("--overwrite",) if (out / "report.md").exists() else ()
        self.counts["rounds with --overwrite" if options else "rounds"] += 1
        known: dict[str, bytes] = {}
        status = None
        while status is None and self.counts["killed"] < kills:
            status = self.killed_run(out, *options)
            self.faults += [f"after a kill: {fault}" for fault in faults_of(out, reference, known)]
        if status is None:
            status = ended(forked_run(self.work, out, *options, kill_at=0))
        self.faults += [f"at the end: {fault}" for fault in differences(out, reference)]
        if status != 0:
            self.faults.append(f"the last run ended with status {status}")


def faults_of(out: Path, reference: Path, known: dict[str, bytes]) -> Iterator[str]:
    """What is damaged, lost or mixed; `known` receives the images seen so far."""
    for name, content in known.items():
        if not (out / name).exists() or (out / name).read_bytes() != content:
            yield f"{name} is lost or changed"
    for path in sorted(out.glob("images/*/*/*.png")):
        if not path.name.endswith(PARTIAL):
            with Image.open(path) as image:
                image.load()
            known[str(path.relative_to(out))] = path.read_bytes()
            if not read_json(path.with_suffix(".json")):
                yield f"{path} has no sidecar"
    yield from (f"{p} is no JSON" for p in out.rglob("*.json") if p.name[0] != "." and not read_json(p))
    for sidecar in out.glob("fits/*/*.json"):
        if folder_digest(sidecar.with_suffix("")) != read_json(sidecar)["content"]:
            yield f"{sidecar} vouches for a damaged fit"
    yield from report_faults(out, reference)


def report_faults(out: Path, reference: Path) -> Iterator[str]:
    """A report is refused, or it has the numbers of the undisturbed run."""
    try:
        found = read_run(out) if out.exists() else None
    except ReportError:
        return
    if found is not None and found.scores != read_run(reference).scores:
        yield f"{out}: a report has other numbers"


def differences(out: Path, reference: Path) -> Iterator[str]:
    """What differs from the undisturbed run, but for costs and temporary files."""
    names, expected = (
        {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
        for folder in (out, reference)
    )
    yield from (f"{name} is in one folder only" for name in names ^ expected)
    for name in sorted(names & expected):
        is_result = name.endswith((".png", "scores.csv", "sets.csv")) or "/part-" in name
        if is_result and (out / name).read_bytes() != (reference / name).read_bytes():
            yield f"{name} differs"
    cells = [[(c.cell, c.status, c.picture) for c in read_run(folder).cells] for folder in (out, reference)]
    if cells[0] != cells[1]:
        yield "cells.csv differs"


def storm(work: Path, kills: int, seed: int) -> Storm:
    """Make inputs and the undisturbed run in an empty folder, and kill that many runs."""
    write_inputs(work)
    # Imports everything, so that the forked processes start at once.
    with redirect_stdout(sys.stderr):
        run(work, work / "warm-up")
    reference = work / "undisturbed"
    if ended(forked_run(work, reference)) != 0:
        raise SystemExit("the undisturbed run failed")
    operations = int((work / "operations").read_text())
    started = time.monotonic()
    ended(forked_run(work, work / "timed", kill_at=0))
    found = Storm(work, random.Random(seed), time.monotonic() - started, operations)
    rounds = 0
    while found.counts["killed"] < kills and not found.faults:
        found.round(reference, work / f"run-{rounds // 2}", kills)
        rounds += 1
        sys.stderr.write(f"{found.counts['killed']} of {kills} kills\n")
    return found


def main() -> None:
    """Parse the options and print the counts."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", default="1", help="worker processes of each run")
    options = parser.parse_args()
    os.environ[WORKERS] = options.workers
    with tempfile.TemporaryDirectory() as work:
        found = storm(Path(work), options.kills, options.seed)
    counts = ", ".join(f"{count} {name}" for name, count in sorted(found.counts.items()))
    sys.stdout.write(
        f"{counts}; {found.operations} file operations and {found.seconds:.2f} s per undisturbed run\n"
        + ("\n".join(found.faults) or "nothing lost, nothing mixed")
        + "\n"
    )
    sys.exit(1 if found.faults else 0)


if __name__ == "__main__":
    main()
