"""Parts of a run whose features are computed by Ray tasks."""

from collections import Counter

from bench.runs.records.tables import CellRow
from bench.scoring.ray_features import parts


def row(method: str, who: str, sample: int, flaw: str = "") -> CellRow:
    return CellRow(
        f"{method}/{who}/p/s{sample}", method, who, "p", "free", "", sample, 0, "generated", flaw=flaw
    )


def test_parts_keep_a_persons_images_together_and_have_about_equal_size() -> None:
    cells = [row(method, who, sample) for method in "abc" for who in "xy" for sample in range(4)]
    found = parts([*cells, row("a", "z", 1, flaw="black")], 4)
    assert Counter(cell.cell for part in found for cell in part) == Counter(cell.cell for cell in cells)
    groups = [{(cell.method, cell.identity) for cell in part} for part in found]
    assert sum(map(len, groups)) == 6
    assert sorted(map(len, found)) == [4, 4, 8, 8]
    assert len(parts(cells[:1], 9)) == 1
