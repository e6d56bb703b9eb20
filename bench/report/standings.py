"""The best row of a column, the rows that are not separable from it, and groups of inseparable rows."""

from collections.abc import Sequence
from string import ascii_lowercase
from typing import Literal

from bench.analysis.columns import ImageColumn
from bench.analysis.set_columns import SetColumn
from bench.markdown import number

Standing = Literal["best", "not separable from the best"]


def standings(column: ImageColumn | SetColumn) -> dict[str, Standing]:
    """By label, the best ranked method of a column, its ties, and those not separable from it.

    A tie is a difference that is printed as 0. Empty where fewer than two methods are ranked. Scores of sets
    are not compared in pairs, so nothing is said to be inseparable; nor is it without intervals.
    """
    if isinstance(column, SetColumn):
        return _best_sets(column)
    if len(column.ranking) < 2:
        return {}
    best = column.ranking[0]
    found: dict[str, Standing] = {best: "best"}
    for contrast in column.contrasts:
        if best not in (contrast.one, contrast.other):
            continue
        other = contrast.other if contrast.one == best else contrast.one
        if number(abs(contrast.difference.mean)) == number(0.0):
            found[other] = "best"
        elif contrast.difference.low is not None and not contrast.separable:
            found[other] = "not separable from the best"
    return found


def shared_letters(column: ImageColumn | SetColumn) -> dict[str, str]:
    """By ranked method, letters: two methods are separable where they have no letter in common.

    The compact letter display of Piepho (2004). Empty without intervals, for sets, and for more groups than
    letters.
    """
    if isinstance(column, SetColumn) or not any(c.difference.low is not None for c in column.contrasts):
        return {}
    groups = [frozenset(column.ranking)]
    for contrast in column.contrasts:
        if contrast.separable:
            groups = _without_pair(groups, contrast.one, contrast.other)
    groups.sort(key=lambda group: sorted(map(column.ranking.index, group)))
    if len(groups) > len(ascii_lowercase):
        return {}
    return {
        label: "".join(
            letter for letter, group in zip(ascii_lowercase, groups, strict=False) if label in group
        )
        for label in column.ranking
    }


def _without_pair(groups: Sequence[frozenset[str]], one: str, other: str) -> list[frozenset[str]]:
    """The groups, divided where they contain both; without those that lie within another."""
    divided: list[frozenset[str]] = []
    for group in groups:
        divided += [group - {one}, group - {other}] if {one, other} <= group else [group]
    return [group for group in dict.fromkeys(divided) if not any(group < wider for wider in divided)]


def _best_sets(column: SetColumn) -> dict[str, Standing]:
    values = {
        label: entry.value
        for label, entry in column.entries.items()
        if label in column.run.methods
        and not column.run.is_baseline(label)
        and entry.value is not None
        and entry.overlap is None
    }
    choose = {"higher": max, "lower": min}.get(column.column.better)
    if choose is None or len(values) < 2:
        return {}
    best = number(choose(values.values()))
    return {label: "best" for label, value in values.items() if number(value) == best}
