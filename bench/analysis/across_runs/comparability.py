"""What two runs have in common: people, prompts, methods, metrics; and where they differ."""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import isclose
from typing import Final

from bench.errors import ReportError
from bench.runs.fingerprint import differing, differing_with_code
from bench.runs.finished_run import Column, FinishedRun
from bench.runs.records.run_manifest import MethodRecord
from bench.runs.records.tables import REAL_SAME

ROUNDING: Final = 1e-5
OF_SEVERAL_IMAGES: Final = ("diversity",)
"""Metrics whose score of an image depends on the other images of its prompt."""
Place = tuple[str, str, int]
"""Person, prompt and sample of an image."""

SCORE_AGAIN: Final = "score both with this version: `bench score RUN --overwrite`"
"""The remedy where a metric's numbers in two runs have different meanings."""


@dataclass(frozen=True)
class RefusedColumn:
    """A metric of both runs whose numbers must not be compared."""

    title: str
    reasons: tuple[str, ...]
    """The parts of the metric's fingerprint that differ, with both values."""


@dataclass(frozen=True)
class CommonGround:
    """What may be compared between two runs."""

    methods: tuple[str, ...]
    """Rows of both runs, in the order of the first."""
    columns: tuple[tuple[Column, Column], ...]
    """Metrics per image of both runs with equal fingerprints."""
    refused: tuple[RefusedColumn, ...]
    places: frozenset[Place]
    """Images that both runs planned from the same words for the same person."""
    other_words: int
    """Number of images with the same id but another prompt."""


def common_ground(one: FinishedRun, other: FinishedRun) -> CommonGround:
    """What may be compared. Raises ReportError where nothing may."""
    _check_people(one, other)
    methods = tuple(label for label in one.methods if label in other.methods)
    if not methods:
        raise _nothing(one, other, f"no common method: {listed(one.methods)} / {listed(other.methods)}")
    words, other_words = _prompts(one), _prompts(other)
    shared = words.keys() & other_words.keys()
    places = frozenset(place for place in shared if words[place] == other_words[place])
    if not places:
        raise _nothing(one, other, "no common image: no person of both has the same prompt in both")
    columns, refused = shared_columns(one, other, places)
    _check_photographs(one, other, columns)
    if not columns:
        reasons = [f"{column.title} differs in {'; '.join(column.reasons[:2])}" for column in refused]
        raise _nothing(one, other, "; ".join([*reasons[:2], SCORE_AGAIN]) if reasons else "no common metric")
    return CommonGround(methods, columns, refused, places, len(shared) - len(places))


def run_differences(one: FinishedRun, other: FinishedRun) -> list[str]:
    """Seed, and the parts of the images' fingerprint that all methods share, where they differ."""
    seeds = [] if one.seed == other.seed else [f"seed: {one.seed} / {other.seed}"]
    parts = [shared_parts(run) for run in (one, other)]
    return [*seeds, *differing(*parts)]


def method_differences(one: FinishedRun, other: FinishedRun, label: str) -> list[str]:
    """Settings, code and weights in which a method differs; the names of changed definitions for code."""
    first, second = (run.manifest.methods.get(label, MethodRecord()) for run in (one, other))
    return differing_with_code(first.fingerprint_parts, second.fingerprint_parts, first.code, second.code)


def same_images(one: FinishedRun, other: FinishedRun, label: str, ground: CommonGround) -> tuple[int, int]:
    """Number of a method's common images with the same fingerprint in both runs, and of all common ones."""
    found = [
        {(c.identity, c.prompt, c.sample): c.picture for c in run.cells if c.method == label and c.picture}
        for run in (one, other)
    ]
    common = [place for place in found[0] if place in found[1] and place in ground.places]
    return sum(found[0][place] == found[1][place] for place in common), len(common)


def _check_people(one: FinishedRun, other: FinishedRun) -> None:
    """Raise ReportError for no common person, and for a common id of two datasets."""
    if not any(who in other.people for who in one.people):
        raise _nothing(one, other, f"no common person: {listed([*one.people])} / {listed([*other.people])}")
    for difference in people_differences(one, other):
        raise _nothing(one, other, difference)


def _check_photographs(
    one: FinishedRun, other: FinishedRun, columns: Sequence[tuple[Column, Column]]
) -> None:
    """Raise ReportError where a common person has other photographs: scores compare images with them."""
    for difference in photograph_differences(one, other, columns):
        raise _nothing(one, other, f"{difference}; use the same [dataset] in both suites")


def people_differences(one: FinishedRun, other: FinishedRun) -> Iterator[str]:
    """The common ids that are not the same person."""
    for who in (who for who in one.people if who in other.people):
        records = one.people[who], other.people[who]
        for name in ("origin", "noun"):
            values = [getattr(record, name) for record in records]
            if values[0] != values[1]:
                yield f"{who} is not the same: {name} {values[0]!r} / {values[1]!r}"


def photograph_differences(
    one: FinishedRun, other: FinishedRun, columns: Sequence[tuple[Column, Column]]
) -> Iterator[str]:
    """The common people with other photographs.

    The photographs are the same where the scores of the real photographs are.
    """
    for column, twin in columns:
        found = _scores_of_photographs(one, column), _scores_of_photographs(other, twin)
        for who in (who for who in found[0] if who in found[1]):
            if not _equal(found[0][who], found[1][who]):
                numbers = " / ".join(str(len(own[who])) for own in found)
                yield (
                    f"the photographs of {who} are not the same: their scores by {column.title} differ "
                    f"(number of photographs: {numbers})"
                )


def _scores_of_photographs(run: FinishedRun, column: Column) -> dict[str, dict[str, float | None]]:
    """By person and photograph."""
    found: dict[str, dict[str, float | None]] = defaultdict(dict)
    for row in run.scores_of(REAL_SAME, column):
        found[row.identity][row.prompt] = row.value
    return found


def _equal(one: Mapping[str, float | None], other: Mapping[str, float | None]) -> bool:
    """Whether the scores are the same, up to the rounding of another machine."""
    return one.keys() == other.keys() and all(_close(one[photo], other[photo]) for photo in one)


def _close(one: float | None, other: float | None) -> bool:
    if one is None or other is None:
        return one is other
    return isclose(one, other, rel_tol=ROUNDING, abs_tol=ROUNDING)


def shared_columns(
    one: FinishedRun, other: FinishedRun, places: Collection[Place]
) -> tuple[tuple[tuple[Column, Column], ...], tuple[RefusedColumn, ...]]:
    """Metrics per image of both runs: those with equal fingerprints, and the others."""
    columns, refused = [], []
    for column in (c for c in one.columns if c.of != "sets"):
        twin = next((c for c in other.columns if (c.title, c.of) == (column.title, column.of)), None)
        if twin is None:
            continue
        reasons = differing(column.fingerprint, twin.fingerprint)
        if column.better != twin.better:
            reasons.append(f"better: {column.better} / {twin.better}")
        if one.calibration.get(column.title) != other.calibration.get(column.title):
            reasons.append("threshold, which each run sets by its own people")
        if column.name in OF_SEVERAL_IMAGES and _sample_counts(one, places) != _sample_counts(other, places):
            reasons.append("number of images per prompt, on which each score depends")
        if reasons:
            refused.append(RefusedColumn(column.title, tuple(reasons)))
        else:
            columns.append((column, twin))
    return tuple(columns), tuple(refused)


def _sample_counts(run: FinishedRun, places: Collection[Place]) -> Counter[tuple[str, str]]:
    """Number of images of each method by person and prompt, of the common prompts."""
    prompts = {(who, prompt) for who, prompt, _ in places}
    images = {(cell.identity, cell.prompt, cell.sample) for cell in run.cells}
    return Counter((who, prompt) for who, prompt, _ in images if (who, prompt) in prompts)


def _prompts(run: FinishedRun) -> dict[Place, tuple[str, str]]:
    """Category and template of every planned image."""
    return {(c.identity, c.prompt, c.sample): (c.category, c.template) for c in run.cells}


def shared_parts(run: FinishedRun) -> dict[str, str]:
    """The part of the images' fingerprint that all methods share: backbone, sampling, device, libraries."""
    digests = {cell.run_fingerprint for cell in run.cells if cell.run_fingerprint}
    known = run.manifest.fingerprints
    return {key: value for digest in digests for key, value in known.get(digest, {}).items()}


def _nothing(one: FinishedRun, other: FinishedRun, reason: str) -> ReportError:
    return ReportError(f"{one.path} and {other.path} cannot be compared: {reason}")


def listed(names: Sequence[str]) -> str:
    """The first four names, and the number of the others."""
    return ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")
