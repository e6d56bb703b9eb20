"""Prepare a run: options, plan, methods, backbone, and the fingerprint of every image."""

import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

from bench.atomic_io import read_json
from bench.datasets.registry import People, open_people
from bench.errors import StoreError
from bench.runner.backbone_source import BackboneSource, Device, find_backbone
from bench.runner.execution.worker_count import default_workers
from bench.runner.fingerprint_parts import class_code, method_parts, row_parts, run_parts, subject_parts
from bench.runner.prompt_lengths import check_lengths
from bench.runner.provenance import FileDigests
from bench.runs.fingerprint import FingerprintParts, differing_with_code
from bench.runs.image_index import ImageIndex, index_images, with_missing
from bench.runs.plan import Plan, image_counts, make_plan
from bench.runs.records.run_manifest import MethodRecord, read_run_manifest
from bench.runs.records.tables import FLOOR
from bench.runs.row_methods import build_method, without_class_images
from bench.runs.row_settings import row_settings_of
from bench.runs.run_folder import RunFolder, check_distinct_files
from bench.runs.shared_fits import with_states
from bench.runs.task import GroupTask
from bench.subjects.photo_checks import check_others, check_people
from bench.suite.suite import Suite, SuiteFile
from methods.catalog import check_name
from methods.errors import MethodError
from methods.interface import Method, role_of

RESULTS: Final = Path("results")
Warn = Callable[[str], None]


@dataclass(frozen=True)
class RunOptions:
    """Options of `bench run`, checked."""

    file: SuiteFile
    methods: tuple[str, ...]
    seed: int
    device: Device
    only: str | None
    overwrite: bool
    workers: int | None = None
    """Number of worker processes; None for the default."""
    executor: str = "local"


@dataclass(frozen=True)
class PlannedRun:
    """A run before anything heavy is imported: people and plan."""

    options: RunOptions
    people: People
    plan: Plan

    @property
    def suite(self) -> Suite:
        """The suite of the run."""
        return self.options.file.suite


@dataclass(frozen=True)
class RunSession:
    """A run with built methods and a backbone whose files were found."""

    planned: PlannedRun
    backbone: BackboneSource | None
    methods: Mapping[str, Method]
    tasks: tuple[GroupTask, ...]
    """Groups of the requested methods and of those with images from earlier runs."""
    shared: Mapping[str, str]
    """Fingerprint parts that all images share."""
    remarks: tuple[str, ...]
    """Missing files of the dataset, and held-out photographs that nearly equal a reference."""
    index: ImageIndex
    """The images that existed before this run."""

    @cached_property
    def workers(self) -> int:
        """Number of processes that generate images; the default depends on the memory that is free now."""
        return self.planned.options.workers or default_workers(self.backbone, self.methods.values())

    @property
    def floor(self) -> str:
        """The row of the backbone alone."""
        return next((label for label, method in self.methods.items() if role_of(method) == "floor"), FLOOR)


def default_folder(file: SuiteFile, seed: int) -> Path:
    """`results/tiny`, or `results/tiny-seed7` for another seed than the suite's."""
    return RESULTS / (file.suite.name if seed == file.suite.seed else f"{file.suite.name}-seed{seed}")


def plan_run(options: RunOptions, earlier: Sequence[str]) -> PlannedRun:
    """Open the dataset and plan all images, also of `earlier` methods; select the requested ones."""
    suite = options.file.suite
    people = open_people(suite.dataset, options.file.base)
    labels = tuple(dict.fromkeys([*earlier, *options.methods]))
    plan = make_plan(
        labels,
        people.chosen,
        suite.shared_prompts,
        image_counts(suite),
        seed=options.seed,
        no_priors=without_class_images(labels, suite),
    )
    check_distinct_files(plan.groups)
    for label in options.methods:
        check_name(str(suite.settings.get(label, {}).get("base", label)))
    requested = frozenset(cell.id for cell in plan.cells if cell.method in options.methods)
    plan = Plan(plan.groups, requested)
    return PlannedRun(options, people, plan.only(options.only) if options.only else plan)


def open_session(planned: PlannedRun, folder: RunFolder, warn: Warn) -> RunSession:
    """Check the photographs, build the methods, find the backbone and the missing images.

    Raises StoreError if a selected image exists with another fingerprint and `overwrite` is False.
    """
    methods = _build_methods(planned, warn)
    remarks = [*planned.people.remarks, *check_people(planned.people.chosen)]
    backbone = find_backbone(planned.suite.backbone, planned.options.device)
    digests = FileDigests(folder.path / ".digests.json")
    shared = run_parts(backbone, digests)
    tasks = _tasks(planned, methods, shared, digests)
    if backbone is not None:
        remarks += check_lengths(tasks, backbone.excess_tokens)
    for line in remarks:
        warn(f"dataset: {line}")
    index = index_images(tasks, folder)
    tasks = _current(tasks, planned, index, warn)
    if not planned.options.overwrite:
        _refuse_stale(tasks, index, folder)
    tasks = with_states([with_missing(task, index) for task in tasks], planned.suite.settings)
    if any(task.missing for task in tasks):
        check_others(planned.people.others)
    return RunSession(planned, backbone, methods, tuple(tasks), shared, tuple(remarks), index)


def _tasks(
    planned: PlannedRun, methods: Mapping[str, Method], shared: Mapping[str, str], digests: FileDigests
) -> list[GroupTask]:
    options, suite = planned.options, planned.suite
    people = {who.id: who for who in planned.people.chosen}
    of_methods = {label: method_parts(method, digests) for label, method in methods.items()}
    session = secrets.token_hex(8)
    photos: dict[tuple[str, str], str] = {}
    tasks = []
    for group in planned.plan.groups:
        if group.method not in methods:
            continue
        row = row_settings_of(group.method, suite.settings.get(group.method, {}))
        who = row.selection.of(people[group.identity], planned.people.chosen)
        method = {**of_methods[group.method], **row_parts(row)}
        tasks.append(
            GroupTask(
                group,
                who,
                methods[group.method],
                FingerprintParts(shared, method, subject_parts(who, photos)),
                suite.backbone.batch,
                options.seed,
                planned.plan.selected_ids.intersection(cell.id for cell in group.cells),
                options.overwrite,
                row.guidance,
                row.checkpoint,
                session=session,
            )
        )
    return tasks


def _build_methods(planned: PlannedRun, warn: Warn) -> dict[str, Method]:
    methods = {}
    for label in dict.fromkeys(group.method for group in planned.plan.groups):
        try:
            methods[label] = build_method(label, planned.suite.settings)
        except MethodError as error:
            if label in planned.options.methods:
                raise
            warn(f"{label} is left out of the table: {error}")
    return methods


def _current(
    tasks: Sequence[GroupTask], planned: PlannedRun, index: ImageIndex, warn: Warn
) -> list[GroupTask]:
    """Remove methods of earlier runs that have no image with a current fingerprint."""
    current = set(planned.options.methods)
    current |= {task.group.method for task in tasks if any(map(index.has, task.group.cells))}
    for label in dict.fromkeys(task.group.method for task in tasks):
        if label not in current:
            warn(f"{label} is left out of the table: its images have another fingerprint; run it again")
    return [task for task in tasks if task.group.method in current]


def _refuse_stale(tasks: Sequence[GroupTask], index: ImageIndex, folder: RunFolder) -> None:
    """Raise StoreError for stale images: existing results are replaced only with `--overwrite`."""
    stale = [
        (cell, task)
        for task in tasks
        for cell in task.group.cells
        if cell.id in task.selected and index.is_stale(cell)
    ]
    if not stale:
        return
    cell, task = stale[0]
    before = read_json(folder.sidecar(cell)).get("fingerprint_parts")
    if not isinstance(before, Mapping):
        raise _stale(folder, len(stale), cell.id, "what they depend on was not recorded")
    earlier = read_run_manifest(folder.path).methods.get(task.group.method, MethodRecord())
    code = earlier.code if "code" in before else {}
    now = task.fingerprint_parts.parts(cell)
    names = differing_with_code(before, now, code, class_code(type(task.method)))
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    raise _stale(folder, len(stale), cell.id, f"{', '.join(names[:3])}{more}")


def _stale(folder: RunFolder, count: int, cell: str, reason: str) -> StoreError:
    return StoreError(
        f"{folder.path}: {count} images, first {cell}, have another fingerprint ({reason}); "
        "generate them again with --overwrite, or choose another folder with --out"
    )
