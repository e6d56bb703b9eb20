"""Writes results/study.md from study_page.in.md and the tables of the study's runs.

    python results/scripts/study_page.py

A field in double braces in study_page.in.md contains the name of a function below and its arguments, such as
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
from bench.analysis.curves.sweeps import SWEPT, matched_rows, method_of
from bench.analysis.statistics import Estimate
from bench.markdown import dash, number, table
from bench.runs.finished_run import FinishedRun, read_run
from bench.runs.records.tables import FLOOR

RESULTS: Final = Path(__file__).parents[1]
TEMPLATE: Final = Path(__file__).with_name("study_page.in.md")
FIELD: Final = re.compile(r"\{\{(.+?)\}\}")
TRAINING_SECONDS: Final = re.compile(r"\| seconds \| (\d+) \|")
IDENTITY: Final = ("identity@sface", "identity@face-rendered")
PROMPT: Final = "prompt-match@attributes"


@cache
def run_of(name: str) -> FinishedRun:
    """The finished run in `results/<name>`."""
    return read_run(RESULTS / name)


@cache
def compared(name: str) -> ComparisonTable:
    """The comparison table of the run in `results/<name>`."""
    return compare(run_of(name))


def people(name: str) -> str:
    """Number of people in a run."""
    return str(len({cell.identity for cell in run_of(name).cells}))


def images(name: str) -> str:
    """Number of generated images in a run."""
    return f"{sum(cell.status == 'generated' for cell in run_of(name).cells):,}"


def value(name: str, row: str, column: str) -> str:
    """Mean and interval of a row in a column of image scores."""
    return _format(compared(name).column(column).entry(row).estimate)


def minus(name: str, one: str, other: str, column: str) -> str:
    """Difference between two rows, paired by person and prompt, with its interval."""
    return _format(_paired(name, one, other, column))


def people_above(name: str, one: str, other: str, column: str) -> str:
    """Number of people for whom one row's mean is above another's: `29 of 32`."""
    by_person: dict[str, list[float]] = defaultdict(list)
    for label, sign in ((one, 1.0), (other, -1.0)):
        found: dict[str, list[float]] = defaultdict(list)
        for row in run_of(name).scores_of(label, run_of(name).column_named(column)):
            if row.value is not None:
                found[row.identity].append(row.value)
        for person, scores in found.items():
            by_person[person].append(sign * sum(scores) / len(scores))
    differences = [sum(signed) for signed in by_person.values() if len(signed) == 2]
    return f"{sum(difference > 0 for difference in differences)} of {len(differences)}"


def share(name: str, row: str, column: str) -> str:
    """A row's mean as a share of the range from text-only to real photographs of the same person."""
    estimates = [
        compared(name).column(column).entry(label).estimate for label in (FLOOR, row, "real (same person)")
    ]
    floor, mean, ceiling = (estimate.mean for estimate in estimates if estimate is not None)
    return f"{100 * (mean - floor) / (ceiling - floor):.0f} %"


def rows(name: str, *columns: str) -> str:
    """A table of all rows with columns of image scores or set scores."""
    run = run_of(name)
    set_scores = {f"{c.column.name}@{c.column.encoder}": c for c in compared(name).set_columns}
    lines = []
    for label in run.methods:
        line = [label]
        for column in columns:
            if column in set_scores:
                found = set_scores[column].entries.get(label)
                line.append(dash() if found is None or found.value is None else number(found.value))
            else:
                line.append(value(name, label, column))
        lines.append(line)
    return table(["row", *columns], lines)


def against(name: str, other: str, *columns: str) -> str:
    """A table of the differences between all rows and one of them."""
    lines = [
        [label, *(_difference(_paired(name, label, other, column)) for column in columns)]
        for label in run_of(name).methods
        if label not in (other, "photo-copy")
    ]
    return table([f"minus {other}", *columns], lines)


def sweep(name: str, setting: str, column: str) -> str:
    """A table of methods by the values of a swept setting."""
    run = run_of(name)
    matches = [m for label in run.methods if (m := SWEPT.fullmatch(label)) and m["setting"] == setting]
    values = dict.fromkeys(m["value"] for m in matches)
    lines = [
        [method, *(value(name, f"{method}@{setting}={v}", column) for v in values)]
        for method in dict.fromkeys(m["method"] for m in matches)
    ]
    return table([setting, *values], lines)


def corruption_effects(name: str, column: str) -> str:
    """A table of the effect of one corrupted reference photograph: each method minus itself without one."""
    run = run_of(name)
    matches = [m for label in run.methods if (m := SWEPT.fullmatch(label))]
    values = dict.fromkeys(m["value"] for m in matches)
    lines = [
        [method, *(_difference(_paired(name, f"{method}@corruption={v}", method, column)) for v in values)]
        for method in dict.fromkeys(m["method"] for m in matches)
    ]
    return table(["one of four photographs", *values], lines)


def at_matched_prompt(name: str, other: str) -> str:
    """A table of each method's best row whose prompt match is not significantly below text-only's."""
    best = {
        column: {
            found.method: found.label
            for found in matched_rows(compared(name).column(column), compared(name).column(PROMPT))
        }
        for column in IDENTITY
    }
    return _best(name, other, best)


def at_kept_prompt(name: str, other: str, share: str) -> str:
    """A table of each method's best row among those with at least this share of text-only's prompt match."""
    run = run_of(name)
    floor = _mean(name, FLOOR, PROMPT)
    best: dict[str, dict[str, str]] = {column: {} for column in IDENTITY}
    for label in run.methods:
        method = method_of(label)
        if method == FLOOR or _mean(name, label, PROMPT) < float(share) * floor:
            continue
        for column, chosen in best.items():
            current = chosen.get(method)
            if current is None or _mean(name, label, column) > _mean(name, current, column):
                chosen[method] = label
    return _best(name, other, best)


def _best(name: str, other: str, best: Mapping[str, Mapping[str, str]]) -> str:
    """Each method's chosen row, sorted by identity, and its difference from the chosen row of `other`."""
    lines = []
    for column, labels in best.items():
        for method in sorted(labels, key=lambda method: -_mean(name, labels[method], column)):
            label = labels[method]
            differences = [_paired(name, label, labels[other], c) for c in (column, PROMPT)]
            line = [column, label, value(name, label, column), value(name, label, PROMPT)]
            lines.append([*line, *(dash() if method == other else _difference(d) for d in differences)])
    header = ["identity by", "row", "identity", "prompt match"]
    return table([*header, f"identity minus {other}", f"prompt match minus {other}"], lines)


def costs(name: str, reference: str) -> str:
    """A table of the costs per person, compared with the method `reference`."""
    run = run_of(name)
    base = compared(name).costs[reference]
    lines = []
    for label in run.methods:
        found = compared(name).costs[label]
        fit, generate, size = _measured(found)
        percent = 100 * fit / _measured(base)[0]
        line = [label, f"{fit:.2f}", f"{percent:.1f} %", f"{generate:.3f}", f"{size:,.0f}"]
        lines.append([*line, _cheaper_range(found, base)])
    header = ["row", "fit s", f"share of {reference}", "s per image", "bytes per person"]
    return table([*header, f"cheaper than {reference}"], lines)


def fit_share(name: str, row: str, reference: str) -> str:
    """A row's fitting time as a percentage of another's."""
    one, other = (_measured(compared(name).costs[label])[0] for label in (row, reference))
    return f"{100 * one / other:.1f} %"


def break_even(name: str, row: str, reference: str, *networks: str) -> str:
    """Number of people whose fitting time by `reference` equals a row's training and fitting time."""
    trained = sum(_training_seconds(network) for network in networks)
    one, other = (_measured(compared(name).costs[label])[0] for label in (row, reference))
    return f"{trained / (other - one):.0f}"


def seconds(*networks: str) -> str:
    """Total training seconds of some networks, from their model cards."""
    return f"{sum(_training_seconds(network) for network in networks):,}"


def losses(*networks: str) -> str:
    """A table of the networks' losses on unseen people, from their model cards."""
    lines = []
    for network in networks:
        text = (RESULTS / "study-networks" / f"{network}.md").read_text(encoding="utf-8")
        values = dict(re.findall(r"\| ([^|]+) \| ([^|]+) \|", text))
        own, without = values["loss on unseen people"], values["the same without their photographs"]
        lines.append([network, own, without, f"{1e4 * (float(without) - float(own)):.0f}"])
    header = ["network", "loss on unseen people", "without their photographs", "gain, 1e-4"]
    return table(header, lines)


FUNCTIONS: Final[Mapping[str, Callable[..., str]]] = {
    function.__name__: function
    for function in (
        *(people, images, value, minus, people_above, share, rows, against, sweep, corruption_effects),
        *(at_matched_prompt, at_kept_prompt, costs, fit_share, break_even, seconds, losses),
    )
}


def render(template: str) -> str:
    """Replace every field of the template; raises KeyError for an unknown function."""

    def replacement(field: re.Match[str]) -> str:
        name, *arguments = field[1].split()
        return FUNCTIONS[name](*arguments)

    return FIELD.sub(replacement, template)


def _mean(name: str, row: str, column: str) -> float:
    found = compared(name).column(column).entry(row).estimate
    if found is None:
        raise ValueError(f"{name}: {row} has no {column}")
    return found.mean


def _paired(name: str, one: str, other: str, column: str) -> Estimate | None:
    return compared(name).column(column).paired(one, other)


def _format(found: Estimate | None) -> str:
    return dash() if found is None else number(found.mean, found.low, found.high)


def _difference(found: Estimate | None) -> str:
    """`0.021 [0.004, 0.038] above`."""
    if found is None or found.low is None or found.high is None:
        return _format(found)
    word = "above" if found.low > 0 else "below" if found.high < 0 else "not separable"
    return f"{_format(found)} {word}"


def _measured(found: Costs) -> tuple[float, float, float]:
    return found.fit_seconds or 0.0, found.seconds_per_image or 0.0, found.bytes_per_identity or 0.0


def _cheaper_range(found: Costs, base: Costs) -> str:
    """Number of images per person for which fitting and generating cost less than with `base`."""
    (fit, generate, _), (base_fit, base_generate, _) = _measured(found), _measured(base)
    if found == base:
        return dash()
    if fit <= base_fit and generate <= base_generate:
        return "always"
    if fit > base_fit and generate >= base_generate:
        return "never"
    break_even_images = abs((base_fit - fit) / (generate - base_generate))
    return f"{'up to' if fit <= base_fit else 'from'} {break_even_images:,.0f} images"


def _training_seconds(network: str) -> int:
    found = TRAINING_SECONDS.search(
        (RESULTS / "study-networks" / f"{network}.md").read_text(encoding="utf-8")
    )
    if found is None:
        raise ValueError(f"results/study-networks/{network}.md: no line with its training seconds")
    return int(found[1])


def main() -> None:
    """Write results/study.md."""
    (RESULTS / "study.md").write_text(render(TEMPLATE.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
