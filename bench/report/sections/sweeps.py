"""Section of the report: rows of a sweep at matched prompt match."""

from bench.analysis.comparison_table import ComparisonTable
from bench.analysis.curves.sweeps import is_swept, matched_rows
from bench.markdown import table as markdown_table
from bench.report.cell_text import estimate_text


def matched_section(table: ComparisonTable) -> str:
    """The matched rows of every identity column and prompt column; empty where nothing was swept."""
    if not is_swept(table.run):
        return ""
    prompts = [c for c in table.image_columns if c.column.name == "prompt-match"]
    identities = [c for c in table.image_columns if c.column.name == "identity"]
    lines = [
        [
            prompt.column.encoder,
            identity.column.title,
            row.label,
            estimate_text(row.identity),
            estimate_text(row.prompt),
        ]
        for prompt in prompts
        for identity in identities
        for row in sorted(matched_rows(identity, prompt), key=lambda row: -row.identity.mean)
    ]
    if not lines:
        return ""
    floor = table.run.floor
    intro = (
        "Each method's row with the highest identity, among rows whose prompt match is not shown to be below "
        f"that of `{floor}`. The selection uses these numbers, which favours methods with many rows."
    )
    header = ["prompt match by", "identity by", "row", "identity", f"prompt match minus {floor}"]
    return "\n\n".join(["## At matched prompt match", intro, markdown_table(header, lines)])
