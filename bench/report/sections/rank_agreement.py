"""Do two face networks put the methods in the same order?"""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations

from bench.analysis.comparisons import picture_columns, ranked
from bench.analysis.statistics import Agreement, ByPerson, rank_agreement
from bench.markdown import dash, number, table
from bench.runs.finished_run import Column, FinishedRun
from metrics.catalog import ENCODERS


@dataclass(frozen=True)
class MetricPairAgreement:
    """Two columns of identity, and how far they agree."""

    one: Column
    other: Column
    methods: tuple[str, ...]
    """Those that both may rank."""
    agreement: Agreement


def face_metric_pairs(run: FinishedRun) -> Iterator[MetricPairAgreement]:
    """Every two columns of identity by face networks; baselines and leaking methods are left out."""
    faces = [c for c in picture_columns(run) if c.name == "identity" and _sees_faces(c.encoder)]
    for one, other in combinations(faces, 2):
        both = set(ranked(run, one)) & set(ranked(run, other))
        methods = tuple(label for label in run.methods if label in both)
        sides = [[_by_person(run, label, column) for label in methods] for column in (one, other)]
        yield MetricPairAgreement(one, other, methods, rank_agreement(sides[0], sides[1], seed=run.seed))


def agreement(run: FinishedRun) -> str:
    """The section of the report."""
    lines = [
        [f"{two.one.title}, {two.other.title}", _tau(two.agreement), str(two.agreement.methods)]
        for two in face_metric_pairs(run)
    ]
    if not lines:
        return ""
    intro = (
        "Kendall's tau-b between two face networks' orders of the ranked methods, with its 95 % interval "
        "from a bootstrap over people. 1 is the same order, 0 chance, -1 the reverse; where the interval is "
        "wide, the order is not to be relied upon."
    )
    return f"## Do the face networks agree?\n\n{intro}\n\n{table(['judges', 'tau-b', 'methods'], lines)}"


def _tau(found: Agreement) -> str:
    if found.tau is None:
        return dash()
    return number(found.tau, found.low, found.high)


def _sees_faces(encoder: str) -> bool:
    """A network of one's own is taken at its column's word."""
    return encoder not in ENCODERS or "face" in ENCODERS[encoder].serves


def _by_person(run: FinishedRun, label: str, column: Column) -> ByPerson:
    found: dict[str, list[float]] = defaultdict(list)
    for row in run.scores_of(label, column):
        if row.value is not None:
            found[row.identity].append(row.value)
    return dict(found)
