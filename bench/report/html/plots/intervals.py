"""Plots with one line per method and one panel per metric or group: means with their intervals."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from bench.analysis.columns import ImageColumn
from bench.analysis.comparison_table import ComparisonTable
from bench.analysis.statistics import Estimate
from bench.analysis.subgroups import SubgroupComparison
from bench.markdown import counted, number
from bench.report.drawing.method_styles import BASELINE_STYLE, MethodStyle, method_styles
from bench.report.drawing.plot_points import ends, is_ranked, shortened
from bench.report.html.plots.svg import (
    LETTER,
    WIDTH,
    Scale,
    figure,
    linked,
    path,
    point,
    scale_over,
    text,
    x_axis,
)

PANELS: Final = 4
"""Panels beside one another."""
LINE: Final = 24
"""Height of the line of a method."""
HEAD: Final = 40
TITLE_LINE: Final = 15
AXIS: Final = 26
GAP: Final = 22


@dataclass(frozen=True)
class Panel:
    """One metric or group."""

    title: str
    entries: Mapping[str, Estimate]
    """By label."""
    ranked: frozenset[str]
    """Labels with filled points."""


def differences_plot(table: ComparisonTable, columns: Sequence[ImageColumn]) -> str:
    """Every method minus the floor by each metric; empty where there is nothing to compare."""
    run = table.run
    methods = [label for label in run.methods if not run.is_baseline(label)]
    panels = [
        Panel(
            column.column.heading,
            {label: column.minus_floor[label] for label in methods if label in column.minus_floor},
            frozenset(label for label in methods if is_ranked(label, column)),
        )
        for column in columns
    ]
    panels = [panel for panel in panels if panel.entries]
    if not panels:
        return ""
    caption = (
        f"Paired differences to {run.floor} by person and prompt, with 95 % intervals that are not corrected "
        "for their number. Hollow points are not ranked by the metric."
    )
    return _panels(table, f"Differences to {run.floor}", caption, panels, shared=False)


def groups_plot(table: ComparisonTable, groups: SubgroupComparison) -> str:
    """Identity by groups of people, one panel per group; empty where no group has a score."""
    column = next(c for c in table.image_columns if c.column == groups.column)
    panels = []
    for place, (value, people) in enumerate(groups.groups.items()):
        found = {label: entries[place].estimate for label, entries in groups.entries.items()}
        scored = {label: e for label, e in found.items() if e is not None and label in table.run.methods}
        ranked = frozenset(label for label in scored if is_ranked(label, column))
        panels.append(Panel(f"{value} ({counted(len(people), 'person', 'people')})", scored, ranked))
    panels = [panel for panel in panels if panel.entries]
    if not panels:
        return ""
    caption = (
        "Mean over the images of each group's people, with 95 % intervals where a group has enough people. "
        "A difference between small groups may be that of their individuals. Hollow points are not ranked."
    )
    return _panels(table, f"{groups.column.title} by {groups.attribute}", caption, panels, shared=True)


def _panels(
    table: ComparisonTable, title: str, caption: str, panels: Sequence[Panel], *, shared: bool
) -> str:
    """Panels in rows; `shared` gives all of them the same axis."""
    labels = [label for label in table.run.methods if any(label in panel.entries for panel in panels)]
    height = HEAD + LINE * len(labels) + AXIS
    columns = min(PANELS, len(panels))
    left = min(210.0, 14 + LETTER * max(len(shortened(label)) for label in labels))
    width = (WIDTH - left - 14 + GAP) / columns - GAP
    common = [end for panel in panels for e in panel.entries.values() for end in ends(e)]
    parts = []
    for i, panel in enumerate(panels):
        row, place = divmod(i, columns)
        start, top = left + place * (width + GAP), row * height + HEAD
        values = common if shared else [0.0, *(end for e in panel.entries.values() for end in ends(e))]
        x = scale_over(values, start, start + width, steps=3)
        y = Scale(0, len(labels), top, top + LINE * len(labels))
        if place == 0:
            names = [(y(k + 0.5) + 4, shortened(label)) for k, label in enumerate(labels)]
            parts += [text(left - 8, at, name, "label end") for at, name in names]
        parts.append(_panel(panel, labels, method_styles(table.run), x, y))
    rows = -(-len(panels) // columns)
    return figure(title, caption, rows * height, "".join(parts))


def _panel(panel: Panel, labels: Sequence[str], styles: Mapping[str, MethodStyle], x: Scale, y: Scale) -> str:
    parts = _title(panel.title, x, y.start - 8)
    parts.append(x_axis(x, Scale(0, 1, y.end, y.start), "", zero=True))
    for k, label in enumerate(labels):
        if label not in panel.entries:
            continue
        found, style, at = panel.entries[label], styles.get(label, BASELINE_STYLE), y(k + 0.5)
        low, high = ends(found)
        bar = path([(x(low), at), (x(high), at)], "bar", style.color)
        mark = point(x(found.mean), at, style, hollow=label not in panel.ranked)
        described = f"{label}, {panel.title}: {number(found.mean, found.low, found.high)}"
        parts.append(linked(bar + mark, label, described))
    return "".join(parts)


def _title(title: str, x: Scale, y: float) -> list[str]:
    """The title of a panel, above `y`; in two lines where it is wider than the panel."""
    most = int((x.end - x.start + GAP) / LETTER)
    name, bracket, rest = title.partition(" (")
    lines = [title] if len(title) <= most or not bracket else [name, f"({rest}"]
    cut = [line if len(line) <= most else f"{line[: most - 1]}…" for line in lines]
    return [text(x.start, y - TITLE_LINE * (len(cut) - 1 - i), line, "title") for i, line in enumerate(cut)]
