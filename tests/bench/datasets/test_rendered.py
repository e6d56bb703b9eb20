"""Rendered people: the shipped set and custom folders."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from bench.datasets.registry import open_people
from bench.datasets.rendered import ASSETS
from bench.errors import DatasetError
from bench.runs.training_overlap import overlapping_names
from bench.subjects.photo_checks import check_people
from bench.suite.suite import DatasetSettings
from bench.synthetic.dataset.photo_files import Photo
from bench.training.dataset import _examples

LABELS = {
    **{"noun": "woman", "age": "young", "expression": "smiling", "pose": "front", "glasses": "none"},
    **{"hat": "none", "shirt": "red", "background": "blue"},
}


@pytest.fixture
def rendered(tmp_path: Path) -> Path:
    """Three people in the layout of `bench train people`."""
    folder = tmp_path / "test"
    folder.mkdir()
    records = [
        Photo(2_000_000 + row // 3, row % 3, LABELS, "a photo of {subject}, smiling") for row in range(9)
    ]
    (folder / "photos.jsonl").write_text("\n".join(record.line for record in records))
    np.save(folder / "photos.npy", np.random.default_rng(0).integers(0, 255, (9, 64, 64, 3), dtype=np.uint8))
    return folder


def test_folder_of_rendered_people_is_read(rendered: Path) -> None:
    opened = open_people(DatasetSettings("rendered", str(rendered), references=2), Path())
    assert [who.id for who in opened.chosen] == ["person-2000000", "person-2000001", "person-2000002"]
    who = opened.chosen[1]
    assert (who.noun, dict(who.attributes), who.origin) == (
        "woman",
        {"age": "young"},
        "rendered-people-test",
    )
    assert who.held_out[0].attributes["shirt"] == "red"
    assert check_people([who]) == []
    pixels = np.load(rendered / "photos.npy")
    loaded = {photo.load().tobytes() for photo in (*who.references, *who.held_out)}
    assert loaded == {row.tobytes() for row in pixels[3:6]}
    assert {photo.content() for photo in (*who.references, *who.held_out)} == loaded


def test_error_for_too_many_people_names_the_render_command() -> None:
    with pytest.raises(DatasetError, match=r"identities = 40, .* `bench train people --data DIR --test 40`"):
        open_people(DatasetSettings("rendered", identities=40), Path())


def test_folder_without_records_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"neither people\.jsonl nor photos\.jsonl"):
        open_people(DatasetSettings("rendered", str(tmp_path)), Path())


@pytest.mark.parametrize(
    "line", ["{", "[]", '{"identity": 5}', '{"identity": "x", "template": "", "attributes": {}}']
)
def test_malformed_record_is_reported_with_its_line(line: str, rendered: Path) -> None:
    path = rendered / "photos.jsonl"
    path.write_text(path.read_text().rstrip() + f"\n{line}\n")
    with pytest.raises(DatasetError, match=r"photos\.jsonl: line \d+: "):
        open_people(DatasetSettings("rendered", str(rendered)), Path())


def test_truncated_array_is_refused(rendered: Path) -> None:
    np.save(rendered / "photos.npy", np.zeros((4, 64, 64, 3), np.uint8))
    who = open_people(DatasetSettings("rendered", str(rendered), references=2), Path()).chosen[2]
    with pytest.raises(DatasetError, match=r"photograph \d of 4; render it again"):
        check_people([who])


def with_seeds(folder: Path, seeds: dict[int, int]) -> None:
    """Replace identity seeds in the folder's records."""
    path = folder / "photos.jsonl"
    records = [json.loads(line) for line in path.read_text().splitlines()]
    changed = [{**r, "identity": seeds.get(r["identity"], r["identity"])} for r in records]
    path.write_text("\n".join(map(json.dumps, changed)))


def origins(folder: Path) -> dict[str, str]:
    opened = open_people(DatasetSettings("rendered", str(folder), references=2), Path())
    return {who.id: who.origin for who in opened.chosen}


@pytest.mark.parametrize(
    ("first", "origin"),
    [
        (0, "rendered-people-train"),
        (1_000_000, "rendered-people-validation"),
        (2_000_000, "rendered-people-test"),
        (3_000_000, "rendered-people-other"),
    ],
)
def test_origin_follows_the_seeds_and_not_the_name_of_the_folder(
    rendered: Path, first: int, origin: str
) -> None:
    with_seeds(rendered, {2_000_000 + i: first + i for i in range(3)})
    renamed = rendered.rename(rendered.with_name("my-people"))
    assert set(origins(renamed).values()) == {origin}


def test_people_of_several_splits_in_one_folder_have_their_own_origins(rendered: Path) -> None:
    with_seeds(rendered, {2_000_001: 1})
    assert origins(rendered) == {
        "person-0000001": "rendered-people-train",
        "person-2000000": "rendered-people-test",
        "person-2000002": "rendered-people-test",
    }


def test_renamed_copy_of_the_shipped_people_is_recognised(tmp_path: Path) -> None:
    copied = shutil.copytree(ASSETS, tmp_path / "holiday-photos")
    assert set(origins(copied).values()) == {"rendered-people-test"}


def test_run_on_renamed_training_people_overlaps_the_shipped_weights(rendered: Path) -> None:
    with_seeds(rendered, {2_000_001: 1})
    people = [f"{origin}/{who}" for who, origin in origins(rendered).items()]
    assert overlapping_names(["rendered-people-train"], people) == ["rendered-people-train"]


def test_name_of_training_data_contains_all_origins(rendered: Path) -> None:
    with_seeds(rendered, {2_000_001: 1, 2_000_002: 2})
    name, _ = _examples(DatasetSettings("rendered", str(rendered), references=0), Path())
    assert name == "rendered-people-test, rendered-people-train"
