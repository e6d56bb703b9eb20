"""What a picture's fingerprint depends on, and what it does not."""

from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from bench.runner.fingerprint_parts import method_parts, subject_parts
from bench.runner.provenance import FileDigests, commit, versions
from bench.runs.fingerprint import FingerprintParts, differing, digest_of
from bench.runs.plan import Cell
from bench.subjects.identity import Identity, PhotoFile
from bench.suite.prompts import Prompt

ROOT = Path(__file__).parents[3]
CELL = Cell("fake", "ada", Prompt("hat", "{subject} in a hat"), 1, 7)
RECIPE = FingerprintParts({"backbone": "b"}, {"method": "m"}, {"references": "r"})


@pytest.mark.parametrize(
    "other",
    [
        replace(CELL, seed=8),
        replace(CELL, prompt=Prompt("hat", "{subject} in a red hat")),
    ],
)
def test_seed_and_prompt_are_in_the_fingerprint(other: Cell) -> None:
    assert RECIPE.fingerprint(other) != RECIPE.fingerprint(CELL)


@pytest.mark.parametrize("part", ["run", "method", "subject"])
def test_every_part_is_in_the_fingerprint_of_pictures_and_fits(part: str) -> None:
    other = replace(RECIPE, **{part: {"changed": "yes"}})
    assert other.fingerprint(CELL) != RECIPE.fingerprint(CELL)
    assert other.fit_fingerprint(1) != RECIPE.fit_fingerprint(1)


def test_the_name_of_a_prompt_is_not(tmp_path: Path) -> None:
    renamed = replace(CELL, prompt=Prompt("cap", CELL.prompt.template))
    assert RECIPE.fingerprint(renamed) == RECIPE.fingerprint(CELL)


@dataclass(frozen=True)
class Weighty:
    """A method with a file of its own."""

    path: Path
    strength: float = 0.5

    @property
    def weights(self) -> tuple[Path, ...]:
        return (self.path,)


def test_weights_and_settings_are_parts_and_absent_weights_are_called_so(tmp_path: Path) -> None:
    path, digests = tmp_path / "w.safetensors", FileDigests(tmp_path / "digests.json")
    assert method_parts(Weighty(path), digests)["weights w.safetensors"] == "missing"  # type: ignore[arg-type]
    path.write_bytes(b"1")
    parts = method_parts(Weighty(path), digests)  # type: ignore[arg-type]
    assert parts["setting strength"] == "0.5"
    path.write_bytes(b"22")
    assert method_parts(Weighty(path), digests)["weights w.safetensors"] != parts["weights w.safetensors"]  # type: ignore[arg-type]


def test_a_photo_or_its_caption_changes_the_subject(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(b"1")
    who = Identity("ada", "woman", (PhotoFile(path, "{subject}"),), ())
    before = subject_parts(who)
    assert subject_parts(replace(who, references=(PhotoFile(path, "{subject}, smiling"),))) != before
    path.write_bytes(b"2")
    assert subject_parts(who) != before


def test_digests_are_remembered_and_notice_a_change(tmp_path: Path) -> None:
    path, memory = tmp_path / "big", tmp_path / "digests.json"
    path.write_bytes(b"1")
    first = FileDigests(memory).of(path)
    assert memory.exists()
    assert FileDigests(memory).of(path) == first
    path.write_bytes(b"22")
    assert FileDigests(memory).of(path) != first


def test_differences_are_named_with_both_values() -> None:
    assert differing({"a": "1", "b": "2"}, {"b": "3", "c": "4"}) == [
        "a: 1 / absent",
        "b: 2 / 3",
        "c: absent / 4",
    ]


def test_a_digest_does_not_depend_on_the_order_of_keys() -> None:
    assert digest_of({"a": 1, "b": 2}) == digest_of({"b": 2, "a": 1})


def test_versions_and_commit_are_known_here() -> None:
    assert versions()["library torch"].startswith("2.")
    assert isinstance(commit(), str)


def test_files_of_one_name_are_told_apart_by_their_folders(tmp_path: Path) -> None:
    """Swapping two people's weights must not go unseen."""
    paths = [tmp_path / who / "weights.safetensors" for who in ("ada", "bob")]
    for path in paths:
        path.parent.mkdir()
        path.write_bytes(path.parent.name.encode())
    digests = FileDigests(tmp_path / "digests.json")
    found = digests.of_all(paths, "weights ", paths[0].parent)
    assert found == {f"weights {path.parent.name}/{path.name}": digests.of(path) for path in paths}
