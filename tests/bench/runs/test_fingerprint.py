"""The parts of an image's fingerprint."""

from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from bench.runner.backbone_source import find_backbone
from bench.runner.fingerprint_parts import backbone_code, method_parts, run_parts, subject_parts
from bench.runner.provenance import FileDigests, commit, versions
from bench.runs.fingerprint import FingerprintParts, differing, differing_with_code, digest_of
from bench.runs.plan import Cell
from bench.subjects.identity import Identity, PhotoFile
from bench.suite.prompts import Prompt
from methods.backbone.families.catalog import PIPELINES
from methods.backbone.spec import BackboneSpec

ROOT = Path(__file__).parents[3]
CELL = Cell("fake", "ada", Prompt("hat", "{subject} in a hat"), 1, 7)
PARTS = FingerprintParts({"backbone": "b"}, {"method": "m"}, {"references": "r"})


@pytest.mark.parametrize(
    "other",
    [
        replace(CELL, seed=8),
        replace(CELL, prompt=Prompt("hat", "{subject} in a red hat")),
    ],
)
def test_seed_and_prompt_are_in_the_fingerprint(other: Cell) -> None:
    assert PARTS.fingerprint(other) != PARTS.fingerprint(CELL)


@pytest.mark.parametrize("part", ["run", "method", "subject"])
def test_all_parts_are_in_the_fingerprints_of_images_and_fits(part: str) -> None:
    other = replace(PARTS, **{part: {"changed": "yes"}})
    assert other.fingerprint(CELL) != PARTS.fingerprint(CELL)
    assert other.fit_fingerprint(1) != PARTS.fit_fingerprint(1)


def test_prompt_id_is_not_in_the_fingerprint(tmp_path: Path) -> None:
    renamed = replace(CELL, prompt=Prompt("cap", CELL.prompt.template))
    assert PARTS.fingerprint(renamed) == PARTS.fingerprint(CELL)


@pytest.mark.parametrize("pipeline", PIPELINES)
def test_code_of_the_family_is_part_of_the_backbone_code(pipeline: str) -> None:
    """The class is imported by its name, which no reference in the code leads to."""
    denoiser = PIPELINES[pipeline].denoiser
    assert {denoiser.partition(":")[2], "Backbone", "Denoiser"} <= set(backbone_code(denoiser))


def test_backbone_code_of_a_run_depends_on_the_family(tmp_path: Path) -> None:
    source, digests = find_backbone(BackboneSpec(), "cpu"), FileDigests(tmp_path / "digests.json")
    assert source is not None
    other = replace(source, denoiser=PIPELINES["FluxPipeline"].denoiser)
    assert run_parts(source, digests)["backbone code"] == digest_of(backbone_code(source.denoiser))
    assert run_parts(source, digests)["backbone code"] != run_parts(other, digests)["backbone code"]


@dataclass(frozen=True)
class MethodWithWeights:
    """A method with one weight file."""

    path: Path
    strength: float = 0.5

    @property
    def weights(self) -> tuple[Path, ...]:
        return (self.path,)


def test_weights_and_settings_are_parts_and_absent_weights_are_missing(tmp_path: Path) -> None:
    path, digests = tmp_path / "w.safetensors", FileDigests(tmp_path / "digests.json")
    assert method_parts(MethodWithWeights(path), digests)["weights w.safetensors"] == "missing"  # type: ignore[arg-type]
    path.write_bytes(b"1")
    parts = method_parts(MethodWithWeights(path), digests)  # type: ignore[arg-type]
    assert parts["setting strength"] == "0.5"
    path.write_bytes(b"22")
    assert (
        method_parts(MethodWithWeights(path), digests)["weights w.safetensors"]
        != parts["weights w.safetensors"]
    )  # type: ignore[arg-type]


def test_photo_and_caption_are_parts_of_the_subject(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(b"1")
    who = Identity("ada", "woman", (PhotoFile(path, "{subject}"),), ())
    before = subject_parts(who)
    known: dict[tuple[str, str], str] = {}
    assert subject_parts(who, known) == subject_parts(who, known) == before
    assert list(known) == [(str(path), "")]
    assert subject_parts(replace(who, references=(PhotoFile(path, "{subject}, smiling"),))) != before
    path.write_bytes(b"2")
    assert subject_parts(who) != before


def test_file_digests_are_cached_and_follow_changes(tmp_path: Path) -> None:
    path, cache = tmp_path / "big", tmp_path / "digests.json"
    path.write_bytes(b"1")
    first = FileDigests(cache).of(path)
    assert cache.exists()
    assert FileDigests(cache).of(path) == first
    path.write_bytes(b"22")
    assert FileDigests(cache).of(path) != first


def test_differences_contain_both_values() -> None:
    assert differing({"a": "1", "b": "2"}, {"b": "3", "c": "4"}) == [
        "a: 1 / absent",
        "b: 2 / 3",
        "c: absent / 4",
    ]


def test_changed_definitions_are_named_in_place_of_the_digest_of_the_code() -> None:
    one, other = {"code": "x", "setting scale": "1"}, {"code": "y", "setting scale": "1"}
    before, now = {"fit": "1", "load": "1", "removed": "1"}, {"fit": "2", "load": "1", "new": "1"}
    assert differing_with_code(one, other, before, now) == ["code of fit, new, removed"]
    assert differing_with_code(one, other, {}, now) == ["code: x / y"]
    assert differing_with_code(one, one, before, now) == []


def test_digest_is_independent_of_key_order() -> None:
    assert digest_of({"a": 1, "b": 2}) == digest_of({"b": 2, "a": 1})


def test_versions_and_commit_are_found() -> None:
    assert versions()["library torch"].startswith("2.")
    assert isinstance(commit(), str)


def test_files_of_equal_name_are_distinguished_by_folder(tmp_path: Path) -> None:
    """Swapping two people's weights must change the fingerprint."""
    paths = [tmp_path / who / "weights.safetensors" for who in ("ada", "bob")]
    for path in paths:
        path.parent.mkdir()
        path.write_bytes(path.parent.name.encode())
    digests = FileDigests(tmp_path / "digests.json")
    found = digests.of_all(paths, "weights ", paths[0].parent)
    assert found == {f"weights {path.parent.name}/{path.name}": digests.of(path) for path in paths}
