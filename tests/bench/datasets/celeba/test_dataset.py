"""CelebA's official files: complete, partial, in several folders, in the wild, and malformed."""

from collections.abc import Callable
from pathlib import Path

import pytest

from bench.datasets.registry import open_dataset, open_people
from bench.errors import DatasetError
from bench.subjects.image_files import Box
from bench.subjects.photo_checks import check_people
from bench.suite.suite import DatasetSettings

Settings = Callable[..., DatasetSettings]
PEOPLE = {7: ("train", 3), 2880: ("test", 4), 31: ("test", 3), 32: ("test", 1)}


@pytest.mark.parametrize(("anno", "eval", "img"), [("", "", ""), ("Anno", "Eval", "Img")])
def test_people_of_the_partition_with_enough_photos_are_used(
    anno: str, eval: str, img: str, celeba: Callable[..., Path], settings: Settings
) -> None:
    root = celeba(PEOPLE, anno=anno, eval=eval, img=img)
    opened = open_people(settings("celeba", root, references=2), Path())
    assert [who.id for who in opened.chosen] == ["c00031", "c02880"]
    assert [len(who.held_out) for who in opened.chosen] == [1, 2]
    assert {who.origin for who in opened.chosen} == {"celeba-test"}
    assert "1 people have fewer than 3 photographs here" in opened.remarks
    assert check_people(opened.chosen) == []


def test_min_photos_may_exceed_the_needs_of_the_split(
    celeba: Callable[..., Path], settings: Settings
) -> None:
    root = celeba(PEOPLE)
    assert open_dataset(settings("celeba", root, min_photos=4), Path()).names() == ["c02880"]
    with pytest.raises(DatasetError, match=r"no person in partition 'test' has 5 photographs .*at most 4"):
        open_dataset(settings("celeba", root, min_photos=5), Path())


def test_seed_samples_the_people_and_others_are_disjoint(
    celeba: Callable[..., Path], settings: Settings
) -> None:
    root = celeba(dict.fromkeys(range(1, 9), ("test", 3)))
    opened = [
        open_people(settings("celeba", root, identities=3, others=5, seed=seed), Path()) for seed in (0, 0, 1)
    ]
    assert opened[0] == opened[1]
    assert [who.id for who in opened[0].chosen] != [who.id for who in opened[2].chosen]
    used = {photo.path for who in opened[0].chosen for photo in (*who.references, *who.held_out)}
    assert len(opened[0].others) == 5
    assert not used & {photo.path for photo in opened[0].others}


def test_partial_copy_reports_the_number_of_missing_photos(
    celeba: Callable[..., Path], settings: Settings
) -> None:
    root = celeba(PEOPLE)
    (root / "img_align_celeba" / "000004.jpg").unlink()
    dataset = open_dataset(settings("celeba", root), Path())
    assert [len(dataset.photos(name)) for name in ("c00031", "c02880")] == [3, 3]
    assert "1 of 8 photographs of partition 'test' are not in" in dataset.remarks[0]


def test_labels_determine_noun_groups_and_captions(celeba: Callable[..., Path], settings: Settings) -> None:
    labels = {1: {"Smiling", "Blond_Hair"}, 2: {"Young"}, 3: {"Young", "Male", "No_Beard", "Eyeglasses"}}
    root = celeba({5: ("test", 3)}, labels)
    who = open_people(settings("celeba", root), Path()).chosen[0]
    assert (who.noun, who.attributes["Male"], who.attributes["Young"]) == ("woman", "no", "yes")
    captions = {p.path.stem: p.caption for p in (*who.references, *who.held_out)}
    assert captions["000001"] == "a photo of {subject} with blond hair, smiling, turned left"
    assert captions["000003"] == "a photo of {subject}, wearing glasses"
    glasses = {p.path.stem: p.attributes["Eyeglasses"] for p in (*who.references, *who.held_out)}
    assert glasses == {"000001": "no", "000002": "no", "000003": "yes"}


def test_in_the_wild_images_are_cropped_to_a_square_around_the_face(
    celeba: Callable[..., Path], settings: Settings
) -> None:
    root = celeba({5: ("test", 2)}, wild=True)
    photo = open_dataset(settings("celeba", root, pictures="in-the-wild"), Path()).photos("c00005")[0]
    # Centred at (50, 45), side 1.8 * 50.
    assert photo.part == Box(5, 0, 95, 90)
    assert photo.load().size == (90, 90)


def test_landmarks_are_optional(celeba: Callable[..., Path], settings: Settings) -> None:
    root = celeba({5: ("test", 2)})
    (root / "list_landmarks_align_celeba.txt").unlink()
    caption = open_dataset(settings("celeba", root), Path()).photos("c00005")[0].caption
    assert caption == "a photo of {subject}"


@pytest.mark.parametrize(
    ("name", "line", "text", "message"),
    [
        ("list_attr_celeba.txt", 2, "5_o_Clock_Shadow Bald", "line 2 has 2 of CelebA's 40 attr"),
        ("list_attr_celeba.txt", 2, "", "line 3 has 0 of CelebA's 40 attributes and 41 words"),
        ("list_attr_celeba.txt", 4, "000002.jpg 1 -1", "line 4: 2 values; expected 40"),
        ("list_attr_celeba.txt", 4, "000002.jpg" + 39 * " 1" + " 7", "line 4: 40 values; expected 40 of 1"),
        ("identity_CelebA.txt", 3, "000003.jpg x", "line 3: '000003.jpg x'; expected a file name and"),
        ("identity_CelebA.txt", 5, "000004.jpg 2880\n000004.jpg 31", "000004 is .* person 2880 and of 31"),
        ("list_eval_partition.txt", 5, "000004.jpg 2\n000004.jpg 0", "000004 is in the partitions 2 and 0"),
        ("list_eval_partition.txt", 1, "000001.jpg", "line 1: '000001.jpg'; expected a file name and"),
        ("list_eval_partition.txt", 1, "000001.jpg 3", "partition 3, expected one of 0, 1, 2"),
        ("list_landmarks_align_celeba.txt", 3, "000001.jpg 1 2", "line 3: .* expected a file name and five"),
    ],
)
def test_malformed_line_is_reported_with_its_file(
    name: str, line: int, text: str, message: str, celeba: Callable[..., Path], settings: Settings
) -> None:
    root = celeba(PEOPLE)
    lines = (root / name).read_text().splitlines()
    lines[line - 1] = text
    (root / name).write_text("\n".join(lines))
    with pytest.raises(DatasetError, match=message) as refused:
        open_people(settings("celeba", root), Path())
    assert str(root / name) in str(refused.value)


@pytest.mark.parametrize(
    ("name", "hint"), [("identity_CelebA", "folder Anno"), ("list_eval_partition", 'partition = "all"')]
)
def test_missing_file_is_reported(
    name: str, hint: str, celeba: Callable[..., Path], settings: Settings
) -> None:
    root = celeba(PEOPLE)
    (root / f"{name}.txt").unlink()
    with pytest.raises(DatasetError, match=rf"no {name}\.txt or \.csv, neither here .*{hint}"):
        open_dataset(settings("celeba", root), Path())


def test_partition_all_needs_no_partition_file(celeba: Callable[..., Path], settings: Settings) -> None:
    root = celeba(PEOPLE)
    (root / "list_eval_partition.txt").unlink()
    names = open_dataset(settings("celeba", root, partition="all"), Path()).names()
    assert names == ["c00007", "c00031", "c02880"]


def test_missing_image_folder_is_reported(celeba: Callable[..., Path], settings: Settings) -> None:
    root = celeba(PEOPLE)
    (root / "img_align_celeba").rename(root / "elsewhere")
    with pytest.raises(DatasetError, match=r"no folder img_align_celeba, .*; unpack img_align_celeba\.zip$"):
        open_dataset(settings("celeba", root), Path())
    (root / "elsewhere").rename(root / "img_celeba")
    with pytest.raises(DatasetError, match='or set pictures = "in-the-wild" to use img_celeba'):
        open_dataset(settings("celeba", root), Path())
