"""A run before its first picture: what is asked for, the plan, and every picture's recipe."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Literal

from bench.datasets.registry import People, open_people
from bench.errors import StoreError, SuiteError
from bench.runner.fingerprint_parts import method_parts, run_parts, subject_parts
from bench.runner.provenance import FileDigests
from bench.runner.row_settings import row_settings_of
from bench.runs.atomic_io import read_json
from bench.runs.fingerprint import FingerprintParts, differing
from bench.runs.plan import Plan, make_plan
from bench.runs.run_folder import RunFolder
from bench.runs.task import GroupTask
from bench.suite.suite import NO_BACKBONE, Suite, SuiteFile
from methods.backbone.spec import BackboneSpec
from methods.catalog import generates_class_images, make, open_backbone, self_contained
from methods.errors import MethodError
from methods.interface import Method

ALL: Final = "all"
RESULTS: Final = Path("results")
Warn = Callable[[str], None]
Device = Literal["auto", "cpu", "cuda"]


@dataclass(frozen=True)
class RunOptions:
    """What `bench run` was asked for."""

    file: SuiteFile
    methods: tuple[str, ...]
    seed: int
    device: Device
    only: str | None
    overwrite: bool


@dataclass(frozen=True)
class PlannedRun:
    """A run before anything heavy is imported: the people and the plan."""

    options: RunOptions
    people: People
    plan: Plan

    @property
    def suite(self) -> Suite:
        """The suite that is run."""
        return self.options.file.suite


@dataclass(frozen=True)
class RunSession:
    """A run with its backbone open and its methods built."""

    planned: PlannedRun
    backbone: Any
    methods: Mapping[str, Method]
    tasks: tuple[GroupTask, ...]
    """Groups of the methods asked for, and of those that drew in this folder before."""
    shared: Mapping[str, str]
    """The recipe parts that all pictures share."""
    remarks: tuple[str, ...]
    """What is missing of the dataset, and which held-out photographs nearly are references."""


def default_folder(file: SuiteFile, seed: int) -> Path:
    """`results/tiny`; another seed has a folder of its own."""
    return RESULTS / (file.suite.name if seed == file.suite.seed else f"{file.suite.name}-seed{seed}")


def method_labels(asked: Sequence[str], suite: Suite) -> tuple[str, ...]:
    """The rows of the table: `all` stands for the suite's `rows` and sweeps.

    Where the suite names no rows: for the catalogue, but what must be brought, and for all of the suite's.
    """
    swept = [label for label in suite.settings if label not in suite.methods]
    named = suite.rows if suite.rows is not None else (*self_contained(), *suite.methods)
    every = [*named, *swept]
    labels = [label for name in asked for label in (every if name == ALL else [name])]
    return tuple(dict.fromkeys(labels))


def plan_run(options: RunOptions, earlier: Sequence[str]) -> PlannedRun:
    """Read the dataset and make the plan, for `earlier` methods too, but choose only what is asked for."""
    suite = options.file.suite
    people = open_people(suite.dataset, options.file.base)
    labels = tuple(dict.fromkeys([*earlier, *options.methods]))
    plan = make_plan(
        labels,
        people.chosen,
        suite.shared_prompts,
        recaptions=suite.prompts.recaptions,
        samples=suite.samples,
        seed=options.seed,
        priors=suite.prompts.priors,
        no_priors=_without_priors(labels, suite),
    )
    asked = frozenset(cell.id for cell in plan.cells if cell.method in options.methods)
    plan = Plan(plan.groups, asked)
    return PlannedRun(options, people, plan.only(options.only) if options.only else plan)


def _without_priors(labels: Sequence[str], suite: Suite) -> frozenset[str]:
    """Rows of methods that cannot generate class images: images without the subject."""
    names = {label: str(suite.settings.get(label, {}).get("base", label)) for label in labels}
    return frozenset(label for label, name in names.items() if not generates_class_images(name))


def open_session(planned: PlannedRun, folder: RunFolder, warn: Warn) -> RunSession:
    """Check the photographs, build the methods, open the backbone, and write every picture's recipe."""
    options, suite = planned.options, planned.suite
    methods = _build_methods(planned, warn)
    remarks = [*planned.people.remarks, *(line for who in planned.people.chosen for line in who.check())]
    for line in remarks:
        warn(f"dataset: {line}")
    backbone = _open_backbone(suite.backbone, options.device)
    digests = FileDigests(folder.path / ".digests.json")
    shared = run_parts(backbone, digests)
    of_methods = {label: method_parts(method, digests) for label, method in methods.items()}
    people = {who.id: who for who in planned.people.chosen}
    tasks = []
    for group in planned.plan.groups:
        if group.method not in methods:
            continue
        row = row_settings_of(group.method, suite.settings.get(group.method, {}))
        who = row.shown.of(people[group.identity], planned.people.chosen)
        tasks.append(
            GroupTask(
                group,
                who,
                methods[group.method],
                FingerprintParts(
                    shared, {**of_methods[group.method], **_drawn_by(row.guidance)}, subject_parts(who)
                ),
                suite.backbone.batch,
                options.seed,
                planned.plan.wanted,
                options.overwrite,
                row.guidance,
            )
        )
    current = tuple(_current(tasks, planned, folder, warn))
    return RunSession(planned, backbone, methods, current, shared, tuple(remarks))


def _drawn_by(guidance: float | None) -> dict[str, str]:
    return {} if guidance is None else {"row's guidance": str(float(guidance))}


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


def build_method(label: str, of_suite: Mapping[str, Mapping[str, Any]]) -> Method:
    """The method behind a row's label, with the suite's settings."""
    settings = row_settings_of(label, of_suite.get(label, {})).own
    name = settings.pop("base", label)
    if not isinstance(name, str):
        raise SuiteError(f"methods: {label}: like = {name!r}; wanted is a method's name")
    # A frozen dataclass of settings can be hashed only if its lists are tuples.
    return make(name, {key: tuple(v) if isinstance(v, list) else v for key, v in settings.items()})


def _open_backbone(spec: BackboneSpec, device: Device) -> Any:
    if spec.path == NO_BACKBONE:
        return None
    return open_backbone(spec if device == "auto" else replace(spec, device=device))


def _current(
    tasks: Sequence[GroupTask], planned: PlannedRun, folder: RunFolder, warn: Warn
) -> list[GroupTask]:
    """Without the earlier methods whose pictures no longer fit this suite and these versions."""
    fitting = set(planned.options.methods)
    for task in tasks:
        if any(folder.has(cell, task.fingerprint_parts.fingerprint(cell)) for cell in task.group.cells):
            fitting.add(task.group.method)
    for label in dict.fromkeys(task.group.method for task in tasks):
        if label not in fitting:
            warn(f"{label} is left out of the table: its pictures were made in another way; run it again")
    return [task for task in tasks if task.group.method in fitting]


def refuse_stale(session: RunSession, folder: RunFolder) -> None:
    """Pictures made in another way are results: they are drawn over only when `--overwrite` says so."""
    stale = [
        (cell, task)
        for task in session.tasks
        for cell in task.group.cells
        if cell.id in task.wanted
        and folder.found(cell) not in (None, task.fingerprint_parts.fingerprint(cell))
    ]
    if not stale or session.planned.options.overwrite:
        return
    cell, task = stale[0]
    changed = differing(read_json(folder.sidecar(cell)).get("made", {}), task.fingerprint_parts.parts(cell))
    shown = ", ".join(changed[:3]) + (f" and {len(changed) - 3} more" if len(changed) > 3 else "")
    raise StoreError(
        f"{folder.path}: {len(stale)} pictures, first {cell.id}, were made in another way "
        f"({shown or 'recipe unknown'}); give --overwrite to generate them again, or --out another folder"
    )
