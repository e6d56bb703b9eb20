"""The digest of everything that the scores of a run depend on: scores with another digest are outdated."""

from collections.abc import Mapping
from typing import Any

from bench.runs.fingerprint import digest_of
from bench.runs.records.tables import CellRow
from bench.runs.run_folder import RunFolder
from bench.runs.source_code.digests import definition_digests
from bench.scoring.image_digests import ImageDigests
from bench.scoring.inputs import ScoringInputs
from bench.scoring.samples import prompts_of, shown_references
from bench.scoring.suite_metrics import settings_of, title
from bench.subjects.identity import Identity, PhotoFile
from bench.suite.prompts import Prompt
from bench.suite.suite import Suite

FILE_SETTINGS = ("path", "revision", "digest")
"""Encoder settings that locate weight files; the fingerprint contains the files' digest."""


def score_digest(inputs: ScoringInputs) -> str:
    """One digest of images, prompts, photographs, metrics and code."""
    files = ImageDigests(inputs.folder.path)
    people, metrics = inputs.people, inputs.metrics
    found = digest_of(
        {
            "images": [_image(cell, inputs.folder, files) for cell in inputs.cells],
            "identities": [_identity(who, inputs.suite, files) for who in people.chosen],
            "other photographs": [files.of_photo(photo) for photo in people.others],
            "shown": _shown(inputs, files),
            "metrics": [(title(metric), settings_of(metric)) for metric in metrics.all],
            "fingerprints": metrics.fingerprints,
            "encoders": _encoder_settings(inputs.suite),
            "code": definition_digests("bench.scoring.score", "score", shared="bench"),
            "seed": inputs.seed,
            "floor": inputs.floor,
        }
    )
    files.save()
    return found


def _image(cell: CellRow, folder: RunFolder, files: ImageDigests) -> tuple[object, ...]:
    outcome = (cell.status, cell.reason, cell.flaw, cell.picture)
    content = files.of(folder.image_of(cell)) if cell.has_content else ""
    return (cell.cell, cell.prompt, cell.category, cell.template, cell.sample, *outcome, content)


def _identity(who: Identity, suite: Suite, files: ImageDigests) -> dict[str, Any]:
    return {
        "id": who.id,
        "noun": who.noun,
        "person": who.person,
        "prompts": [_prompt(prompt) for prompt in prompts_of(who, suite)],
        "references": [_photo(photo, files) for photo in who.references],
        "held out": [_photo(photo, files) for photo in who.held_out],
    }


def _shown(inputs: ScoringInputs, files: ImageDigests) -> list[tuple[str, str, list[str]]]:
    """By row and identity, digests of the references that the row showed to its method."""
    rows = dict.fromkeys((cell.method, cell.identity) for cell in inputs.cells)
    people = {who.id: who for who in inputs.people.chosen}
    found = []
    for label, name in rows:
        if name in people:
            photos = shown_references(label, people[name], inputs.people.chosen, inputs.suite)
            found.append((label, name, [files.of_photo(photo) for photo in photos]))
    return found


def _encoder_settings(suite: Suite) -> Mapping[str, Mapping[str, str]]:
    return {
        name: {key: repr(value) for key, value in settings.items() if key not in FILE_SETTINGS}
        for name, settings in suite.encoders.items()
    }


def _prompt(prompt: Prompt) -> tuple[object, ...]:
    return prompt.id, prompt.template, prompt.category, sorted(prompt.expected_attributes.items())


def _photo(photo: PhotoFile, files: ImageDigests) -> tuple[object, ...]:
    return files.of_photo(photo), photo.caption, sorted(photo.attributes.items())
