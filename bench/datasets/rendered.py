"""The rendered people that ship with the package: no real person's face, every attribute known."""

import json
from collections import defaultdict
from pathlib import Path
from typing import Any, Final

from bench.errors import DatasetError
from bench.identities import Identity, PhotoFile, split
from bench.suite import DatasetSettings

ASSETS: Final = Path(__file__).parents[1] / "people" / "assets" / "test"
VISIBLE: Final = ("expression", "pose", "glasses", "hat", "shirt", "background")
"""Labels that change from photograph to photograph; the other ones belong to the person."""
OF_THE_PICTURE: Final = frozenset({*VISIBLE, "identity", "view", "caption", "noun"})


class RenderedPeople:
    """Reads `people.jsonl`: one record per photograph, `<identity>/<view>.webp` beside it."""

    def __init__(self, settings: DatasetSettings, assets: Path) -> None:
        self._settings = settings
        self._assets = assets
        self._records: dict[str, list[dict[str, Any]]] = defaultdict(list)
        listing = assets / "people.jsonl"
        try:
            lines = listing.read_text(encoding="utf-8").splitlines()
        except OSError as error:
            raise DatasetError(
                f"{listing}: cannot be read ({error.strerror}); install the package again"
            ) from error
        for record in map(json.loads, lines):
            self._records[str(record["identity"])].append(record)

    @classmethod
    def shipped(cls, settings: DatasetSettings, base: Path) -> "RenderedPeople":
        """The people inside the package, or those at `dataset.path` in the same layout."""
        return cls(settings, base / settings.path if settings.path else ASSETS)

    def names(self) -> list[str]:
        """Ids of all identities, sorted."""
        return sorted(self._records)

    def identity(self, name: str) -> Identity:
        """One person, split by the suite's seed."""
        references, held_out = split(name, self.photos(name), self._settings)
        first = self._records[name][0]
        traits = {key: str(value) for key, value in first.items() if key not in OF_THE_PICTURE}
        return Identity(name, first["noun"], tuple(references), tuple(held_out), traits)

    def photos(self, name: str) -> tuple[PhotoFile, ...]:
        """All views of one person."""
        return tuple(self._photo(name, record) for record in self._records[name])

    def _photo(self, name: str, record: dict[str, Any]) -> PhotoFile:
        path = self._assets / name / f"{int(record['view']):02d}.webp"
        return PhotoFile(path, record["caption"], {label: record[label] for label in VISIBLE})
