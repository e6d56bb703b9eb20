"""Plot of the difference of each person to the floor."""

from collections import defaultdict
from collections.abc import Mapping
from statistics import fmean
from typing import Final

from bench.analysis.columns import ImageColumn
from bench.analysis.comparison_table import ComparisonTable
from bench.markdown import number
from bench.report.drawing.method_styles import MethodStyle, method_styles
from bench.report.drawing.plot_points import shortened
from bench.report.html.plots.svg import LETTER, WIDTH, Scale, figure, linked, scale_over, text, x_axis

TOP: Final = 12
LINE: Final = 26
AXIS: Final = 48


def per_person(table: ComparisonTable, identity: ImageColumn) -> str:
    """One dot per person and method: its mean minus that of the floor; empty without a floor."""
    differences = {label: found for label in table.run.methods if (found := _by_person(identity, label))}
    if not differences:
        return ""
    styles, height = method_styles(table.run), TOP + LINE * len(differences) + AXIS
    left = min(220.0, 14 + LETTER * max(len(shortened(label)) for label in differences))
    values = [value for found in differences.values() for value in found.values()]
    x = scale_over([*values, 0.0], left, WIDTH - 20)
    y = Scale(0, len(differences), height - AXIS, TOP)
    lines = [x_axis(x, y, f"{identity.column.title} minus {table.run.floor}", zero=True)]
    for place, (label, found) in enumerate(differences.items(), start=1):
        lines.append(_line(label, found, styles[label], x, y(len(differences) - place + 0.5)))
    caption = (
        f"One dot per person: the mean over the prompts minus that of {table.run.floor}. The bar is the mean "
        "over the people. A missing score counts as the worst score of the column."
    )
    title = f"Difference of each person: {identity.column.title}"
    return figure(title, caption, height, "".join(lines))


def _line(label: str, found: Mapping[str, float], style: MethodStyle, x: Scale, y: float) -> str:
    dots = "".join(
        linked(
            f'<circle cx="{x(value):.1f}" cy="{y:.1f}" r="4.5" fill="{style.color}" fill-opacity=".6"/>',
            label,
            f"{label}, {who}: {number(value)}",
            person=who,
        )
        for who, value in found.items()
    )
    mean = x(fmean(found.values()))
    bar = f'<path class="mean" d="M{mean:.1f} {y - 9:.1f}v18"/>'
    return text(x.start - 8, y + 4, shortened(label), "label end") + dots + bar


def _by_person(column: ImageColumn, label: str) -> dict[str, float]:
    """By person, the mean over the prompts of a row minus that of the floor."""
    floor = column.run.floor
    if label == floor:
        return {}
    means = column.imputed([label, floor])
    found: dict[str, list[float]] = defaultdict(list)
    for pair, value in means.get(label, {}).items():
        if pair in means.get(floor, {}):
            found[str(pair[0])].append(value - means[floor][pair])
    return {who: fmean(values) for who, values in found.items()}
