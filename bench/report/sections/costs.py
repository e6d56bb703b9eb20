"""Section of the report: costs of each method."""

from bench.analysis.comparison_table import ComparisonTable
from bench.markdown import table as markdown_table
from bench.report.cell_text import value_text


def cost_section(table: ComparisonTable) -> str:
    """A table of the costs; without the GPU column where none was measured."""
    columns = {
        "fit s": ("fit_seconds", ".2f"),
        "s per image": ("seconds_per_image", ".3f"),
        "peak memory MB": ("memory_mb", ".0f"),
        "peak GPU MB": ("gpu_mb", ".0f"),
        "bytes per identity": ("bytes_per_identity", ",.0f"),
    }
    if all(costs.gpu_mb is None for costs in table.costs.values()):
        del columns["peak GPU MB"]
    lines = [
        [method, *(value_text(getattr(costs, name), form) for name, form in columns.values())]
        for method, costs in table.costs.items()
    ]
    intro = "Peak memory is the whole process, backbone included."
    return f"## Costs\n\n{intro}\n\n{markdown_table(['method', *columns], lines)}"
