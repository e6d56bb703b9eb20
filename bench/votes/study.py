"""A study: which images are compared, in which order, and which method is on which side.

The study is a file in the run folder, `votes/<id>.json`. The page of the study contains its id and numbers of
comparisons; only this file names the method of each image. Voters do not get it.
"""

import random
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from pathlib import Path
from typing import Final

from bench.atomic_io import write_json
from bench.errors import ReportError, SuiteError, nearest
from bench.runs.fingerprint import digest_of
from bench.runs.finished_run import FinishedRun
from bench.runs.records.tables import CellRow
from bench.suite.prompts import PRIOR
from bench.suite.toml_schema import read_table
from bench.text_files import read_json

FOLDER: Final = "votes"
Place = tuple[str, str, int]
"""Person, prompt and sample."""


@dataclass(frozen=True)
class Comparison:
    """Two images of one person, prompt and sample."""

    person: str
    prompt: str
    sample: int
    left: str
    """The method of the image on the left."""
    right: str


@dataclass(frozen=True)
class Study:
    """The comparisons of one page, in the order of the page."""

    run: str
    """Digest of the run's images."""
    seed: int
    comparisons: tuple[Comparison, ...]
    left_out: dict[str, int]
    """By method, the number of its images that failed or show nothing, and are therefore never shown."""

    @property
    def id(self) -> str:
        """A digest of the content."""
        return digest_of(asdict(self))

    @property
    def methods(self) -> tuple[str, ...]:
        """All methods, in alphabetical order."""
        return tuple(sorted({m for c in self.comparisons for m in (c.left, c.right)}))


def make_study(run: FinishedRun, methods: Sequence[str], count: int, seed: int) -> Study:
    """Choose comparisons: equally many of every two methods, up to one, at places chosen by the seed.

    Sides and order are drawn too. Raises SuiteError for unknown methods or fewer than two.
    """
    chosen = list(methods) or run.methods
    for name in chosen:
        if name not in run.methods:
            raise SuiteError(f"--methods: {run.path} has no row {name!r}; {nearest(name, run.methods)}")
    if len(set(chosen)) < 2:
        raise SuiteError(f"votes compare at least two methods; found {', '.join(chosen) or 'none'}")
    rng = random.Random(f"{image_digest(run)}/{seed}")
    comparisons = list(_choose(run, sorted(set(chosen)), count, rng))
    if not comparisons:
        raise ReportError(f"{run.path}: no person and prompt has images of two methods; nothing to compare")
    rng.shuffle(comparisons)
    lost = Counter(cell.method for cell in _subject_cells(run) if not cell.has_content)
    return Study(
        image_digest(run), seed, tuple(comparisons), {name: lost[name] for name in chosen if lost[name]}
    )


def _choose(run: FinishedRun, methods: Sequence[str], count: int, rng: random.Random) -> Iterator[Comparison]:
    """In turn, a comparison of every two methods, each at the next of its shuffled places."""
    places = {name: set(_places(run, name)) for name in methods}
    queues = []
    for one, other in combinations(methods, 2):
        shared = sorted(places[one] & places[other])
        rng.shuffle(shared)
        queues.append((one, other, shared))
    rng.shuffle(queues)
    for round_number in range(max(len(shared) for _, _, shared in queues)):
        for one, other, shared in queues:
            if round_number < len(shared) and count > 0:
                count -= 1
                left, right = rng.sample((one, other), 2)
                yield Comparison(*shared[round_number], left, right)


def _places(run: FinishedRun, method: str) -> Iterator[Place]:
    for cell in _subject_cells(run):
        if cell.method == method and cell.has_content:
            yield cell.identity, cell.prompt, cell.sample


def _subject_cells(run: FinishedRun) -> list[CellRow]:
    return [cell for cell in run.cells if cell.category != PRIOR]


def image_digest(run: FinishedRun) -> str:
    """Digest of the fingerprints of all images of the run."""
    return digest_of({cell.cell: cell.picture for cell in run.cells})


def write_study(run: Path, study: Study) -> Path:
    """Write the study into the run folder; returns its path."""
    path = run / FOLDER / f"{study.id}.json"
    write_json(path, asdict(study))
    return path


def read_studies(run: FinishedRun) -> dict[str, Study]:
    """The studies in the run folder, by id. Raises ReportError for a damaged file or images made again."""
    digest, found = image_digest(run), {}
    for path in sorted((run.path / FOLDER).glob("*.json")):
        study = _read_study(path)
        if study.id != path.stem:
            raise ReportError(f"{path}: the study has been changed; restore the file, or remove it")
        if study.run == digest:
            found[study.id] = study
    return found


def _read_study(path: Path) -> Study:
    content = read_json(path, ReportError)
    try:
        if not isinstance(content, dict):
            raise SuiteError(f"{path}: not a JSON object")
        return read_table(content, Study, str(path))
    except SuiteError as error:
        raise ReportError(f"{error}; the study is damaged, restore the file, or remove it") from error
