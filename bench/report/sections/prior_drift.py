"""Section of the report: images without the subject, compared with the backbone's own."""

from collections.abc import Iterator, Sequence
from statistics import fmean

from bench.analysis.comparison_table import ComparisonTable
from bench.analysis.scored_rows import scored
from bench.markdown import bullets, dash, number
from bench.markdown import table as markdown_table
from bench.report.cell_text import entry_text
from bench.suite.prompts import PRIOR


def drift_section(table: ComparisonTable) -> str:
    """Drift and bleed of every method, and why a number is missing or zero."""
    columns, floor = table.prior_columns, table.run.floor
    cells = [cell for cell in table.run.cells if cell.category == PRIOR]
    if not columns or not cells:
        return ""
    labels = [label for label in table.run.methods if label != floor]
    lines = [[label, *(entry_text(c.entry(label)) for c in columns)] for label in labels]
    prompts = ", ".join(sorted({cell.template for cell in cells}))
    intro = (
        f"Images of prompts without the subject ({prompts}), generated after fitting and compared with those "
        f"of the backbone alone (`{floor}`) from the same seed. drift is the distance between both images. "
        "bleed is the increase in the face's similarity to the subject's held-out photographs. "
        "0 is no change. These images enter no other column."
    )
    header = ["method", *(c.column.heading for c in columns)]
    tables = [markdown_table(header, lines), *_by_prompt(table, labels)]
    parts = ["## Without the subject", intro, *tables, bullets(list(_notes(table)))]
    return "\n\n".join(part for part in parts if part)


def _by_prompt(table: ComparisonTable, labels: Sequence[str]) -> Iterator[str]:
    """Means per class prompt: prior preservation trains on the first, so the others show what it keeps."""
    for column in table.prior_columns:
        rows = {label: scored(table.run.scores_of(label, column.column)) for label in labels}
        prompts = list(dict.fromkeys(row.prompt for found in rows.values() for row, _ in found))
        if len(prompts) < 2:
            continue
        lines = []
        for label, found in rows.items():
            values = [[value for row, value in found if row.prompt == prompt] for prompt in prompts]
            lines.append([label, *(number(fmean(own)) if own else dash() for own in values)])
        header = ["method", *(f"`{prompt}`" for prompt in prompts)]
        yield f"{column.column.title} by prompt:\n\n{markdown_table(header, lines)}"


def _notes(table: ComparisonTable) -> Iterator[str]:
    run = table.run
    with_priors = {cell.method for cell in run.cells if cell.category == PRIOR}
    for label in run.methods:
        if label not in with_priors:
            yield f"{label} generates only its subject: not applicable."
    unchanged = [
        label for label in run.methods if label in with_priors - {run.floor} and _is_unchanged(table, label)
    ]
    if unchanged:
        yield (
            f"{', '.join(unchanged)}: identical to the backbone's images. For an adapter this holds by "
            "construction: its image tokens are used only where the prompt names the subject."
        )
    entries = [column.entry(label) for column in table.prior_columns for label in with_priors]
    yield from sorted({reason for entry in entries for reason in entry.reasons if run.floor in reason})


def _is_unchanged(table: ComparisonTable, label: str) -> bool:
    """Whether every scored image equals the backbone's."""
    drifts = [column.column for column in table.prior_columns if column.column.name == "drift"]
    values = [value for column in drifts for _, value in scored(table.run.scores_of(label, column))]
    return bool(values) and not any(values)
