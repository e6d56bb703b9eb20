"""`bench doctor`: check the packages, device, weights, dataset and disk space that a suite needs."""

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
from bench.markdown import printable
from bench.runner.session import RESULTS
from bench.runs.plan import image_counts, make_plan
from bench.suite.suite import Suite, SuiteFile, open_suite

COLOURS: Final = {State.found: "green", State.note: "yellow", State.missing: "red"}
REPOSITORY: Final = Path(__file__).parents[2]
PIPED_WIDTH: Final = 160
"""Width of the table in characters if the output is not a terminal."""


@dataclass(frozen=True)
class Diagnosis:
    """All findings about one suite."""

    suite: Suite
    findings: tuple[Finding, ...]

    @property
    def status(self) -> ExitStatus:
        """DONE if every requirement is met."""
        return ExitStatus.DONE if all(line.met for line in self.findings) else ExitStatus.SOME_FAILED


def diagnose(suite: str, methods: str) -> Diagnosis:
    """Check everything that `bench run --suite SUITE --methods METHODS` needs. Raises SuiteError."""
    file = open_suite(suite)
    lines = [
        *package_findings(),
        disk_finding(file.suite, RESULTS),
        *dataset_findings(file),
        *library_findings(suite, methods=methods)[file.suite.name],
    ]
    return Diagnosis(file.suite, tuple(with_source(line, file.suite.needs.sources) for line in lines))


def library_findings(*suites: str, methods: str) -> dict[str, list[Finding]]:
    """Findings of `library_checks` by suite, from a subprocess, as a broken torch may end the process."""
    folders = [str(REPOSITORY), *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
    done = subprocess.run(
        # -P: files of the working folder, such as numpy.py, shadow no library.
        [sys.executable, "-P", "-m", "bench.doctor.library_checks", methods, *suites],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, folders)), "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        message = (done.stderr.strip() or "no message").splitlines()[-1]
        lines = [missing("machine", "libraries", f"checks ended with status {done.returncode}: {message}")]
        return {open_suite(name).suite.name: lines for name in suites}
    findings = json.loads(done.stdout.splitlines()[-1])
    return {
        name: [Finding(**{**line, "state": State(line["state"])}) for line in lines]
        for name, lines in findings.items()
    }


def dataset_findings(file: SuiteFile) -> list[Finding]:
    """Count the identities, their photographs and the images per method."""
    suite = file.suite
    try:
        people = open_people(suite.dataset, file.base)
        plan = make_plan(
            ("any",),
            people.chosen,
            suite.shared_prompts,
            image_counts(suite),
            seed=suite.seed,
        )
    except BenchError as error:
        return [missing("dataset", suite.dataset.kind, error)]
    photos = sum(len(who.references) + len(who.held_out) for who in people.chosen)
    text = f"{len(people.chosen)} identities with {photos} photographs, {len(people.others)} of others"
    counts = found("dataset", suite.dataset.kind, f"{text}; {len(plan.cells):,} images per method")
    return [counts, *(Finding("dataset", "remark", State.note, remark) for remark in people.remarks)]


def disk_finding(suite: Suite, folder: Path) -> Finding:
    """Check the disk space for the run folder."""
    existing = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    free = shutil.disk_usage(existing).free / 1e9
    text = f"{existing} has {free:.1f} GB free, a run needs about {suite.needs.disk:g} GB"
    if free < suite.needs.disk:
        return missing(
            "machine", "disk", f"{text}; free some space, or set --out to a folder on another disk"
        )
    return found("machine", "disk", text)


def with_source(line: Finding, sources: dict[str, str]) -> Finding:
    """Add the suite's source of what is missing, chosen by the longest path contained in the finding."""
    matching = [path for path in sources if path in f"{line.what} {line.detail}"]
    return line if line.met or not matching else replace(line, source=sources[max(matching, key=len)])


def show(diagnosis: Diagnosis, console: Console) -> None:
    """Print the table, the sources of what is missing, the expected duration and the summary line."""
    table = Table(title=diagnosis.suite.about)
    for title, width in (("requirement", None), ("", 36), ("", None), ("location, or what is missing", None)):
        table.add_column(title, max_width=width, overflow="fold")
    for line in diagnosis.findings:
        state = f"[{COLOURS[line.state]}]{line.state.value}[/]"
        table.add_row(line.kind, escape(printable(line.what)), state, escape(printable(line.detail)))
    console.print(table)
    lines = [f"\n{source}" for source in dict.fromkeys(line.source for line in diagnosis.findings) if source]
    if lines:
        lines.insert(0, "\nHow to obtain what is missing:")
    if diagnosis.suite.needs.time:
        lines.append(f"\nA run takes {diagnosis.suite.needs.time}.")
    for text in (*lines, summary(diagnosis)):
        # Unwrapped lines, so that a command can be copied.
        console.print(text, markup=False, highlight=False, soft_wrap=True)


def summary(diagnosis: Diagnosis) -> str:
    """One line: how many requirements are missing, and which."""
    unmet = [line for line in diagnosis.findings if not line.met]
    total = len(diagnosis.findings)
    if not unmet:
        return f"{diagnosis.suite.name}: all {total} requirements are met"
    names = ", ".join(dict.fromkeys(f"{line.kind} {line.what}" for line in unmet))
    return f"{diagnosis.suite.name}: {len(unmet)} of {total} requirements are missing: {names}"


def as_json(diagnosis: Diagnosis) -> str:
    """The findings as JSON."""
    lines = [asdict(line) for line in diagnosis.findings]
    return json.dumps({"suite": diagnosis.suite.name, "needs": lines}, indent=2, ensure_ascii=False)


def console_of(terminal: bool) -> Console:
    """A console as wide as the terminal, or `PIPED_WIDTH` if the output is not a terminal."""
    return Console(width=None if terminal else PIPED_WIDTH)
