"""Write run.json and a copy of the suite."""

import shlex
import sys
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path

from bench.atomic_io import write_text
from bench.runner.fingerprint_parts import class_code
from bench.runner.provenance import commit, machine, versions
from bench.runner.session import RunSession
from bench.runs.fingerprint import digest_of
from bench.runs.records.run_manifest import (
    MethodRecord,
    PersonRecord,
    RunManifest,
    read_run_manifest,
    write_run_manifest,
)
from bench.runs.records.table_digests import OF_RUN, table_digests
from bench.runs.run_folder import SUITE_COPY, RunFolder
from bench.working_folder import working_folder
from methods.backbone_access import gpu_name
from methods.interface import optimised_against, role_of, trained_on


def write_manifest(
    session: RunSession,
    metrics: Iterable[Mapping[str, str]],
    folder: RunFolder,
    seconds: float,
    *,
    ended: bool,
    scoring_seconds_per_image: float | None = None,
) -> None:
    """Write suite.toml and run.json; `metrics` are the fingerprint parts of every metric.

    Until a run has ended, run.json vouches for no table, and no report is made of the folder. Without
    `scoring_seconds_per_image`, that of the earlier run is kept.
    """
    options = session.planned.options
    parts = {task.group.method: dict(task.fingerprint_parts.method) for task in session.tasks}
    people = session.planned.people.chosen
    earlier = read_run_manifest(folder.path)
    scoring = scoring_seconds_per_image
    if scoring is None:
        scoring = earlier.scoring_seconds_per_image
    has_new_images = any(task.missing for task in session.tasks)
    manifest = RunManifest(
        suite=options.file.suite.name,
        seed=options.seed,
        command=shlex.join(["bench", *sys.argv[1:]]),
        commit=commit(),
        base=_absolute(options.file.base),
        libraries=versions(),
        machine={**machine(), **_processes(session)},
        people={who.id: PersonRecord(who.noun, who.origin, dict(who.attributes)) for who in people},
        remarks=tuple(session.remarks),
        methods={label: _method_record(session, label, own) for label, own in parts.items()},
        fingerprints={digest_of(own): dict(own) for own in (session.shared, *metrics)},
        seconds=round(seconds, 1),
        scoring_seconds_per_image=round(scoring, 6),
        ended=datetime.now(UTC).isoformat(timespec="seconds") if has_new_images else earlier.ended,
        tables=table_digests(folder.path, OF_RUN) if ended else {},
    )
    write_text(folder.path / SUITE_COPY, options.file.text)
    write_run_manifest(folder.path, manifest)


def _absolute(folder: Path) -> str:
    """The whole path; empty for a relative one in a working folder that was deleted."""
    return str(folder.resolve()) if folder.is_absolute() or working_folder() else ""


def _processes(session: RunSession) -> dict[str, str]:
    """Number of processes, which Ray chooses itself, and the threads of each or the GPU."""
    on_gpu = session.backbone is not None and session.backbone.device == "cuda"
    executor = session.planned.options.executor
    workers = str(session.workers) if executor == "local" else executor
    return {"workers": workers, **({"gpu": gpu_name()} if on_gpu else {"threads": "1"})}


def _method_record(session: RunSession, label: str, parts: Mapping[str, str]) -> MethodRecord:
    method = session.methods[label]
    return MethodRecord(
        tuple(sorted(method.conditioning_encoders)),
        tuple(sorted(trained_on(method))),
        parts,
        role_of(method),
        class_code(type(method)),
        tuple(sorted(optimised_against(method))),
    )
