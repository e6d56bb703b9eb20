"""`bench doctor`: every weight, package, device, dataset and disk need of a suite, and whether it is met."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from bench.datasets.registry import open_people
from bench.doctor.finding import Finding, State, found, missing
from bench.doctor.package_checks import package_findings
from bench.errors import BenchError, ExitStatus
from bench.runner.session import RESULTS
from bench.runs.plan import make_plan
from bench.suite.suite import Suite, SuiteFile, open_suite

COLOURS: Final = {State.found: "green", State.note: "yellow", State.missing: "red"}
ROOT: Final = Path(__file__).parents[2]
PIPED_WIDTH: Final = 160
"""Columns of the table where it is not a terminal that shows it."""


@dataclass(frozen=True)
class Diagnosis:
    """What `bench doctor` says of one suite."""

    suite: Suite
    findings: tuple[Finding, ...]

    @property
    def status(self) -> ExitStatus:
        """DONE where every need is met."""
        return ExitStatus.DONE if all(line.met for line in self.findings) else ExitStatus.SOME_FAILED


def diagnose(suite: str, methods: str) -> Diagnosis:
    """Look for everything that `bench run --suite SUITE --methods METHODS` needs; raises SuiteError."""
    file = open_suite(suite)
    lines = [
        *package_findings(),
        disk_finding(file.suite, RESULTS),
        *dataset_findings(file),
        *asked_of_libraries(suite, methods=methods)[file.suite.name],
    ]
    return Diagnosis(file.suite, tuple(with_source(line, file.suite.needs.sources) for line in lines))


def asked_of_libraries(*suites: str, methods: str) -> dict[str, list[Finding]]:
    """Findings of `library_checks` by suite, from a subprocess: a broken torch cannot end this one."""
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH", "")]))
    done = subprocess.run(
        [sys.executable, "-m", "bench.doctor.library_checks", methods, *suites],
        env={**os.environ, "PYTHONPATH": path, "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        said = (done.stderr.strip() or "nothing").splitlines()[-1]
        lines = [missing("machine", "libraries", f"ended with status {done.returncode}: {said}")]
        return {open_suite(name).suite.name: lines for name in suites}
    told = json.loads(done.stdout.splitlines()[-1])
    return {
        name: [Finding(**{**line, "state": State(line["state"])}) for line in lines]
        for name, lines in told.items()
    }


def dataset_findings(file: SuiteFile) -> list[Finding]:
    """Whose photographs there are, and how many pictures a row of the table takes."""
    suite = file.suite
    try:
        people = open_people(suite.dataset, file.base)
        plan = make_plan(
            ("any",),
            people.chosen,
            suite.shared_prompts,
            recaptions=suite.prompts.recaptions,
            samples=suite.samples,
            seed=suite.seed,
            priors=suite.prompts.priors,
        )
    except BenchError as error:
        return [missing("dataset", suite.dataset.kind, error)]
    photos = sum(len(who.references) + len(who.held_out) for who in people.chosen)
    text = f"{len(people.chosen)} identities with {photos} photographs, {len(people.others)} of others"
    there = found("dataset", suite.dataset.kind, f"{text}; {len(plan.cells):,} pictures per method")
    return [there, *(Finding("dataset", "to know", State.note, remark) for remark in people.remarks)]


def disk_finding(suite: Suite, folder: Path) -> Finding:
    """Room for the run folder."""
    there = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    free = shutil.disk_usage(there).free / 1e9
    text = f"{there} has {free:.1f} GB free, a run grows to about {suite.needs.disk:g} GB"
    if free < suite.needs.disk:
        return missing("machine", "disk", f"{text}; make room, or give --out a folder on another disk")
    return found("machine", "disk", text)


def with_source(line: Finding, sources: dict[str, str]) -> Finding:
    """With the suite's own words on how to get what is missing; the longest path that is named decides."""
    named = [path for path in sources if path in f"{line.what} {line.detail}"]
    return line if line.met or not named else replace(line, source=sources[max(named, key=len)])


def show(diagnosis: Diagnosis, console: Console) -> None:
    """The table, how to get what is missing, what the suite says of its time, and the verdict."""
    table = Table(title=diagnosis.suite.about)
    for head, width in (("need", None), ("", 36), ("", None), ("where it is, or what is missing", None)):
        table.add_column(head, max_width=width, overflow="fold")
    for line in diagnosis.findings:
        state = f"[{COLOURS[line.state]}]{line.state.value}[/]"
        table.add_row(line.kind, escape(line.what), state, escape(line.detail))
    console.print(table)
    lines = [f"\n{source}" for source in dict.fromkeys(line.source for line in diagnosis.findings) if source]
    if lines:
        lines.insert(0, "\nHow to get what is missing:")
    if diagnosis.suite.needs.time:
        lines.append(f"\nA run takes {diagnosis.suite.needs.time}.")
    for text in (*lines, verdict(diagnosis)):
        # Whole lines, so that a command can be copied.
        console.print(text, markup=False, highlight=False, soft_wrap=True)


def verdict(diagnosis: Diagnosis) -> str:
    """One line: is all there."""
    lacking = [line for line in diagnosis.findings if not line.met]
    total = len(diagnosis.findings)
    if not lacking:
        return f"{diagnosis.suite.name}: all {total} needs are met"
    names = ", ".join(dict.fromkeys(f"{line.kind} {line.what}" for line in lacking))
    return f"{diagnosis.suite.name}: {len(lacking)} of {total} needs are missing: {names}"


def as_json(diagnosis: Diagnosis) -> str:
    """The same for programs."""
    lines = [asdict(line) for line in diagnosis.findings]
    return json.dumps({"suite": diagnosis.suite.name, "needs": lines}, indent=2, ensure_ascii=False)


def console_of(terminal: bool) -> Console:
    """As wide as the terminal; wide enough for a path where there is none."""
    return Console(width=None if terminal else PIPED_WIDTH)
