"""Identity scores by groups of people, by the attributes that the dataset provides."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from bench.analysis.columns import ImageColumn
from bench.analysis.scored_rows import TableEntry, entry_of
from bench.runs.finished_run import Column, FinishedRun
from bench.runs.records.tables import REAL_OTHER, REAL_SAME

GROUPED_BY: Final = ("noun", "sex", "gender", "age", "age_range", "skin", "skin_tone", "group")
"""Attributes that form groups, where the run's people differ in them."""


@dataclass(frozen=True)
class SubgroupComparison:
    """One identity column by one attribute."""

    attribute: str
    column: Column
    groups: Mapping[str, tuple[str, ...]]
    """Ids of the people, by value of the attribute."""
    entries: Mapping[str, Sequence[TableEntry]]
    """By row, its entry for each group in turn."""


def compare_subgroups(run: FinishedRun, columns: Sequence[ImageColumn]) -> list[SubgroupComparison]:
    """A comparison for each attribute and each identity column."""
    return [
        SubgroupComparison(attribute, column.column, groups, group_entries(run, column.column, groups))
        for attribute, groups in groupings(run).items()
        for column in columns
        if column.column.name == "identity"
    ]


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
        # `sex` would give the same groups as `noun`.
        if len(people) > 1 and set(people.values()) not in map(set, map(dict.values, distinct.values())):
            distinct[attribute] = people
    return distinct


def group_entries(
    run: FinishedRun, column: Column, groups: Mapping[str, tuple[str, ...]]
) -> dict[str, list[TableEntry]]:
    """By row of the table, its entry for each group in turn."""
    return {
        label: [entry_of(run, label, column, people) for people in groups.values()]
        for label in [*run.methods, REAL_SAME, REAL_OTHER]
    }
