"""Places of labels beside points, such that they cover neither one another nor a point."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

RADIUS: Final = 0.5
"""Half the height of a point, in heights of a line."""


@dataclass(frozen=True)
class Label:
    """A text beside a point; `y` grows downwards, as in an image."""

    x: float
    y: float
    text: str
    letter: float
    """Mean width of a letter."""
    line: float
    """Height of a line."""
    at_left: bool = False

    @property
    def gap(self) -> float:
        """Distance from the point to the text."""
        return 0.65 * self.line

    @property
    def span(self) -> tuple[float, float]:
        """The first and last position that the text covers."""
        width = self.gap + self.letter * len(self.text)
        return (self.x - width, self.x - self.gap) if self.at_left else (self.x + self.gap, self.x + width)


def placed(wanted: Sequence[Label], lowest: float) -> list[Label]:
    """The labels, moved down where they would cover something, or up if they would end below `lowest`.

    A label without text only keeps the place of its point.
    """
    points = [(label.x, label.y) for label in wanted]
    found: dict[int, Label] = {}
    named = [(i, label) for i, label in enumerate(wanted) if label.text]
    for i, label in sorted(named, key=lambda entry: entry[1].y):
        others = list(found.values())
        moved = _free(label, others, points, label.line)
        if moved.y > lowest:
            moved = _free(label, others, points, -label.line)
        found[i] = moved
    return [found.get(i, label) for i, label in enumerate(wanted)]


def is_far(label: Label, moved: Label) -> bool:
    """Whether a line should lead from the point to its moved label."""
    return abs(moved.y - label.y) > 0.9 * label.line


def _free(label: Label, placed: Sequence[Label], points: Sequence[tuple[float, float]], step: float) -> Label:
    while any(_covers(label, other) for other in placed) or any(_hides(label, *at) for at in points):
        label = replace(label, y=label.y + step / 4)
    return label


def _covers(one: Label, other: Label) -> bool:
    (left, right), (other_left, other_right) = one.span, other.span
    return abs(one.y - other.y) < one.line and left < other_right and other_left < right


def _hides(label: Label, x: float, y: float) -> bool:
    (left, right), radius = label.span, RADIUS * label.line
    return abs(label.y - y) < radius + 0.4 * label.line and left - radius < x < right + radius
