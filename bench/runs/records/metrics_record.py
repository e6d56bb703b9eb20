"""metrics.json: the columns of a run, what was calibrated, and the digests of their tables."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path

from bench.atomic_io import read_json
from bench.errors import ReportError, SuiteError
from bench.runs.records.tables import ScoreRow, SetRow
from bench.runs.training_overlap import TRAINED_ON, names_in
from bench.suite.toml_schema import read_table


@dataclass(frozen=True)
class Column:
    """A metric and its encoder."""

    name: str
    encoder: str
    better: str
    of: str
    """`pictures` of the subject, `priors` (images without the subject), or `sets`."""
    fingerprint: Mapping[str, str]

    @property
    def trained_on(self) -> Sequence[str]:
        """Training data of the encoder; empty where the fingerprint does not name it."""
        return names_in(self.fingerprint.get(TRAINED_ON, ""))

    @property
    def qualified_name(self) -> str:
        """`identity@sface`, as in a suite."""
        return f"{self.name}@{self.encoder}" if self.encoder else self.name

    @property
    def title(self) -> str:
        """`identity (sface)`."""
        return f"{self.name} ({self.encoder})" if self.encoder else self.name

    @property
    def heading(self) -> str:
        """The title with an arrow towards better values."""
        arrow = {"higher": " ↑", "lower": " ↓"}.get(self.better, "")
        return self.title + arrow

    def contains(self, row: ScoreRow | SetRow) -> bool:
        """Whether a line of scores.csv or sets.csv belongs to this column."""
        return (row.metric, row.encoder) == (self.name, self.encoder)


@dataclass(frozen=True)
class MetricsRecord:
    """The content of metrics.json."""

    metrics: Mapping[str, Column]
    """By title."""
    calibration: Mapping[str, Mapping[str, float | None]] = field(default_factory=dict)
    """By title of a verification column, its threshold and the false accepts it was realised with."""
    tables: Mapping[str, str] | None = None
    """Digests of scores.csv and sets.csv; None in runs of version 0.1."""


def read_metrics(path: Path) -> MetricsRecord:
    """Read metrics.json. Raises ReportError for a damaged one."""
    known = {f.name for f in fields(MetricsRecord)}
    content = {key: value for key, value in read_json(path).items() if key in known}
    try:
        return read_table(content, MetricsRecord, str(path))
    except SuiteError as error:
        raise ReportError(f"{error}; the file is damaged, finish the run with `bench run`") from error
