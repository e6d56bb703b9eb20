"""The digest of everything that the scores of a run depend on: scores with another digest are outdated."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bench.datasets.registry import People
from bench.runs.fingerprint import digest_of
from bench.runs.records.tables import CellRow
from bench.runs.run_folder import RunFolder
from bench.runs.source_code import definition_digests
from bench.scoring.image_digests import ImageDigests
from bench.scoring.samples import prompts_of, shown_references
from bench.scoring.suite_metrics import Metrics, settings_of, title
from bench.subjects.identity import Identity, PhotoFile
from bench.suite.prompts import Prompt
from bench.suite.suite import Suite

FILE_SETTINGS = ("path", "revision", "digest")
"""Encoder settings that locate weight files; the fingerprint contains the files' digest."""


@dataclass(frozen=True)
class ScoreDependencies:
    """What the scores of a run depend on, by name."""

    suite: Suite
    people: People
    cells: Sequence[CellRow]
    metrics: Metrics
    seed: int
    floor: str
    folder: RunFolder

    @property
    def digest(self) -> str:
        """One digest of images, prompts, photographs, metrics and code."""
        files = ImageDigests(self.folder.path)
        found = digest_of(
            {
                "images": [self._image(cell, files) for cell in self.cells],
                "identities": [self._identity(who, files) for who in self.people.chosen],
                "other photographs": [files.of_photo(photo) for photo in self.people.others],
                "shown": self._shown(files),
                "metrics": [(title(metric), settings_of(metric)) for metric in self.metrics.all],
                "fingerprints": self.metrics.fingerprints,
                "encoders": self._encoder_settings(),
                "code": definition_digests("bench.scoring.score", "score", shared="bench"),
                "seed": self.seed,
                "floor": self.floor,
            }
        )
        files.save()
        return found

    def _image(self, cell: CellRow, files: ImageDigests) -> tuple[object, ...]:
        outcome = (cell.status, cell.reason, cell.flaw, cell.picture)
        content = files.of(self.folder.image_of(cell)) if cell.has_content else ""
        return (cell.cell, cell.prompt, cell.category, cell.template, cell.sample, *outcome, content)

    def _identity(self, who: Identity, files: ImageDigests) -> dict[str, Any]:
        return {
            "id": who.id,
            "noun": who.noun,
            "person": who.person,
            "prompts": [_prompt(prompt) for prompt in prompts_of(who, self.suite)],
            "references": [_photo(photo, files) for photo in who.references],
            "held out": [_photo(photo, files) for photo in who.held_out],
        }

    def _shown(self, files: ImageDigests) -> list[tuple[str, str, list[str]]]:
        """By row and identity, digests of the references that the row showed to its method."""
        rows = dict.fromkeys((cell.method, cell.identity) for cell in self.cells)
        people = {who.id: who for who in self.people.chosen}
        found = []
        for label, name in rows:
            if name not in people:
                continue
            photos = shown_references(label, people[name], self.people.chosen, self.suite)
            found.append((label, name, [files.of_photo(photo) for photo in photos]))
        return found

    def _encoder_settings(self) -> Mapping[str, Mapping[str, str]]:
        return {
            name: {key: repr(value) for key, value in settings.items() if key not in FILE_SETTINGS}
            for name, settings in self.suite.encoders.items()
        }


def _prompt(prompt: Prompt) -> tuple[object, ...]:
    return prompt.id, prompt.template, prompt.category, sorted(prompt.expected_attributes.items())


def _photo(photo: PhotoFile, files: ImageDigests) -> tuple[object, ...]:
    return files.of_photo(photo), photo.caption, sorted(photo.attributes.items())
