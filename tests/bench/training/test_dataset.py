"""Any dataset as a training set: opened row by row, true captions, nobody on both sides."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bench.errors import DatasetError
from bench.suite.suite import DatasetSettings
from bench.training.dataset import clauses, open_training_split, turned


def test_a_tenth_of_the_people_judges_and_no_held_out_photo_is_learnt_from(people: Path) -> None:
    (people / "bob" / "heldout").mkdir()
    for name in ("04.png", "04.txt"):
        (people / "bob" / name).rename(people / "bob" / "heldout" / name)
    lesson = open_training_split(DatasetSettings("folder", str(people), noun="woman"), Path(), 32)
    seen = [example.photo.path for example in lesson.data.examples]
    unseen = [example.photo.path for example in lesson.unseen.examples]
    assert len({path.parent for path in seen}) == 2
    assert len({path.parent for path in unseen}) == 1
    assert not {path.parent for path in seen} & {path.parent for path in unseen}
    assert not any("heldout" in path.parts for path in (*seen, *unseen))
    assert (lesson.name, lesson.data.noun(0)) == ("folder-people", "woman")
    assert sorted(set(lesson.data.identities.tolist())) == [0, 1]


def test_pictures_are_opened_when_their_rows_are_asked_for(people: Path) -> None:
    lesson = open_training_split(DatasetSettings("folder", str(people)), Path(), 32)
    pixels = lesson.data.pixels
    assert (len(pixels), pixels.shape, pixels.dtype) == (10, (10, 32, 32, 3), np.uint8)
    first = lesson.data.examples[0].photo.path
    (lesson.data.examples[1].photo.path).write_bytes(b"")
    with Image.open(first) as photo:
        assert (pixels[0:1][0] == np.asarray(photo)[0, 0]).all()
    with pytest.raises(DatasetError, match="the file is empty"):
        pixels[0:2]


def test_a_tall_photo_gives_its_middle_square(people: Path) -> None:
    tall = np.zeros((90, 30, 3), np.uint8)
    tall[30:60] = 200
    for path in people.rglob("*.png"):
        Image.fromarray(tall).save(path)
    pixels = open_training_split(DatasetSettings("folder", str(people)), Path(), 16).data.pixels
    assert (pixels[0:1][:, 1:-1] > 190).all()


def test_celeba_learns_from_train_and_is_judged_by_valid(
    celeba: Callable[..., Path],
) -> None:
    root = celeba({1: ("train", 2), 2: ("train", 1), 3: ("valid", 2), 4: ("test", 2)})
    lesson = open_training_split(DatasetSettings("celeba", str(root)), Path(), 16)
    assert lesson.name == "celeba-train"
    assert [len(lesson.data.pixels), len(lesson.unseen.pixels)] == [3, 2]
    stems = {example.photo.path.stem for example in (*lesson.data.examples, *lesson.unseen.examples)}
    assert stems == {"000001", "000002", "000003", "000004", "000005"}


def test_one_person_alone_cannot_be_learnt_from(people: Path) -> None:
    with pytest.raises(DatasetError, match="1 identities; wanted are 2"):
        open_training_split(DatasetSettings("folder", str(people), identities=1), Path(), 16)


def test_captions_lose_whole_clauses_and_never_the_subject(people: Path) -> None:
    (people / "ada").rename(people.parent / "away")
    caption = (
        "a photo of {subject} with red hair, bangs and stubble, smiling, wearing a hat, earrings and a tie"
    )
    for text in people.rglob("*.txt"):
        text.write_text(caption)
    data = open_training_split(DatasetSettings("folder", str(people), noun="man"), Path(), 16).data
    rng = np.random.default_rng(0)
    said = {data.caption(0, rng, mirrored=False) for _ in range(60)}
    start = "a photo of a man with red hair, bangs and stubble"
    worn = ", wearing a hat, earrings and a tie"
    assert said == {start, f"{start}, smiling", f"{start}{worn}", f"{start}, smiling{worn}"}


@pytest.mark.parametrize(
    ("caption", "parts"),
    [
        ("{subject}", ["{subject}"]),
        ("{subject}, red hair, smiling", ["{subject}, red hair", "smiling"]),
        ("{subject}, wearing a hat, a tie and shoes, in a park", None),
    ],
)
def test_the_rest_of_a_list_stays_with_its_clause(caption: str, parts: list[str] | None) -> None:
    assert clauses(caption) == (parts or ["{subject}", "wearing a hat, a tie and shoes", "in a park"])


def test_a_mirror_image_is_turned_the_other_way() -> None:
    assert turned("{subject}, turned left, a bright lamp on the right") == (
        "{subject}, turned right, a bright lamp on the left"
    )
