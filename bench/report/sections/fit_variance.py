"""Section of the report: how much of the scores is the chance of a fit."""

from typing import Final

from bench.analysis.comparison_table import ComparisonTable
from bench.analysis.fit_variance import FitVariance
from bench.markdown import table as markdown_table

SHOWN: Final = ("identity", "prompt-match")


def fit_variance_section(table: ComparisonTable) -> str:
    """Standard deviations between people, fits and images; empty where each person was fitted once."""
    lines = [
        [column.column.title, label, *_numbers(found)]
        for column in table.image_columns
        if column.column.name in SHOWN
        for label, found in column.fit_variances.items()
    ]
    if not lines:
        return ""
    intro = (
        "Standard deviations of means over the prompts. Fits: of the mean of one fit around its person's "
        "mean, beyond the noise of its images. Images: of that mean when only the images are generated "
        "again. Refitting: of the row's mean in the table when everybody is fitted again with other seeds. "
        "All are parts of the intervals, because people are taken as random. A row that trains nothing per "
        "person shows what chance alone gives between fits. The networks that were trained beforehand were "
        "trained once; no interval contains their chance."
    )
    header = ["metric", "method", "people x fits", "people", "fits", "images", "refitting"]
    return f"## Chance of a fit\n\n{intro}\n\n{markdown_table(header, lines)}"


def _numbers(found: FitVariance) -> list[str]:
    deviations = (found.between_people, found.between_fits, found.between_images, found.on_refitting)
    return [f"{found.people} x {found.fits}", *(f"{value:.4f}" for value in deviations)]
