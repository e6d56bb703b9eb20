"""Section of the report: identity scores by groups of people."""

from collections.abc import Mapping, Sequence
from typing import Final

from bench.analysis.comparison_table import ComparisonTable
from bench.analysis.subgroups import SubgroupComparison
from bench.markdown import table as markdown_table
from bench.report.cell_text import entry_text

SMALL: Final = 10
"""With fewer people a group's mean depends more on these people than on the group."""


def group_section(table: ComparisonTable) -> str:
    """A table for each attribute and each identity column."""
    if not table.subgroups:
        return ""
    intro = "Mean over the images of each group's people, with its 95 % interval and the number of images."
    by_attribute = {comparison.attribute: comparison.groups for comparison in table.subgroups}
    tables = [_group_table(comparison) for comparison in table.subgroups]
    return "\n\n".join(["## Groups", intro, *_small_groups(list(by_attribute.values())), *tables])


def _group_table(comparison: SubgroupComparison) -> str:
    headings = [f"{value}, {_people(len(members))}" for value, members in comparison.groups.items()]
    lines = [
        [label, *(entry_text(entry, with_count=True) for entry in entries)]
        for label, entries in comparison.entries.items()
    ]
    title = f"{comparison.column.title} by {comparison.attribute}:"
    return f"{title}\n\n{markdown_table(['method', *headings], lines)}"


def _people(count: int) -> str:
    return "1 person" if count == 1 else f"{count} people"


def _small_groups(groupings: Sequence[Mapping[str, Sequence[str]]]) -> list[str]:
    small = [
        f"{value} ({len(members)})"
        for people in groupings
        for value, members in people.items()
        if len(members) < SMALL
    ]
    if not small:
        return []
    return [
        f"Groups below {SMALL} people: {', '.join(small)}. Their means depend on the individuals: "
        "a difference between such groups is not a finding."
    ]
