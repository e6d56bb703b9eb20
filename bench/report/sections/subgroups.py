"""Identity scores by groups of people: does a method serve some worse than others?"""

from collections import defaultdict
from collections.abc import Mapping
from typing import Final

from bench.analysis.comparisons import TableEntry, entry, picture_columns
from bench.markdown import dash, number, table
from bench.runs.finished_run import Column, FinishedRun, marked
from bench.runs.tables import REAL_OTHER, REAL_SAME

GROUPED_BY: Final = ("noun", "sex", "gender", "age", "age_range", "skin", "skin_tone", "group")
"""Attributes of a person that make groups, where a dataset knows them and the run's people differ in them."""
SMALL: Final = 10
"""With fewer people a group's mean says more about these people than about the group."""


def groupings(run: FinishedRun) -> dict[str, dict[str, tuple[str, ...]]]:
    """By attribute and value, the ids of its people; only attributes in which the people differ."""
    found: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for who, about in run.people.items():
        traits = {"noun": about.noun, **about.attributes}
        for attribute in GROUPED_BY:
            if traits.get(attribute):
                found[attribute][str(traits[attribute])].append(who)
    distinct: dict[str, dict[str, tuple[str, ...]]] = {}
    for attribute, by_value in found.items():
        people = {value: tuple(by_value[value]) for value in sorted(by_value)}
        # `sex` would repeat what `noun` says.
        if len(people) > 1 and set(people.values()) not in map(set, map(dict.values, distinct.values())):
            distinct[attribute] = people
    return distinct


def group_entries(
    run: FinishedRun, column: Column, people: Mapping[str, tuple[str, ...]]
) -> dict[str, list[TableEntry]]:
    """By row of the table, its entry for each group in turn."""
    return {
        label: [entry(run, label, column, members) for members in people.values()]
        for label in [*run.methods, REAL_SAME, REAL_OTHER]
    }


def groups(run: FinishedRun) -> str:
    """A table for each attribute and each column of identity."""
    columns = [column for column in picture_columns(run) if column.name == "identity"]
    found = groupings(run)
    parts = []
    for attribute, people in found.items():
        for column in columns:
            headed = [f"{value}, {_people(len(members))}" for value, members in people.items()]
            lines = [
                [label, *(_shown(one) for one in entries)]
                for label, entries in group_entries(run, column, people).items()
            ]
            parts.append(f"{column.title} by {attribute}:\n\n{table(['method', *headed], lines)}")
    if not parts:
        return ""
    intro = "Mean over the pictures of each group's people, with its 95 % interval and their number."
    return "\n\n".join(["## Groups", intro, *_small(found), *parts])


def _people(count: int) -> str:
    return "1 person" if count == 1 else f"{count} people"


def _small(found: Mapping[str, Mapping[str, tuple[str, ...]]]) -> list[str]:
    """What must not be read out of groups this small."""
    small = [
        f"{value} ({len(members)})"
        for people in found.values()
        for value, members in people.items()
        if len(members) < SMALL
    ]
    if not small:
        return []
    return [
        f"Too small to tell a group from its people, below {SMALL}: {', '.join(small)}. "
        "A difference between such groups is no finding."
    ]


def _shown(found: TableEntry) -> str:
    if found.of == 0:
        return dash()
    if found.estimate is None:
        return f"none of {found.of}"
    text = number(found.estimate.mean, found.estimate.low, found.estimate.high)
    return marked(f"{text} n={found.n}" + (f" of {found.of}" if found.n < found.of else ""), found.overlap)
