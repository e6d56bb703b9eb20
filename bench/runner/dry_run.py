"""Text of `bench run --dry-run`."""

from typing import Final

from bench.runner.estimate import cost_lines, estimate
from bench.runner.execution.worker_count import cores
from bench.runner.session import RESULTS, PlannedRun
from bench.runs.plan import Cell
from bench.runs.run_folder import RunFolder
from bench.runs.shared_fits import fits_of

IMAGE_FOLDER: Final = "image-folder"
"""Method of images that are made elsewhere."""


def plan_text(planned: PlannedRun, folder: RunFolder, *, cells: bool) -> str:
    """`bench run --dry-run`: the size of the run, its expected costs, and on request the id of every cell.

    Of `image-folder`, whose images are made elsewhere, the file, seed and prompt of every image.
    """
    selected = planned.plan.selected
    missing = [cell for cell in selected if not folder.image(cell).exists()]
    rows, people = ({getattr(cell, name) for cell in selected} for name in ("method", "identity"))
    prompts = {(cell.prompt.id, cell.prompt.template) for cell in selected}
    fits = fits_of(missing, planned.suite.settings)
    size = (
        f"{len(rows)} rows, {len(people)} people, {len(prompts)} prompts: {len(selected):,} of "
        f"{len(planned.plan.cells):,} cells into {folder.path}; {len(selected) - len(missing):,} have an "
        f"image, which is kept if its fingerprint is unchanged; {len(missing):,} images to make, "
        f"with {len(fits):,} fits"
    )
    lines = [_line(cell, planned) for cell in selected] if cells else []
    costs = estimate(missing, planned.suite, folder, RESULTS)
    workers = planned.options.workers or cores()
    return "\n".join([*lines, size, *(cost_lines(costs, workers) if missing else [])])


def _line(cell: Cell, planned: PlannedRun) -> str:
    settings = planned.suite.settings.get(cell.method, {})
    if settings.get("base", cell.method) != IMAGE_FOLDER:
        return cell.id
    file = f"{cell.identity}/{cell.prompt.id}.s{cell.sample}.png"
    return f"{file}\tseed {cell.seed}\t{cell.prompt.template}"
