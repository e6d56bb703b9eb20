"""Identities from folders and from the shipped rendered set."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from bench.datasets.registry import open_people
from bench.errors import DatasetError, SuiteError
from bench.subjects.identity import Identity, checked_caption
from bench.subjects.photo_checks import check_people
from bench.suite.suite import DatasetSettings


def settings(**changes: object) -> DatasetSettings:
    return DatasetSettings(**{"kind": "folder", "path": "people", "references": 2, **changes})  # type: ignore[arg-type]


def opened(people: Path, **changes: object) -> tuple[Identity, ...]:
    return open_people(settings(**changes), people.parent).chosen


def test_references_and_held_out_photos_are_disjoint(people: Path) -> None:
    for who in opened(people, held_out=3):
        references = {photo.path for photo in who.references}
        held_out = {photo.path for photo in who.held_out}
        assert (len(references), len(held_out)) == (2, 3)
        assert not references & held_out


def test_split_depends_only_on_the_seed(people: Path) -> None:
    assert opened(people) == opened(people)
    assert opened(people) != opened(people, seed=1)


def test_additional_person_does_not_change_other_splits(people: Path) -> None:
    before = {who.id: who for who in opened(people)}
    extra = people / "dora"
    extra.mkdir()
    for i in range(5):
        Image.new("RGB", (8, 8), (i, i, i)).save(extra / f"{i}.png")
    after = {who.id: who for who in opened(people)}
    assert {name: after[name] for name in before} == before


def test_heldout_folder_defines_the_split(people: Path) -> None:
    (people / "ada" / "heldout").mkdir()
    for name in ("03.png", "03.txt", "04.png", "04.txt"):
        (people / "ada" / name).rename(people / "ada" / "heldout" / name)
    ada = next(who for who in opened(people) if who.id == "ada")
    assert [photo.path.name for photo in ada.references] == ["00.png", "01.png"]
    assert [photo.path.name for photo in ada.held_out] == ["03.png", "04.png"]


def test_captions_are_read_from_json_and_jsonl(people: Path) -> None:
    for name in ("ada", "bob"):
        for text in (people / name).glob("*.txt"):
            text.unlink()
    names = [f"{i:02d}.png" for i in range(5)]
    (people / "ada" / "captions.json").write_text(
        json.dumps({name: f"{{subject}} in {name}" for name in names})
    )
    lines = [json.dumps({"file_name": name, "text": f"a person, {name}"}) for name in names]
    (people / "bob" / "metadata.jsonl").write_text("\n".join(lines))
    captions = {who.id: sorted(p.caption for p in (*who.references, *who.held_out)) for who in opened(people)}
    assert captions["ada"] == [f"{{subject}} in {name}" for name in names]
    assert captions["bob"] == [f"{{subject}}, {name}" for name in names]


def test_default_caption_is_used_without_captions(people: Path) -> None:
    for text in people.rglob("*.txt"):
        text.unlink()
    assert {p.caption for who in opened(people) for p in who.references} == {"a photo of {subject}"}


def test_noun_file_overrides_the_suites_noun(people: Path) -> None:
    (people / "ada" / "noun.txt").write_text("elephant\n")
    assert [who.phrase for who in opened(people, noun="woman")] == ["an elephant", "a woman", "a woman"]


def write_bad_caption(people: Path) -> None:
    (people / "ada" / "00.txt").write_text("someone smiles")


def remove_one_caption(people: Path) -> None:
    (people / "ada" / "00.txt").unlink()


def write_orphan_caption(people: Path) -> None:
    (people / "ada" / "captions.json").write_text('{"99.png": "{subject}"}')


def write_bad_json(people: Path) -> None:
    (people / "ada" / "captions.json").write_text("{")


def write_bad_jsonl(people: Path) -> None:
    (people / "ada" / "metadata.jsonl").write_text('{"file": "00.png"}')


def add_empty_folder(people: Path) -> None:
    (people / "empty").mkdir()


@pytest.mark.parametrize(
    ("damage", "line"),
    [
        (write_bad_caption, r"must contain \{subject\} \(or 'a person'\) once"),
        (remove_one_caption, "no caption, but 4 others"),
        (write_orphan_caption, "a caption for '99.png', but there is no such image"),
        (write_bad_json, "not JSON"),
        (write_bad_jsonl, "line 1 is not"),
        (add_empty_folder, "no images"),
    ],
)
def test_invalid_folders_are_refused(damage: Callable[[Path], None], line: str, people: Path) -> None:
    damage(people)
    with pytest.raises(DatasetError, match=line):
        opened(people)


def test_too_many_identities_are_refused(people: Path) -> None:
    with pytest.raises(SuiteError, match="identities = 9, folder has 3"):
        opened(people, identities=9)


def test_damaged_photo_is_found_by_check(people: Path) -> None:
    (people / "ada" / "00.png").write_bytes(b"")
    ada = opened(people, identities=None)[0]
    with pytest.raises(DatasetError, match="the file is empty"):
        check_people([ada])


def test_shipped_people_have_captions_and_attributes() -> None:
    people = open_people(DatasetSettings("rendered", identities=3, references=4, held_out=8), Path())
    assert len(people.chosen) == 3
    for who in people.chosen:
        photo = who.held_out[0]
        assert photo.caption.count("{subject}") == 1
        assert photo.attributes["background"] in photo.caption
        assert who.noun in ("man", "woman")
        assert "hair" in who.attributes
    chosen = {photo.path for who in people.chosen for photo in (*who.references, *who.held_out)}
    assert len(people.others) >= 21 * 12
    assert not chosen & {photo.path for photo in people.others}


def test_a_recaption_expects_only_attributes_that_its_caption_names() -> None:
    people = open_people(DatasetSettings("rendered", references=4, held_out=8), Path())
    worn = 0
    for who in people.chosen:
        for prompt, photo in zip(who.recaptions(8), who.held_out, strict=True):
            assert set(photo.attributes) >= {"hat", "glasses", "shirt", "pose"}
            for label in ("hat", "glasses"):
                assert (label in prompt.expected_attributes) == (label in prompt.template)
                worn += label in prompt.expected_attributes
            assert prompt.expected_attributes["shirt"] == photo.attributes["shirt"]
    assert worn > 50


@pytest.mark.parametrize(
    ("caption", "noun", "expected"),
    [
        ("a can on a table", "can", "{subject} on a table"),
        ("a can beside a candle", "can", "{subject} beside a candle"),
        ("smiling, a man's hat", "man", "smiling, {subject}'s hat"),
        ("\ufeffa\u200b man,  smiling\n", "man", "{subject}, smiling"),
        ("a candle on a table", "can", None),
        ("a personal computer", "person", None),
        ("a cat-friend waves", "cat", None),
        ("a man and a man", "man", None),
        ("{subject} rings\a", "man", None),
    ],
)
def test_noun_phrase_is_replaced_as_whole_words(caption: str, noun: str, expected: str | None) -> None:
    if expected is None:
        with pytest.raises(DatasetError, match=r"01\.txt: the caption"):
            checked_caption(caption, "01.txt", f"a {noun}")
    else:
        assert checked_caption(caption, "01.txt", f"a {noun}") == expected
