"""What the votes of a study show, as Markdown and JSON."""

import json
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, Final

from bench.analysis.comparison_table import ComparisonTable
from bench.analysis.statistics import MIN_PEOPLE
from bench.errors import ReportError
from bench.markdown import bullets, counted, dash
from bench.markdown import table as markdown_table
from bench.report.cell_text import estimate_text, value_text
from bench.votes.agreement import MetricAgreement, cluster, metric_agreement, voter_agreement
from bench.votes.answers import QUESTIONS, Ballots, Question, Vote
from bench.votes.clusters import has_intervals
from bench.votes.strengths import (
    Model,
    Strength,
    StrengthDifference,
    Votes,
    differences,
    fit,
    numbered_votes,
    strengths,
    unconnected,
    win_probability,
)

HEADINGS: Final[dict[Question, str]] = {
    "identity": "Identity: which image shows the person more faithfully",
    "prompt": "Text: which image follows the text better",
}
VERSION: Final = 1


@dataclass(frozen=True)
class QuestionResult:
    """The statistics of one question. Each is computed on first use, and once."""

    question: Question
    votes: tuple[Vote, ...]
    table: ComparisonTable

    @cached_property
    def numbered(self) -> Votes:
        methods = sorted({m for v in self.votes for m in (v.comparison.left, v.comparison.right)})
        rows = [(v.comparison.left, v.comparison.right, v.outcome) for v in self.votes]
        return numbered_votes(methods, rows, [cluster(vote) for vote in self.votes])

    @cached_property
    def model(self) -> Model:
        """Raises ReportError where the votes form separate groups of methods."""
        if apart := unconnected(self.numbered):
            raise ReportError(
                f"{self.question}: no votes compare {', '.join(apart)} with {self.numbered.methods[0]}, "
                "not even through other methods; count more answers"
            )
        return fit(self.numbered)

    @cached_property
    def strengths(self) -> list[Strength]:
        """From the strongest to the weakest."""
        return sorted(strengths(self.numbered, self.model), key=lambda s: -s.estimate.mean)

    @cached_property
    def differences(self) -> list[StrengthDifference]:
        return differences(self.numbered, self.model)

    @cached_property
    def agreements(self) -> list[MetricAgreement]:
        return metric_agreement(self.table, self.votes, self.strengths)


def as_markdown(table: ComparisonTable, ballots: Ballots) -> str:
    """Strengths, differences and agreement with the metrics, by question."""
    answered = [q for q in QUESTIONS if ballots.votes[q]]
    parts = [_head(table, ballots)]
    for question in answered:
        parts += _section(QuestionResult(question, ballots.votes[question], table))
    return "\n\n".join(part for part in parts if part) + "\n"


def as_json(table: ComparisonTable, ballots: Ballots) -> str:
    """The same numbers in full."""
    content = {
        "version": VERSION,
        "suite": table.run.manifest.suite,
        "voters": ballots.voters,
        "refused": ballots.refused,
        "questions": {
            question: _record(QuestionResult(question, ballots.votes[question], table))
            for question in QUESTIONS
            if ballots.votes[question]
        },
    }
    return json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def _head(table: ComparisonTable, ballots: Ballots) -> str:
    lines = [f"refused: {line}" for line in ballots.refused]
    every = [cluster(vote) for votes in ballots.votes.values() for vote in votes]
    if not has_intervals(every):
        lines.append(f"no intervals and no verdicts: they need at least {MIN_PEOPLE} voters and people")
    for study in ballots.studies:
        lines += [
            f"never shown: {counted(count, 'image')} of {method} that failed or show nothing"
            for method, count in study.left_out.items()
        ]
    compared = sum(len(study.comparisons) for study in ballots.studies)
    title = (
        f"# Votes on {table.run.manifest.suite or table.run.path.name}\n\n"
        f"{counted(len(ballots.voters), 'voter')}; {counted(compared, 'comparison')}."
    )
    return "\n\n".join(part for part in (title, bullets(lines)) if part)


def _section(result: QuestionResult) -> list[str]:
    """Strengths, verdicts and agreement of one question."""
    return [
        f"## {HEADINGS[result.question]}",
        bullets(_remarks(result)),
        "Log-strength by Davidson's model of paired comparisons with ties, relative to the mean of all "
        "methods; voters and people are taken as random. Preferred: the share of votes against the mean "
        "method that the model expects, where a tie counts half.",
        _strength_table(result),
        "Differences with Holm's correction over the pairs at 5 %; each interval has the level at which it "
        "was tested.",
        _difference_table(result),
        *_agreement(result),
    ]


def _remarks(result: QuestionResult) -> list[str]:
    votes = result.votes
    ties = sum(not vote.outcome for vote in votes)
    left = sum(vote.outcome > 0 for vote in votes)
    known = sum(vote.knows_person for vote in votes)
    lines = [f"{counted(len(votes), 'vote')}, of them {counted(ties, 'tie')}"]
    if len(votes) > ties:
        lines.append(
            f"the image on the left was preferred in {100 * left / (len(votes) - ties):.0f} % of others"
        )
    if known:
        lines.append(f"{counted(known, 'vote')} of people who know the person shown")
    between = voter_agreement(votes)
    if between is not None:
        lines.append(f"voters agree with one another in {estimate_text(between)} of their votes without ties")
    return lines


def _strength_table(result: QuestionResult) -> str:
    lines = [
        [
            s.method,
            estimate_text(s.estimate),
            f"{100 * win_probability(s.estimate.mean, result.model.tie_tendency):.0f} %",
            *map(str, (s.wins, s.ties, s.losses)),
        ]
        for s in result.strengths
    ]
    return markdown_table(["method", "log-strength", "preferred", "wins", "ties", "losses"], lines)


def _difference_table(result: QuestionResult) -> str:
    lines = [
        [
            f"{d.one} minus {d.other}",
            estimate_text(d.difference),
            d.verdict if d.difference.low is not None else dash(),
        ]
        for d in result.differences
    ]
    return markdown_table(["methods", "difference", "verdict"], lines)


def _agreement(result: QuestionResult) -> list[str]:
    if not result.agreements:
        return []
    lines = [[a.column.title, estimate_text(a.share), value_text(a.tau, ".2f")] for a in result.agreements]
    return [
        "Agreement of each metric: the share of votes without ties that prefer the image with the better "
        "score (equal scores count half; a guess has 0.5), and Kendall's tau-b of its means with the "
        "strengths.",
        markdown_table(["metric", "share of votes", "tau-b"], lines),
    ]


def _record(result: QuestionResult) -> dict[str, Any]:
    between = voter_agreement(result.votes)
    return {
        "votes": len(result.votes),
        "ties": sum(not vote.outcome for vote in result.votes),
        "by_people_who_know_the_person": sum(vote.knows_person for vote in result.votes),
        "tie_tendency": result.model.tie_tendency,
        "strengths": [asdict(s) for s in result.strengths],
        "differences": [{**asdict(d), "verdict": d.verdict} for d in result.differences],
        "voters_agree": asdict(between) if between else None,
        "metrics": [
            {"metric": a.column.name, "encoder": a.column.encoder, "share": asdict(a.share), "tau": a.tau}
            for a in result.agreements
        ],
    }
