"""Any dataset as a training set: images loaded on access, true captions, disjoint people."""

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bench.errors import DatasetError, SuiteError
from bench.subjects.image_files import Box
from bench.suite.suite import DatasetSettings
from bench.training.dataset import clauses, mirrored_caption, open_training_split
from bench.training.options import DatasetOptions
from bench.training.workspace import TrainingPaths, adapter_workspace


def test_people_are_split_and_held_out_photos_are_excluded(people: Path) -> None:
    (people / "bob" / "heldout").mkdir()
    for name in ("04.png", "04.txt"):
        (people / "bob" / name).rename(people / "bob" / "heldout" / name)
    split = open_training_split(DatasetSettings("folder", str(people), noun="woman"), Path(), 32)
    seen = [example.photo.path for example in split.data.examples]
    unseen = [example.photo.path for example in split.unseen.examples]
    assert len({path.parent for path in seen}) == 2
    assert len({path.parent for path in unseen}) == 1
    assert not {path.parent for path in seen} & {path.parent for path in unseen}
    assert not any("heldout" in path.parts for path in (*seen, *unseen))
    assert (split.name, split.data.noun(0)) == ("folder-people", "woman")
    assert sorted(set(split.data.identities.tolist())) == [0, 1]


def test_images_are_loaded_when_their_rows_are_read(people: Path) -> None:
    split = open_training_split(DatasetSettings("folder", str(people)), Path(), 32)
    pixels = split.data.pixels
    assert (len(pixels), pixels.shape, pixels.dtype) == (10, (10, 32, 32, 3), np.uint8)
    first = split.data.examples[0].photo.path
    (split.data.examples[1].photo.path).write_bytes(b"")
    with Image.open(first) as photo:
        assert (pixels[0:1][0] == np.asarray(photo)[0, 0]).all()
    with pytest.raises(DatasetError, match="the file is empty"):
        pixels[0:2]


def test_central_square_of_a_tall_photo_is_used(people: Path) -> None:
    tall = np.zeros((90, 30, 3), np.uint8)
    tall[30:60] = 200
    for path in people.rglob("*.png"):
        Image.fromarray(tall).save(path)
    pixels = open_training_split(DatasetSettings("folder", str(people)), Path(), 16).data.pixels
    assert (pixels[0:1][:, 1:-1] > 190).all()


def test_celeba_trains_on_train_and_validates_on_valid(
    celeba: Callable[..., Path],
) -> None:
    root = celeba({1: ("train", 2), 2: ("train", 1), 3: ("valid", 2), 4: ("test", 2)})
    split = open_training_split(DatasetSettings("celeba", str(root)), Path(), 16)
    assert split.name == "celeba-train"
    assert [len(split.data.pixels), len(split.unseen.pixels)] == [3, 2]
    stems = {example.photo.path.stem for example in (*split.data.examples, *split.unseen.examples)}
    assert stems == {"000001", "000002", "000003", "000004", "000005"}


def test_in_the_wild_images_are_an_option_of_training(
    celeba: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    root = celeba({1: ("train", 2), 3: ("valid", 2)}, wild=True)
    (root / "list_attr_celeba.txt").unlink()
    paths = TrainingPaths(checkpoints=root / "work", out=root / "made")
    options = DatasetOptions("celeba", root, pictures="in-the-wild", side=16)
    workspace, _ = adapter_workspace(paths, options, "embedded", "cpu", lambda *_: None)
    assert {example.photo.part for example in workspace.data.examples} == {Box(5, 0, 95, 90)}  # type: ignore[attr-defined]
    assert "dataset: no list_attr_celeba: all photographs have the caption" in capsys.readouterr().err
    with pytest.raises(SuiteError, match="pictures = 'wild'; known: aligned, in-the-wild"):
        adapter_workspace(paths, replace(options, pictures="wild"), "embedded", "cpu", lambda *_: None)


def test_content_key_changes_with_the_time_of_a_file(people: Path) -> None:
    settings = DatasetSettings("folder", "people")
    data = open_training_split(settings, people.parent, 16).data
    same = open_training_split(settings, people.parent, 16).data
    assert data.content_key == same.content_key
    os.utime(same.examples[0].photo.path, (1, 1))
    assert open_training_split(settings, people.parent, 16).data.content_key != data.content_key


def test_dataset_with_one_person_is_refused(people: Path) -> None:
    with pytest.raises(DatasetError, match="1 identities; expected at least 2"):
        open_training_split(DatasetSettings("folder", str(people), identities=1), Path(), 16)


def test_captions_drop_whole_clauses_but_never_the_subject(people: Path) -> None:
    (people / "ada").rename(people.parent / "away")
    caption = (
        "a photo of {subject} with red hair, bangs and stubble, smiling, wearing a hat, earrings and a tie"
    )
    for text in people.rglob("*.txt"):
        text.write_text(caption)
    data = open_training_split(DatasetSettings("folder", str(people), noun="man"), Path(), 16).data
    rng = np.random.default_rng(0)
    captions = {data.caption(0, rng, mirrored=False) for _ in range(60)}
    start = "a photo of a man with red hair, bangs and stubble"
    worn = ", wearing a hat, earrings and a tie"
    assert captions == {start, f"{start}, smiling", f"{start}{worn}", f"{start}, smiling{worn}"}


@pytest.mark.parametrize(
    ("caption", "parts"),
    [
        ("{subject}", ["{subject}"]),
        ("{subject}, red hair, smiling", ["{subject}, red hair", "smiling"]),
        ("{subject}, wearing a hat, a tie and shoes, in a park", None),
    ],
)
def test_list_items_stay_with_their_clause(caption: str, parts: list[str] | None) -> None:
    assert clauses(caption) == (parts or ["{subject}", "wearing a hat, a tie and shoes", "in a park"])


def test_mirrored_caption_exchanges_left_and_right() -> None:
    assert mirrored_caption("{subject}, turned left, a bright lamp on the right") == (
        "{subject}, turned right, a bright lamp on the left"
    )
