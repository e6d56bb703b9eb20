"""Row settings: number of references, corruption, guidance; sweeps of a setting."""

from pathlib import Path

import pytest
from PIL import Image

from bench.errors import SuiteError
from bench.runner.fingerprint_parts import subject_parts
from bench.runs.row_methods import method_labels
from bench.runs.row_settings import ReferenceSelection, row_settings_of
from bench.subjects.identity import Identity, PhotoFile
from bench.suite.suite import read_suite

SUITE = """
name = "swept"
metrics = ["identity@sface"]
rows = ["text-only"]

[dataset]
kind = "rendered"

[methods.ip-adapter]
photos = "mean"

[[sweep]]
methods = ["ip-adapter", "loo-mean"]
setting = "scale"
values = [0.5, 1]
"""


def person(folder: Path, name: str, photos: int) -> Identity:
    files = []
    for number in range(photos):
        path = folder / f"{name}-{number}.png"
        Image.effect_noise((64, 64), 90).convert("RGB").save(path)
        files.append(PhotoFile(path, "a photo of {subject}"))
    return Identity(name, "person", tuple(files[:-1]), (files[-1],))


@pytest.fixture
def people(tmp_path: Path) -> tuple[Identity, ...]:
    return tuple(person(tmp_path, name, 4) for name in ("ada", "bob"))


def test_row_can_use_fewer_references(people: tuple[Identity, ...]) -> None:
    row = row_settings_of("loo-mean", {"references": 2, "scale": 0.5})
    assert row.own == {"scale": 0.5}
    assert row.selection.of(people[0], people).references == people[0].references[:2]
    assert row.selection.of(people[0], people).held_out == people[0].held_out


@pytest.mark.parametrize("corruption", ["blurred", "occluded"])
def test_last_reference_is_corrupted_and_the_fingerprint_changes(
    people: tuple[Identity, ...], corruption: str
) -> None:
    changed = ReferenceSelection(corruption=corruption).of(people[0], people)
    assert changed.references[:-1] == people[0].references[:-1]
    good, bad = people[0].references[-1], changed.references[-1]
    assert bad.load().tobytes() != good.load().tobytes()
    assert bad.load().size == good.load().size
    assert subject_parts(changed) != subject_parts(people[0])


def test_wrong_person_is_the_next_person_with_their_caption(people: tuple[Identity, ...]) -> None:
    changed = ReferenceSelection(corruption="wrong-person").of(people[1], people)
    assert changed.references == (*people[1].references[:-1], people[0].references[0])


def test_invalid_row_settings_are_refused(people: tuple[Identity, ...]) -> None:
    with pytest.raises(SuiteError, match="references = 9, ada has 3"):
        ReferenceSelection(references=9).of(people[0], people)
    with pytest.raises(SuiteError, match="no other person"):
        ReferenceSelection(corruption="wrong-person").of(people[0], people[:1])
    with pytest.raises(SuiteError, match="unknown corruption 'blured'; did you mean 'blurred'"):
        row_settings_of("loo-mean", {"corruption": "blured"})
    with pytest.raises(SuiteError, match="references = 0; expected an integer of at least 1"):
        row_settings_of("loo-mean", {"references": 0})
    with pytest.raises(SuiteError, match=r"guidance = 0\.5"):
        row_settings_of("loo-mean", {"guidance": 0.5})
    with pytest.raises(SuiteError, match="guidance = True"):
        row_settings_of("loo-mean", {"guidance": True})


def test_sweep_makes_one_row_per_value_and_keeps_other_settings() -> None:
    suite = read_suite(SUITE, Path("swept.toml"))
    assert suite.settings["ip-adapter@scale=0.5"] == {"base": "ip-adapter", "photos": "mean", "scale": 0.5}
    assert suite.settings["loo-mean@scale=1"] == {"base": "loo-mean", "scale": 1}
    assert method_labels(["all"], suite) == (
        "text-only",
        "ip-adapter@scale=0.5",
        "ip-adapter@scale=1",
        "loo-mean@scale=0.5",
        "loo-mean@scale=1",
    )


def test_sweep_over_lists_is_refused() -> None:
    with pytest.raises(SuiteError, match="values"):
        read_suite(SUITE.replace("[0.5, 1]", "[[0.5], [1]]"), Path("swept.toml"))
