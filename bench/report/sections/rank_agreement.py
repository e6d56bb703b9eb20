"""Section of the report: agreement of face networks on the ranking."""

from bench.analysis.comparison_table import ComparisonTable
from bench.markdown import dash, number
from bench.markdown import table as markdown_table


def agreement_section(table: ComparisonTable) -> str:
    """A table of every two face networks; empty for fewer than two."""
    lines = [
        [
            f"{pair.one.title}, {pair.other.title}",
            f"{pair.agreeing} of {pair.separable}",
            dash() if pair.tau is None else number(pair.tau),
            str(len(pair.methods)),
        ]
        for pair in table.rank_agreements
    ]
    if not lines:
        return ""
    intro = (
        "Pairs of methods that are separable by both networks, and how many of them have the same order in "
        "both. Kendall's tau-b of the two orders counts every pair: near ties lower it, so a value near 0 "
        "does not prove disagreement."
    )
    header = ["metrics", "same order, of separable pairs", "tau-b", "methods"]
    return f"## Do the face networks agree?\n\n{intro}\n\n{markdown_table(header, lines)}"
