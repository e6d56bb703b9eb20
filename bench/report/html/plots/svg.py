"""Parts of a plot as SVG text: scales, axes, points, intervals, labels."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Final
from urllib.parse import quote

from bench.report.drawing.labels import Label, is_far, placed
from bench.report.drawing.method_styles import MethodStyle

WIDTH: Final = 660
LINE: Final = 14
"""Height of a line of text."""
LETTER: Final = 6.6
"""Mean width of a letter of a label."""


@dataclass(frozen=True)
class Scale:
    """Maps values from `low` to `high` to positions from `start` to `end`."""

    low: float
    high: float
    start: float
    end: float
    log: bool = False
    steps: int = 5
    """About the number of ticks."""

    def __call__(self, value: float) -> float:
        """The position of a value."""
        low, high, own = (math.log10(v) if self.log else v for v in (self.low, self.high, value))
        return self.start + (own - low) / (high - low) * (self.end - self.start)

    @property
    def ticks(self) -> list[float]:
        """Round values within the scale."""
        if self.log:
            powers = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
            factors = (1, 2, 5) if self.high < 100 * self.low else (1,)
            values = [factor * 10.0**power for power in powers for factor in factors]
            return [value for value in values if self.low <= value <= self.high]
        rough = (self.high - self.low) / self.steps
        unit = 10.0 ** math.floor(math.log10(rough))
        step = next(unit * factor for factor in (1, 2, 5, 10) if unit * factor >= rough)
        first = math.ceil(self.low / step)
        return [i * step for i in range(first, math.floor(self.high / step + 1e-9) + 1)]


def scale_over(
    values: Sequence[float], start: float, end: float, *, log: bool = False, steps: int = 5
) -> Scale:
    """A scale with a margin around the values."""
    low, high = min(values), max(values)
    if log:
        return Scale(low / 1.6, high * 1.6, start, end, log=True)
    margin = 0.06 * (high - low) or 0.05 * abs(high) or 0.05
    return Scale(low - margin, high + margin, start, end, steps=steps)


def axes(x: Scale, y: Scale, x_title: str, y_title: str) -> str:
    """Both axes with grid lines, numbers and titles."""
    parts = [x_axis(x, y, x_title)]
    for tick in y.ticks:
        at = y(tick)
        parts.append(f'<path class="grid" d="M{x.start:.1f} {at:.1f}H{x.end:.1f}"/>')
        parts.append(text(x.start - 6, at + 4, f"{tick:.4g}", "tick end"))
    parts.append(text(x.start, y.end - 10, y_title, "title"))
    return "".join(parts)


def x_axis(x: Scale, y: Scale, title: str, *, zero: bool = False) -> str:
    """The horizontal axis at the start of `y`, with grid lines up to its end; `zero` marks the value 0."""
    parts = []
    for tick in x.ticks:
        parts.append(f'<path class="grid" d="M{x(tick):.1f} {y.start:.1f}V{y.end:.1f}"/>')
        parts.append(text(x(tick), y.start + 16, f"{tick:.4g}", "tick middle"))
    if zero and x.low <= 0 <= x.high:
        parts.append(f'<path class="zero" d="M{x(0):.1f} {y.start:.1f}V{y.end:.1f}"/>')
    if title:
        parts.append(text((x.start + x.end) / 2, y.start + 36, title, "title middle"))
    return "".join(parts)


def text(x: float, y: float, content: str, classes: str) -> str:
    """Escaped text at a position."""
    return f'<text class="{classes}" x="{x:.1f}" y="{y:.1f}">{escape(content)}</text>'


def point(x: float, y: float, style: MethodStyle, *, hollow: bool = False) -> str:
    """A mark of the style's shape; `hollow` for numbers that are not ranked."""
    fill = "var(--page)" if hollow else style.color
    look = f'fill="{fill}" stroke="{style.color}" stroke-width="2"'
    if style.shape == "square":
        return f'<rect x="{x - 5:.1f}" y="{y - 5:.1f}" width="10" height="10" {look}/>'
    if style.shape == "circle":
        return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="5.5" {look}/>'
    triangle, diamond = [(0, -6.5), (6, 5), (-6, 5)], [(0, -7), (7, 0), (0, 7), (-7, 0)]
    corners = triangle if style.shape == "triangle" else diamond
    outline = "L".join(f"{x + dx:.1f} {y + dy:.1f}" for dx, dy in corners)
    return f'<path d="M{outline}Z" {look}/>'


def linked(content: str, label: str, described: str, **place: str) -> str:
    """Marks as a link that shows a method in the gallery; `place` may name a person."""
    target = "&".join(f"{name}={quote(value, safe='')}" for name, value in {"method": label, **place}.items())
    title = escape(described)
    return f'<a href="#{escape(target)}" aria-label="{title}"><title>{title}</title>{content}</a>'


def path(points: Sequence[tuple[float, float]], classes: str, color: str = "") -> str:
    """A line through points; empty for fewer than two."""
    if len(points) < 2:
        return ""
    stroke = f' stroke="{color}"' if color else ""
    return f'<path class="{classes}"{stroke} d="M{"L".join(f"{x:.1f} {y:.1f}" for x, y in points)}"/>'


def beside(x: float, y: float, content: str, *, at_left: bool = False) -> Label:
    """A label beside a point."""
    return Label(x, y, content, LETTER, LINE, at_left)


def label_texts(wanted: Sequence[Label], lowest: float) -> str:
    """The labels where they cover nothing, with a line to their point where they were moved."""
    parts = []
    for label, moved in zip(wanted, placed(wanted, lowest), strict=True):
        if not label.text:
            continue
        at = moved.x + (-moved.gap if label.at_left else moved.gap)
        if is_far(label, moved):
            parts.append(path([(label.x, label.y), (at, moved.y)], "leader"))
        parts.append(text(at, moved.y + 4, label.text, "label end" if label.at_left else "label"))
    return "".join(parts)


def figure(title: str, caption: str, height: float, content: str) -> str:
    """A plot of the common width with its title and caption."""
    return (
        f'<figure class="plot"><h3>{escape(title)}</h3>'
        f'<div class="scroll"><svg viewBox="0 0 {WIDTH} {height:.0f}" role="group" '
        f'aria-label="{escape(title)}">{content}</svg></div>'
        f"<figcaption>{escape(caption)}</figcaption></figure>"
    )
