"""Answers of voters, read from the files that the page saves."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final, Literal

from bench.errors import ReportError, SuiteError
from bench.runs.finished_run import FinishedRun
from bench.suite.toml_schema import read_table
from bench.text_files import read_json, shortened
from bench.votes.study import Comparison, Study, image_digest, read_studies
from methods.setting_checks import Bounds

Choice = Literal["left", "right", "tie", ""]
Question = Literal["identity", "prompt"]
QUESTIONS: Final[tuple[Question, ...]] = ("identity", "prompt")
LONGEST_NAME: Final = 200


@dataclass(frozen=True)
class Answer:
    """What one voter said about one comparison; empty for a question that was skipped."""

    comparison: Annotated[int, Bounds(1, 10**6)]
    """Number on the page, from 1."""
    identity: Choice
    prompt: Choice
    knows_person: bool = False


@dataclass(frozen=True)
class AnswerFile:
    """The content of a file that the page saved."""

    format: Literal["personabench votes 1"]
    study: str
    run: str
    seed: int
    voter: str
    answers: tuple[Answer, ...]
    saved: str = ""


@dataclass(frozen=True)
class Vote:
    """The answer of one voter to one question about two images."""

    voter: str
    comparison: Comparison
    choice: Literal["left", "right", "tie"]
    knows_person: bool

    @property
    def outcome(self) -> int:
        """1 where the left image won, -1 where the right one did, 0 for a tie."""
        return {"left": 1, "right": -1, "tie": 0}[self.choice]


@dataclass(frozen=True)
class Ballots:
    """All answers that count."""

    votes: Mapping[Question, tuple[Vote, ...]]
    voters: tuple[str, ...]
    studies: tuple[Study, ...]
    refused: tuple[str, ...]
    """One line for each file that does not count."""


def read_ballots(run: FinishedRun, files: Sequence[Path]) -> Ballots:
    """Read the files of all voters. A file that cannot be used is refused in one line, and the others count.

    Raises ReportError where no file can be used.
    """
    studies = read_studies(run)
    accepted: dict[tuple[str, str], tuple[Path, AnswerFile]] = {}
    refused = []
    for path in files:
        try:
            found = _read(path, run, studies)
            key = found.voter, found.study
            if key in accepted:
                raise ReportError(
                    f"{path}: voter {shortened(found.voter)} has answered this study in {accepted[key][0]} "
                    "too; keep the later file"
                )
            accepted[key] = path, found
        except ReportError as error:
            refused.append(str(error))
    if not accepted:
        raise ReportError(
            refused[0] if refused else "no files of answers; the page of `bench votes` saves them"
        )
    votes = {question: tuple(_votes(accepted.values(), studies, question)) for question in QUESTIONS}
    return Ballots(
        votes,
        tuple(sorted({voter for voter, _ in accepted})),
        tuple(studies[study] for study in sorted({study for _, study in accepted})),
        tuple(refused),
    )


def _read(path: Path, run: FinishedRun, studies: Mapping[str, Study]) -> AnswerFile:
    """Read one file. Raises ReportError for a damaged one, or one of another study."""
    try:
        found = read_table(read_json(path, ReportError), AnswerFile, str(path))
    except (ReportError, SuiteError) as error:
        raise ReportError(f"{error}; expected a file saved by the page of `bench votes`") from error
    if found.run != image_digest(run):
        raise ReportError(
            f"{path}: votes on other images than those in {run.path}, which were generated again or belong "
            "to another run; name the run whose page was answered"
        )
    if found.study not in studies:
        raise ReportError(
            f"{path}: study {shortened(found.study)} is not in {run.path}/votes; restore its file"
        )
    study = studies[found.study]
    if found.seed != study.seed:
        raise ReportError(f"{path}: seed {found.seed}, the study has {study.seed}; the file is damaged")
    if not found.voter.strip() or len(found.voter) > LONGEST_NAME or not found.voter.isprintable():
        raise ReportError(f"{path}: the voter is {shortened(found.voter)}; expected a short name")
    numbers = Counter(answer.comparison for answer in found.answers)
    for number, count in numbers.items():
        if number > len(study.comparisons):
            raise ReportError(
                f"{path}: comparison {number}, the study has {len(study.comparisons)}; the file is damaged, "
                "let the page save it again"
            )
        if count > 1:
            raise ReportError(
                f"{path}: comparison {number} is answered {count} times; the file is damaged, let the page "
                "save it again"
            )
    return found


def _votes(
    files: Iterable[tuple[Path, AnswerFile]], studies: Mapping[str, Study], question: Question
) -> Iterator[Vote]:
    for _, file in files:
        for answer in file.answers:
            choice = answer.identity if question == "identity" else answer.prompt
            if choice:
                comparison = studies[file.study].comparisons[answer.comparison - 1]
                yield Vote(file.voter, comparison, choice, answer.knows_person)
