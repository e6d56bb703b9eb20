"""Section of the report: agreement of face networks on the ranking."""

from bench.analysis.comparison_table import ComparisonTable
from bench.markdown import table as markdown_table
from bench.report.cell_text import agreement_text


def agreement_section(table: ComparisonTable) -> str:
    """A table of every two face networks; empty for fewer than two."""
    lines = [
        [f"{pair.one.title}, {pair.other.title}", agreement_text(pair.agreement), str(pair.agreement.methods)]
        for pair in table.rank_agreements
    ]
    if not lines:
        return ""
    intro = (
        "Kendall's tau-b between two face networks' orders of the ranked methods, with its 95 % interval "
        "from a bootstrap over people. 1 is the same order, 0 chance, -1 the reverse. "
        "Where the interval is wide, the order is uncertain."
    )
    header = ["metrics", "tau-b", "methods"]
    return f"## Do the face networks agree?\n\n{intro}\n\n{markdown_table(header, lines)}"
