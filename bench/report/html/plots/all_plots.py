"""All plots of the page."""

from collections.abc import Iterable

from bench.analysis.comparison_table import ComparisonTable
from bench.report.html.plots.agreement import agreement_plot
from bench.report.html.plots.intervals import differences_plot, groups_plot
from bench.report.html.plots.people import per_person
from bench.report.html.plots.scatter import cost_plot, trade_off
from bench.report.html.plots.sweeps import sweep_plots


def plots(table: ComparisonTable) -> str:
    """All plots that the run has the numbers for, as HTML."""
    identities = [c for c in table.image_columns if c.column.name == "identity"]
    prompts = [c for c in table.image_columns if c.column.name == "prompt-match"]
    parts = [trade_off(table, identity, prompt) for prompt in prompts[:1] for identity in identities]
    parts.append(differences_plot(table, [*identities, *prompts]))
    parts += sweep_plots(table, [*identities, *prompts])
    parts += [cost_plot(table, identity) for identity in identities[:1]]
    parts.append(agreement_plot(table))
    parts += [per_person(table, identity) for identity in identities]
    groups = _together([groups_plot(table, found) for found in table.subgroups])
    if groups:
        groups = f"<details><summary>Groups of people</summary>{groups}</details>"
    return _together(parts) + groups


def _together(figures: Iterable[str]) -> str:
    shown = [one for one in figures if one]
    return f'<div class="plots">{"".join(shown)}</div>' if shown else ""
