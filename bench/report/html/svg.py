"""Parts of a plot as SVG text: scales, axes, points, labels that do not cover one another."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from html import escape
from typing import Final

LINE: Final = 14
"""Units between the baselines of two labels."""
LETTER: Final = 6.2
"""Mean width of a letter of a label."""


@dataclass(frozen=True)
class Scale:
    """Maps values from `low` to `high` to positions from `start` to `end`."""

    low: float
    high: float
    start: float
    end: float
    log: bool = False

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
        rough = (self.high - self.low) / 5
        unit = 10.0 ** math.floor(math.log10(rough))
        step = next(unit * factor for factor in (1, 2, 5, 10) if unit * factor >= rough)
        first = math.ceil(self.low / step)
        return [i * step for i in range(first, math.floor(self.high / step + 1e-9) + 1)]


@dataclass(frozen=True)
class Label:
    """A text beside a point."""

    x: float
    y: float
    text: str
    at_left: bool = False

    @property
    def span(self) -> tuple[float, float]:
        """The first and last position that the text covers."""
        width = LETTER * len(self.text)
        return (self.x - width, self.x) if self.at_left else (self.x, self.x + width)


def scale_over(values: Sequence[float], start: float, end: float, *, log: bool = False) -> Scale:
    """A scale with a margin around the values."""
    low, high = min(values), max(values)
    if log:
        return Scale(low / 1.6, high * 1.6, start, end, log=True)
    margin = 0.06 * (high - low) or 0.05 * abs(high) or 0.05
    return Scale(low - margin, high + margin, start, end)


def axes(x: Scale, y: Scale, x_title: str, y_title: str) -> str:
    """Both axes with grid lines, numbers and titles."""
    parts = []
    for tick in x.ticks:
        at = x(tick)
        parts.append(f'<path class="grid" d="M{at:.1f} {y.start:.1f}V{y.end:.1f}"/>')
        parts.append(text(at, y.start + 16, f"{tick:.4g}", "tick middle"))
    for tick in y.ticks:
        at = y(tick)
        parts.append(f'<path class="grid" d="M{x.start:.1f} {at:.1f}H{x.end:.1f}"/>')
        parts.append(text(x.start - 6, at + 4, f"{tick:.4g}", "tick end"))
    parts.append(text((x.start + x.end) / 2, y.start + 36, x_title, "title middle"))
    parts.append(text(x.start, y.end - 10, y_title, "title"))
    return "".join(parts)


def text(x: float, y: float, content: str, classes: str) -> str:
    """Escaped text at a position."""
    return f'<text class="{classes}" x="{x:.1f}" y="{y:.1f}">{escape(content)}</text>'


def point(x: float, y: float, color: str, shape: str, *, hollow: bool = False) -> str:
    """A mark of the shape; `hollow` for numbers that are not ranked."""
    fill = "var(--page)" if hollow else color
    look = f'fill="{fill}" stroke="{color}" stroke-width="2"'
    if shape == "square":
        return f'<rect x="{x - 5:.1f}" y="{y - 5:.1f}" width="10" height="10" {look}/>'
    if shape == "circle":
        return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="5.5" {look}/>'
    corners = [(0, -6.5), (6, 5), (-6, 5)] if shape == "triangle" else [(0, -7), (7, 0), (0, 7), (-7, 0)]
    path = "L".join(f"{x + dx:.1f} {y + dy:.1f}" for dx, dy in corners)
    return f'<path d="M{path}Z" {look}/>'


def labels(wanted: Sequence[Label], lowest: float) -> str:
    """The labels, moved down where they would cover one another, with a line to their point.

    Labels that would end below `lowest` are moved up instead.
    """
    placed: list[Label] = []
    parts = []
    for label in sorted(wanted, key=lambda label: label.y):
        moved = _free(label, placed, LINE)
        if moved.y > lowest:
            moved = _free(label, placed, -LINE)
        placed.append(moved)
        shift = -9 if label.at_left else 9
        if abs(moved.y - label.y) > LINE:
            parts.append(
                f'<path class="leader" d="M{label.x:.1f} {label.y:.1f}L{moved.x + shift:.1f} {moved.y:.1f}"/>'
            )
        side = "label end" if label.at_left else "label"
        parts.append(text(moved.x + shift, moved.y + 4, label.text, side))
    return "".join(parts)


def _free(label: Label, placed: Sequence[Label], step: float) -> Label:
    while any(_overlap(label, other) for other in placed):
        label = replace(label, y=label.y + step / 4)
    return label


def _overlap(one: Label, other: Label) -> bool:
    (left, right), (other_left, other_right) = one.span, other.span
    return abs(one.y - other.y) < LINE and left < other_right and other_left < right


def figure(title: str, caption: str, width: int, height: int, content: str) -> str:
    """A plot with its title and caption; both are also its text for screen readers."""
    return (
        f'<figure class="plot"><h3>{escape(title)}</h3>'
        f'<div class="scroll"><svg viewBox="0 0 {width} {height}" role="img" '
        f'aria-label="{escape(f"{title}. {caption}")}">{content}</svg></div>'
        f"<figcaption>{escape(caption)}</figcaption></figure>"
    )
