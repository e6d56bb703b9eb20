"""The command `bench votes`, without parsing and printing."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench.analysis.comparison_table import compare
from bench.errors import ExitStatus, ReportError
from bench.report.run_files import people_of
from bench.runs.finished_run import read_run
from bench.votes.answers import read_ballots
from bench.votes.page import write_page
from bench.votes.results import as_json, as_markdown
from bench.votes.study import make_study, write_study

PAGE: Final = "votes.html"


@dataclass(frozen=True)
class StudyArguments:
    """The options of `bench votes` that make a page."""

    methods: Sequence[str]
    """Empty for all."""
    comparisons: int
    seed: int
    output: Path | None


@dataclass(frozen=True)
class WrittenStudy:
    """The files of a new study, and what its maker must know."""

    page: Path
    key: Path
    """The file that names the method of each image; not for voters."""
    remarks: tuple[str, ...]


def write_votes_page(path: Path, arguments: StudyArguments) -> WrittenStudy:
    """Choose comparisons, write their page, and the study into the run folder."""
    run = read_run(path)
    people, remark = people_of(run)
    if not people:
        raise ReportError(f"{path}: voters need the reference photographs. {remark}")
    study = make_study(run, arguments.methods, arguments.comparisons, arguments.seed)
    page = arguments.output or path / PAGE
    write_page(run, study, people, page)
    key = write_study(path, study)
    lost = tuple(f"never shown: {n} images of {name} without content" for name, n in study.left_out.items())
    return WrittenStudy(page, key, lost)


def count_votes(path: Path, files: Sequence[Path], form: str) -> tuple[ExitStatus, str, tuple[str, ...]]:
    """The results of all usable files, and one line for each other; SOME_FAILED where there is one."""
    run = read_run(path)
    ballots = read_ballots(run, files)
    text = {"markdown": as_markdown, "json": as_json}[form](compare(run), ballots)
    status = ExitStatus.SOME_FAILED if ballots.refused else ExitStatus.DONE
    return status, text, ballots.refused
