"""Index of the stored images, built by opening every file once."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from bench.runs.plan import Cell
from bench.runs.run_folder import RunFolder
from bench.runs.task import GroupTask


@dataclass(frozen=True)
class ImageIndex:
    """Fingerprints by cell id."""

    planned: Mapping[str, str]
    """The fingerprint that the image would have if it were generated now."""
    stored: Mapping[str, str]
    """The fingerprint of the stored image; a cell without a whole image is absent."""

    def has(self, cell: Cell) -> bool:
        """Whether the stored image is the one that would be generated now."""
        return self.stored.get(cell.id) == self.planned[cell.id]

    def is_stale(self, cell: Cell) -> bool:
        """Whether there is an image, but a different one."""
        return cell.id in self.stored and not self.has(cell)

    def updated(self, tasks: Sequence[GroupTask], folder: RunFolder) -> "ImageIndex":
        """The index after a run: files of groups with missing images are opened again, others must exist."""
        again = index_images([task for task in tasks if task.missing], folder)
        kept = {
            cell.id: self.stored[cell.id]
            for task in tasks
            for cell in task.group.cells
            if not task.missing and cell.id in self.stored and folder.image(cell).exists()
        }
        return ImageIndex(self.planned, {**kept, **again.stored})


def index_images(tasks: Sequence[GroupTask], folder: RunFolder) -> ImageIndex:
    """Open every image of these groups once and read its fingerprint."""
    cells = [(task, cell) for task in tasks for cell in task.group.cells]
    planned = {cell.id: task.fingerprint_parts.fingerprint(cell) for task, cell in cells}
    stored = {cell.id: found for _, cell in cells if (found := folder.found(cell)) is not None}
    return ImageIndex(planned, stored)


def with_missing(task: GroupTask, index: ImageIndex) -> GroupTask:
    """Set `missing`: the selected images that are not current, or all selected ones with `overwrite`."""
    selected = (cell for cell in task.group.cells if cell.id in task.selected)
    missing = frozenset(cell.id for cell in selected if task.overwrite or not index.has(cell))
    return replace(task, missing=missing)
