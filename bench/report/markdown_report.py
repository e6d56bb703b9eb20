"""The report in Markdown: what was compared, the tables, and what must be known before one believes them."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Final

from bench.analysis.comparisons import (
    BASELINES,
    CEILING,
    Contrast,
    SetEntry,
    TableEntry,
    contrasts_between,
    contrasts_with,
    entry,
    no_share,
    picture_columns,
    prior_columns,
    ranked,
    set_columns,
    set_entry,
    set_labels,
    share,
)
from bench.markdown import bullets, counted, dash, number, table
from bench.report.sections.caveats import dataset, missing, notes, provenance
from bench.report.sections.costs import cost_table
from bench.report.sections.failures import failures
from bench.report.sections.prior_drift import drift
from bench.report.sections.rank_agreement import agreement
from bench.report.sections.subgroups import groups
from bench.report.sections.sweeps import at_matched_prompt
from bench.runs.finished_run import Column, FinishedRun, marked
from bench.runs.tables import FLOOR, REAL_OTHER, REAL_SAME
from bench.suite.prompts import PRIOR

WIDE: Final = 4
"""Columns of one table; more would not fit a page."""


def markdown(run: FinishedRun) -> str:
    """The whole report."""
    sections = [
        head(run),
        scores(run),
        sets(run),
        shares(run),
        against_baselines(run),
        ranking(run),
        at_matched_prompt(run),
        agreement(run),
        drift(run),
        groups(run),
        cost_table(run),
        missing(run),
        failures(run),
        dataset(run),
        provenance(run),
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


def summary(run: FinishedRun) -> str:
    """What `bench run` ends with: the tables alone."""
    return "\n\n".join(
        part for part in (scores(run), sets(run), drift(run), cost_table(run), failures(run)) if part
    )


def head(run: FinishedRun) -> str:
    """Title and size."""
    people = len({cell.identity for cell in run.cells})
    priors = sum(cell.category == PRIOR for cell in run.cells)
    prompts = len({(cell.prompt, cell.template) for cell in run.cells if cell.category != PRIOR})
    generated = sum(cell.status == "generated" for cell in run.cells)
    return (
        f"# {run.manifest.suite or run.path.name}\n\n"
        f"{len(run.methods)} methods, {people} people, {prompts} prompts; "
        f"{generated} of {len(run.cells)} images"
        f"{f', {priors} of them of somebody else' if priors else ''}; "
        f"seed {run.seed}."
    )


def scores(run: FinishedRun) -> str:
    """Means with intervals, per method, and the real photographs' rows."""
    columns = picture_columns(run)
    labels = [*run.methods, REAL_SAME, REAL_OTHER]
    parts = []
    for some in (columns[start : start + WIDE] for start in range(0, len(columns), WIDE)):
        entries = {(label, c.title): entry(run, label, c) for label in labels for c in some}
        lines = [[label, *(_shown(entries[label, c.title]) for c in some)] for label in labels]
        parts.append(table(["method", *(c.headed for c in some)], lines))
    if not parts:
        return ""
    return "## Scores\n\nMean over pictures, with its 95 % interval.\n\n" + "\n\n".join([*parts, *notes(run)])


def _shown(found: TableEntry) -> str:
    if found.of == 0:
        return dash()
    if found.estimate is None:
        return f"none of {found.of}"
    text = number(found.estimate.mean, found.estimate.low, found.estimate.high)
    if found.n < found.of:
        text += f" ({found.n} of {found.of})"
    return marked(text, found.overlap)


def sets(run: FinishedRun) -> str:
    """FID and its kin at matched numbers, beside what real photographs of that number get."""
    columns = set_columns(run)
    labels = set_labels(run)
    found = {(label, c.title): set_entry(run, label, c) for label in labels for c in columns}
    if not any(found.values()):
        return ""
    lines = [[label, *(_set_shown(found[label, c.title]) for c in columns)] for label in labels]
    numbers = sorted({(e.n, e.against) for e in found.values() if e is not None and e.value is not None})
    reasons = Counter(e.reason for e in found.values() if e is not None and e.value is None)
    notes = [f"N = {n} pictures per row, held against {against} real photographs." for n, against in numbers]
    notes += [line for n, _ in numbers for line in _bounds(columns, n)]
    notes += [f"refused {counted(count, 'time')}: {reason}" for reason, count in sorted(reasons.items())]
    intro = "The last row is what as many real photographs get; intervals leave one person out at a time."
    return (
        f"## Sets\n\n{intro}\n\n{table(['method', *(c.headed for c in columns)], lines)}\n\n{bullets(notes)}"
    )


def _bounds(columns: Sequence[Column], n: int) -> Iterator[str]:
    """The largest inception score that so many pictures can have: as many classes as a split has pictures."""
    for column in columns:
        splits = column.fingerprint.get("splits", "").partition(",")[0]
        if column.name == "is" and splits.isdecimal():
            yield f"{column.title} can be at most N / splits = {n // int(splits)}."


def _set_shown(found: SetEntry | None) -> str:
    if found is None:
        return dash()
    if found.value is None:
        return "refused"
    text = number(found.value, *(found.interval or (None, None)))
    return marked(text, found.overlap)


def shares(run: FinishedRun) -> str:
    """The same means on the scale from chance to the real person."""
    found = {(label, c.title): share(run, label, c) for label in run.methods for c in picture_columns(run)}
    reasons = {c.title: no_share(run, c) for c in [*picture_columns(run), *set_columns(run)]}
    columns = [c for c in picture_columns(run) if not reasons[c.title]]
    if not columns:
        return ""
    lines = [
        [label, *(marked(_percent(found[label, c.title]), run.overlap(label, c)) for c in columns)]
        for label in run.methods
    ]
    intro = f"0 % is `{REAL_OTHER}`, 100 % is `{REAL_SAME}`: what the metric itself gives real photographs."
    without = [
        f"no share of {', '.join(t for t in reasons if reasons[t] == w)}: {w}" for w in _reasons(reasons)
    ]
    parts = ["## Share of the way", intro, table(["method", *(c.title for c in columns)], lines)]
    return "\n\n".join([*parts, *filter(None, [bullets(without)])])


def _reasons(reasons: Mapping[str, str]) -> list[str]:
    return [reason for reason in dict.fromkeys(reasons.values()) if reason]


def _percent(value: float | None) -> str:
    return dash() if value is None else f"{100 * value:.0f} %"


def against_baselines(run: FinishedRun) -> str:
    """Is it above the floor, is it below the ceiling: paired by person and prompt."""
    lines = []
    for column in picture_columns(run):
        if not column.name.startswith("identity"):
            continue
        floor = {contrast.one: contrast for contrast in contrasts_with(run, column, FLOOR)}
        ceiling = {contrast.one: contrast for contrast in contrasts_with(run, column, CEILING)}
        for label in run.methods:
            if label not in BASELINES and (label in floor or label in ceiling):
                ends = (floor.get(label), ceiling.get(label))
                overlap = run.overlap(label, column)
                lines.append([column.title, label, *(marked(_verdict(end), overlap) for end in ends)])
    if not lines:
        return ""
    intro = "Paired by person and prompt; Holm's correction over the methods at 5 %."
    header = ["metric", "method", f"minus {FLOOR}", f"minus {CEILING}"]
    return f"## Against the floor and the ceiling\n\n{intro}\n\n{table(header, lines)}"


def _verdict(contrast: Contrast | None) -> str:
    if contrast is None:
        return dash()
    found = contrast.difference
    side = "above" if found.mean > 0 else "below"
    verdict = side if contrast.separable else "not separable"
    return f"{number(found.mean, found.low, found.high)} {verdict}"


def ranking(run: FinishedRun) -> str:
    """Methods from best to worst by each metric, with `~` where neighbours are not separable."""
    lines = []
    for column in [*picture_columns(run), *prior_columns(run)]:
        order = ranked(run, column)
        if len(order) > 1:
            lines.append([column.title, _ordered(order, contrasts_between(run, column))])
    if not lines:
        return ""
    intro = (
        "Best first; `~` joins neighbours that are not separable (paired, Holm's correction over all pairs)."
    )
    return f"## Ranking\n\n{intro}\n\n{table(['metric', 'order'], lines)}"


def _ordered(order: Sequence[str], contrasts: Sequence[Contrast]) -> str:
    separable = {frozenset((c.one, c.other)) for c in contrasts if c.separable}
    text = order[0]
    for one, other in pairwise(order):
        text += f" {'>' if frozenset((one, other)) in separable else '~'} {other}"
    return text
