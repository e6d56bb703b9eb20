"""Write results/study.md from study_page.in.md and the tables of the study's runs.

    python results/scripts/study_page.py

A field between double braces in study_page.in.md names a function below with its arguments, such as
`{{minus study-main loo-attention ip-control identity@sface}}`.
"""

import re
from collections import defaultdict
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Final

from bench.analysis.comparison_table import ComparisonTable, compare
from bench.analysis.costs import Costs
from bench.analysis.statistics import Estimate
from bench.analysis.sweeps import SWEPT, matched_rows, method_of
from bench.markdown import dash, number, table
from bench.runs.finished_run import FinishedRun, read_run
from bench.runs.tables import FLOOR

HERE: Final = Path(__file__).parents[1]
WORDS: Final = Path(__file__).with_name("study_page.in.md")
FIELD: Final = re.compile(r"\{\{(.+?)\}\}")
CARD: Final = re.compile(r"\| seconds \| (\d+) \|")
IDENTITY: Final = ("identity@sface", "identity@face-rendered")
PROMPT: Final = "prompt-match@attributes"


@cache
def study(name: str) -> FinishedRun:
    """The run in the folder of this name."""
    return read_run(HERE / name)


@cache
def compared(name: str) -> ComparisonTable:
    """The comparison table of the run in the folder of this name."""
    return compare(study(name))


def people(name: str) -> str:
    """How many people a run has."""
    return str(len({cell.identity for cell in study(name).cells}))


def pictures(name: str) -> str:
    """How many pictures a run has."""
    return f"{sum(cell.status == 'generated' for cell in study(name).cells):,}"


def value(name: str, row: str, column: str) -> str:
    """Mean and interval of one row in one column of pictures' scores."""
    return _shown(compared(name).column(column).entry(row).estimate)


def minus(name: str, one: str, other: str, column: str) -> str:
    """One row minus another, paired by person and prompt, with its interval."""
    return _shown(_paired(name, one, other, column))


def people_above(name: str, one: str, other: str, column: str) -> str:
    """In how many people one row's mean is above another's: `29 of 32`."""
    by_person: dict[str, list[float]] = defaultdict(list)
    for label, sign in ((one, 1.0), (other, -1.0)):
        found: dict[str, list[float]] = defaultdict(list)
        for row in study(name).scores_of(label, study(name).column_named(column)):
            if row.value is not None:
                found[row.identity].append(row.value)
        for who, scores in found.items():
            by_person[who].append(sign * sum(scores) / len(scores))
    both = [sum(signed) for signed in by_person.values() if len(signed) == 2]
    return f"{sum(gap > 0 for gap in both)} of {len(both)}"


def share(name: str, row: str, column: str) -> str:
    """How much of the way from text-only to the real photographs of the same person a row's mean covers."""
    ends = [
        compared(name).column(column).entry(label).estimate for label in (FLOOR, row, "real (same person)")
    ]
    floor, mean, ceiling = (end.mean for end in ends if end is not None)
    return f"{100 * (mean - floor) / (ceiling - floor):.0f} %"


def rows(name: str, *columns: str) -> str:
    """A table of every row in some columns, of pictures or of sets."""
    run = study(name)
    of_sets = {f"{c.column.name}@{c.column.encoder}": c for c in compared(name).set_columns}
    lines = []
    for label in run.methods:
        line = [label]
        for column in columns:
            if column in of_sets:
                found = of_sets[column].entries.get(label)
                line.append(dash() if found is None or found.value is None else number(found.value))
            else:
                line.append(value(name, label, column))
        lines.append(line)
    return table(["row", *columns], lines)


def against(name: str, other: str, *columns: str) -> str:
    """A table of every row minus one of them."""
    lines = [
        [label, *(_difference(_paired(name, label, other, column)) for column in columns)]
        for label in study(name).methods
        if label not in (other, "photo-copy")
    ]
    return table([f"minus {other}", *columns], lines)


def sweep(name: str, setting: str, column: str) -> str:
    """A table of methods against the values of a swept setting."""
    run = study(name)
    hits = [hit for label in run.methods if (hit := SWEPT.fullmatch(label)) and hit["setting"] == setting]
    values = dict.fromkeys(hit["value"] for hit in hits)
    lines = [
        [method, *(value(name, f"{method}@{setting}={v}", column) for v in values)]
        for method in dict.fromkeys(hit["method"] for hit in hits)
    ]
    return table([setting, *values], lines)


def falls(name: str, column: str) -> str:
    """A table of what a bad reference photograph takes: each method's spoilt row minus its own good one."""
    run = study(name)
    found = [hit for label in run.methods if (hit := SWEPT.fullmatch(label))]
    values = dict.fromkeys(hit["value"] for hit in found)
    lines = [
        [method, *(_difference(_paired(name, f"{method}@spoil={v}", method, column)) for v in values)]
        for method in dict.fromkeys(hit["method"] for hit in found)
    ]
    return table(["one photograph of four", *values], lines)


def at_matched_prompt(name: str, other: str) -> str:
    """A table of each method's best row whose prompt match is not shown to be below text-only's."""
    best = {
        column: {
            found.method: found.label
            for found in matched_rows(compared(name).column(column), compared(name).column(PROMPT))
        }
        for column in IDENTITY
    }
    return _best(name, other, best)


def at_kept_prompt(name: str, other: str, share: str) -> str:
    """A table of each method's best row that keeps such a share of text-only's mean prompt match."""
    run = study(name)
    floor = _mean(name, FLOOR, PROMPT)
    best: dict[str, dict[str, str]] = {column: {} for column in IDENTITY}
    for label in run.methods:
        method = method_of(label)
        if method == FLOOR or _mean(name, label, PROMPT) < float(share) * floor:
            continue
        for column, rows_there in best.items():
            before = rows_there.get(method)
            if before is None or _mean(name, label, column) > _mean(name, before, column):
                rows_there[method] = label
    return _best(name, other, best)


def _best(name: str, other: str, best: Mapping[str, Mapping[str, str]]) -> str:
    """Each method's chosen row, by identity, minus the row that was chosen of `other`."""
    lines = []
    for column, labels in best.items():
        for method in sorted(labels, key=lambda method: -_mean(name, labels[method], column)):
            label = labels[method]
            gaps = [_paired(name, label, labels[other], c) for c in (column, PROMPT)]
            line = [column, label, value(name, label, column), value(name, label, PROMPT)]
            lines.append([*line, *(dash() if method == other else _difference(gap) for gap in gaps)])
    header = ["identity by", "row", "identity", "prompt match"]
    return table([*header, f"identity minus {other}", f"prompt match minus {other}"], lines)


def costs(name: str, dear: str) -> str:
    """A table of what one more person costs, beside the method `dear`."""
    run = study(name)
    base = compared(name).costs[dear]
    lines = []
    for label in run.methods:
        found = compared(name).costs[label]
        fit, draw, size = _measured(found)
        part = 100 * fit / _measured(base)[0]
        line = [label, f"{fit:.2f}", f"{part:.1f} %", f"{draw:.3f}", f"{size:,.0f}", _until(found, base)]
        lines.append(line)
    header = ["row", "fit s", f"of {dear}'s", "s a picture", "bytes a person"]
    return table([*header, f"cheaper than {dear}"], lines)


def fit_share(name: str, row: str, dear: str) -> str:
    """A row's fitting time in per cent of another's."""
    one, other = (_measured(compared(name).costs[label])[0] for label in (row, dear))
    return f"{100 * one / other:.1f} %"


def break_even(name: str, row: str, dear: str, *networks: str) -> str:
    """After how many people the training of a row's networks is paid back by what fitting them would cost."""
    trained = sum(int(_card(network)) for network in networks)
    one, other = (_measured(compared(name).costs[label])[0] for label in (row, dear))
    return f"{trained / (other - one):.0f}"


def seconds(*networks: str) -> str:
    """Seconds that the training of some networks took, by their cards."""
    return f"{sum(int(_card(network)) for network in networks):,}"


def losses(*networks: str) -> str:
    """A table of the networks' losses on unseen people, by their cards."""
    lines = []
    for network in networks:
        text = (HERE / "study-networks" / f"{network}.md").read_text(encoding="utf-8")
        said = dict(re.findall(r"\| ([^|]+) \| ([^|]+) \|", text))
        own, without = said["loss on unseen people"], said["the same without their photographs"]
        lines.append([network, own, without, f"{1e4 * (float(without) - float(own)):.0f}"])
    header = ["network", "loss on unseen people", "without their photographs", "gain, 1e-4"]
    return table(header, lines)


FUNCTIONS: Final[Mapping[str, Callable[..., str]]] = {
    function.__name__: function
    for function in (
        *(people, pictures, value, minus, people_above, share, rows, against, sweep, falls),
        *(at_matched_prompt, at_kept_prompt, costs, fit_share, break_even, seconds, losses),
    )
}


def filled(words: str) -> str:
    """The text with every field replaced. Raises KeyError for a function that there is not."""

    def number_of(field: re.Match[str]) -> str:
        name, *arguments = field[1].split()
        return FUNCTIONS[name](*arguments)

    return FIELD.sub(number_of, words)


def _mean(name: str, row: str, column: str) -> float:
    found = compared(name).column(column).entry(row).estimate
    if found is None:
        raise ValueError(f"{name}: {row} has no {column}")
    return found.mean


def _paired(name: str, one: str, other: str, column: str) -> Estimate | None:
    return compared(name).column(column).paired(one, other)


def _shown(found: Estimate | None) -> str:
    return dash() if found is None else number(found.mean, found.low, found.high)


def _difference(found: Estimate | None) -> str:
    """`0.021 [0.004, 0.038] above`."""
    if found is None or found.low is None or found.high is None:
        return _shown(found)
    word = "above" if found.low > 0 else "below" if found.high < 0 else "not separable"
    return f"{_shown(found)} {word}"


def _measured(found: Costs) -> tuple[float, float, float]:
    return found.fit_seconds or 0.0, found.seconds_per_image or 0.0, found.bytes_per_identity or 0.0


def _until(found: Costs, base: Costs) -> str:
    """Up to how many pictures of one person fitting and drawing cost less than by `base`."""
    (fit, draw, _), (base_fit, base_draw, _) = _measured(found), _measured(base)
    if found == base:
        return dash()
    if fit <= base_fit and draw <= base_draw:
        return "always"
    if fit > base_fit and draw >= base_draw:
        return "never"
    pictures_there = abs((base_fit - fit) / (draw - base_draw))
    return f"{'up to' if fit <= base_fit else 'from'} {pictures_there:,.0f} pictures"


def _card(network: str) -> str:
    found = CARD.search((HERE / "study-networks" / f"{network}.md").read_text(encoding="utf-8"))
    if found is None:
        raise ValueError(f"results/study-networks/{network}.md: no line with its seconds")
    return found[1]


def main() -> None:
    """Write the page."""
    (HERE / "study.md").write_text(filled(WORDS.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
