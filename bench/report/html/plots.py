"""Plots of the page: the trade-off, differences of each person, and cost against identity."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from statistics import fmean
from typing import Final
from urllib.parse import quote

from bench.analysis.columns import ImageColumn
from bench.analysis.comparison_table import ComparisonTable
from bench.analysis.curves.sweeps import SWEPT, method_of
from bench.analysis.statistics import Estimate
from bench.markdown import number
from bench.report.html.method_styles import MethodStyle, method_styles
from bench.report.html.svg import Label, Scale, axes, figure, labels, point, scale_over, text

WIDTH: Final = 660
HEIGHT: Final = 430
LEFT: Final = 56
RIGHT: Final = 640
TOP: Final = 36
BOTTOM: Final = 382
IMAGES: Final = 10
"""Images for which the costs are added up."""
LONGEST_LABEL: Final = 28
HOLLOW: Final = "Hollow points are not ranked by the metric."


@dataclass(frozen=True)
class PlotPoint:
    """One row of the table in a plot."""

    label: str
    x: Estimate
    y: Estimate
    ranked: bool
    """Whether it may be on the front: no baseline, and independent of the metric and its training data."""


def plots(table: ComparisonTable) -> str:
    """All plots that the run has the numbers for, as HTML."""
    identities = [c for c in table.image_columns if c.column.name == "identity"]
    prompts = [c for c in table.image_columns if c.column.name == "prompt-match"]
    parts = [trade_off(table, identity, prompt) for prompt in prompts[:1] for identity in identities]
    parts += [per_person(table, identity) for identity in identities]
    parts += [cost_plot(table, identity) for identity in identities[:1]]
    return "\n".join(part for part in parts if part)


def trade_off(table: ComparisonTable, identity: ImageColumn, prompt: ImageColumn) -> str:
    """Identity against prompt match, both minus the floor; empty for fewer than two rows."""
    run = table.run
    points = [
        PlotPoint(label, prompt.minus_floor[label], y, _is_ranked(identity, label))
        for label, y in identity.minus_floor.items()
        if not run.is_baseline(label) and label in prompt.minus_floor
    ]
    if len(points) < 2:
        return ""
    x_title, y_title = (f"{c.column.title} minus {run.floor}" for c in (prompt, identity))
    caption = (
        f"Paired differences to {run.floor} by person and prompt, with 95 % intervals that are not corrected "
        f"for their number. The dashed line is the Pareto front. Up and right is better. {HOLLOW}"
    )
    front = pareto_front([point for point in points if point.ranked])
    return _scatter(table, points, f"Trade-off: {identity.column.title}", caption, (x_title, y_title), front)


def pareto_front(points: Sequence[PlotPoint]) -> list[PlotPoint]:
    """The points that no other point exceeds in both means, by rising x."""
    front: list[PlotPoint] = []
    for found in sorted(points, key=lambda p: (-p.x.mean, -p.y.mean)):
        if not front or found.y.mean > front[-1].y.mean:
            front.append(found)
    return front[::-1]


def cost_plot(table: ComparisonTable, identity: ImageColumn) -> str:
    """Identity against the seconds for a fit and ten images; empty for fewer than two rows."""
    points = []
    for label, costs in table.costs.items():
        mean = identity.entry(label).estimate
        seconds = (costs.fit_seconds or 0.0) + IMAGES * (costs.seconds_per_image or 0.0)
        # The ceiling copies photographs in no time.
        if mean and costs.seconds_per_image is not None and seconds > 0 and label != table.run.ceiling:
            points.append(
                PlotPoint(label, Estimate(seconds, None, None, 0), mean, _is_ranked(identity, label))
            )
    if len(points) < 2:
        return ""
    caption = (
        f"Mean {identity.column.title} and its interval against the mean seconds of a fit plus {IMAGES} "
        f"times the median seconds of an image. {HOLLOW}"
    )
    titles = (f"seconds for a fit and {IMAGES} images", identity.column.title)
    return _scatter(table, points, f"Cost against {identity.column.title}", caption, titles, log=True)


def per_person(table: ComparisonTable, identity: ImageColumn) -> str:
    """One dot per person and method: its mean minus that of the floor; empty without a floor."""
    differences = {label: found for label in table.run.methods if (found := _by_person(identity, label))}
    if not differences:
        return ""
    styles, height = method_styles(table.run), TOP + 26 * len(differences) + 48
    left = min(220, LEFT + round(6.4 * max(map(len, map(_shortened, differences)))))
    values = [value for found in differences.values() for value in found.values()]
    x = scale_over([*values, 0.0], left, RIGHT)
    y = Scale(0, len(differences), height - 48, TOP)
    lines = [_person_axis(x, y, f"{identity.column.title} minus {table.run.floor}")]
    for place, (label, found) in enumerate(differences.items(), start=1):
        lines.append(_person_line(label, found, styles[label], x, y(len(differences) - place + 0.5)))
    caption = (
        f"One dot per person: the mean over the prompts minus that of {table.run.floor}. The bar is the mean "
        "over the people. A missing score counts as the worst score of the column."
    )
    title = f"Difference of each person: {identity.column.title}"
    return figure(title, caption, WIDTH, height, "".join(lines))


def _person_axis(x: Scale, y: Scale, title: str) -> str:
    parts = []
    for tick in x.ticks:
        parts.append(f'<path class="grid" d="M{x(tick):.1f} {y.start:.1f}V{y.end:.1f}"/>')
        parts.append(text(x(tick), y.start + 16, f"{tick:.4g}", "tick middle"))
    parts.append(f'<path class="zero" d="M{x(0):.1f} {y.start:.1f}V{y.end:.1f}"/>')
    return "".join(parts) + text((x.start + x.end) / 2, y.start + 36, title, "title middle")


def _person_line(label: str, found: Mapping[str, float], style: MethodStyle, x: Scale, y: float) -> str:
    dots = "".join(
        f'<circle cx="{x(value):.1f}" cy="{y:.1f}" r="4" fill="{style.color}" fill-opacity=".55"/>'
        for value in found.values()
    )
    mean = x(fmean(found.values()))
    bar = f'<path class="mean" d="M{mean:.1f} {y - 9:.1f}v18"/>'
    return text(x.start - 8, y + 4, _shortened(label), "label end") + dots + bar


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


def _scatter(
    table: ComparisonTable,
    points: Sequence[PlotPoint],
    title: str,
    caption: str,
    axis_titles: tuple[str, str],
    front: Sequence[PlotPoint] = (),
    *,
    log: bool = False,
) -> str:
    x = scale_over([v for p in points for v in _ends(p.x)], LEFT, RIGHT, log=log)
    y = scale_over([v for p in points for v in _ends(p.y)], BOTTOM, TOP)
    styles = method_styles(table.run)
    content = [
        axes(x, y, *axis_titles),
        _front(front, x, y),
        *_curves(points, styles, x, y),
        *(_bars(p, styles[p.label], x, y) for p in points),
        *(_mark(p, styles[p.label], x, y) for p in points),
        labels([Label(x(p.x.mean), y(p.y.mean), _name(p, points), _at_left(x, p)) for p in points], BOTTOM),
    ]
    return figure(title, caption, WIDTH, HEIGHT, "".join(content))


def _mark(found: PlotPoint, style: MethodStyle, x: Scale, y: Scale) -> str:
    """The point, as a link that shows this method in the gallery."""
    mark = point(x(found.x.mean), y(found.y.mean), style.color, style.shape, hollow=not found.ranked)
    described = escape(f"{found.label}: {number(found.x.mean)}, {number(found.y.mean)}")
    target = f"#method={quote(found.label, safe='')}"
    return f'<a href="{target}"><title>{described}</title>{mark}</a>'


def _bars(found: PlotPoint, style: MethodStyle, x: Scale, y: Scale) -> str:
    (left, right), (low, high) = _ends(found.x), _ends(found.y)
    across = f"M{x(left):.1f} {y(found.y.mean):.1f}H{x(right):.1f}"
    upward = f"M{x(found.x.mean):.1f} {y(low):.1f}V{y(high):.1f}"
    return f'<path class="interval" stroke="{style.color}" d="{across}{upward}"/>'


def _front(front: Sequence[PlotPoint], x: Scale, y: Scale) -> str:
    if len(front) < 2:
        return ""
    path = "L".join(f"{x(p.x.mean):.1f} {y(p.y.mean):.1f}" for p in front)
    return f'<path class="front" d="M{path}"/>'


def _curves(
    points: Sequence[PlotPoint], styles: Mapping[str, MethodStyle], x: Scale, y: Scale
) -> Iterator[str]:
    """Lines that join the rows of each sweep, in the order of the run."""
    by_method: dict[str, list[PlotPoint]] = defaultdict(list)
    for found in points:
        by_method[method_of(found.label)].append(found)
    for curve in by_method.values():
        if len(curve) > 1:
            path = "L".join(f"{x(p.x.mean):.1f} {y(p.y.mean):.1f}" for p in curve)
            yield f'<path class="curve" stroke="{styles[curve[0].label].color}" d="M{path}"/>'


def _name(found: PlotPoint, points: Sequence[PlotPoint]) -> str:
    """The label; of a sweep's points, only the first has its method's name."""
    swept = SWEPT.fullmatch(found.label)
    same = [p for p in points if method_of(p.label) == method_of(found.label)]
    if swept and found is not same[0]:
        return swept["value"]
    return _shortened(found.label)


def _shortened(label: str) -> str:
    return label if len(label) <= LONGEST_LABEL else f"{label[: LONGEST_LABEL - 1]}…"


def _at_left(x: Scale, found: PlotPoint) -> bool:
    return x(found.x.mean) > LEFT + 0.62 * (RIGHT - LEFT)


def _ends(estimate: Estimate) -> tuple[float, float]:
    """The interval, or twice the mean."""
    low = estimate.mean if estimate.low is None else estimate.low
    high = estimate.mean if estimate.high is None else estimate.high
    return low, high


def _is_ranked(column: ImageColumn, label: str) -> bool:
    return label in column.ranking
