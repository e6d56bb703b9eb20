"""What is scored: a run folder with its suite, people and metrics."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from bench.datasets.registry import People
from bench.runs.records.tables import CellRow
from bench.runs.run_folder import RunFolder
from bench.scoring.samples import place_of
from bench.scoring.suite_metrics import Metrics
from bench.suite.suite import Suite


@dataclass(frozen=True)
class ScoringInputs:
    """A run folder to score, with its suite and people."""

    folder: RunFolder
    suite: Suite
    people: People
    cells: Sequence[CellRow]
    metrics: Metrics
    seed: int
    floor: str
    """The row of the backbone alone."""
    added: Sequence[str] = ()
    """Names of metrics that the suite does not have."""

    @property
    def labels(self) -> list[str]:
        """Rows of the table."""
        return list(self._cells_by_label)

    def cells_of(self, label: str) -> list[CellRow]:
        """Cells of one row."""
        return self._cells_by_label.get(label, [])

    @cached_property
    def flaws_of_floor(self) -> dict[tuple[str, str, int], str]:
        """Why images of the floor show nothing, by identity, prompt and sample."""
        return {place_of(cell): cell.flaw for cell in self.cells_of(self.floor)}

    @cached_property
    def _cells_by_label(self) -> dict[str, list[CellRow]]:
        found: dict[str, list[CellRow]] = defaultdict(list)
        for cell in self.cells:
            found[cell.method].append(cell)
        return dict(found)
