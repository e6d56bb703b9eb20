"""Folders of people, and the rendered ones that ship."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from bench.datasets.registry import open_people
from bench.errors import DatasetError, SuiteError
from bench.subjects.identity import Identity
from bench.suite.suite import DatasetSettings


def settings(**changes: object) -> DatasetSettings:
    return DatasetSettings(**{"kind": "folder", "path": "people", "references": 2, **changes})  # type: ignore[arg-type]


def opened(people: Path, **changes: object) -> tuple[Identity, ...]:
    return open_people(settings(**changes), people.parent).chosen


def test_references_and_held_out_photos_never_meet(people: Path) -> None:
    for who in opened(people, held_out=3):
        references = {photo.path for photo in who.references}
        held_out = {photo.path for photo in who.held_out}
        assert (len(references), len(held_out)) == (2, 3)
        assert not references & held_out


def test_the_split_comes_from_the_seed_alone(people: Path) -> None:
    assert opened(people) == opened(people)
    assert opened(people) != opened(people, seed=1)


def test_a_further_person_changes_nobodys_split(people: Path) -> None:
    before = {who.id: who for who in opened(people)}
    extra = people / "dora"
    extra.mkdir()
    for i in range(5):
        Image.new("RGB", (8, 8), (i, i, i)).save(extra / f"{i}.png")
    after = {who.id: who for who in opened(people)}
    assert {name: after[name] for name in before} == before


def test_a_folder_for_held_out_photos_decides_the_split(people: Path) -> None:
    (people / "ada" / "heldout").mkdir()
    for name in ("03.png", "03.txt", "04.png", "04.txt"):
        (people / "ada" / name).rename(people / "ada" / "heldout" / name)
    ada = next(who for who in opened(people) if who.id == "ada")
    assert [photo.path.name for photo in ada.references] == ["00.png", "01.png"]
    assert [photo.path.name for photo in ada.held_out] == ["03.png", "04.png"]


def test_captions_come_from_json_or_jsonl_as_well(people: Path) -> None:
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


def test_a_folder_without_captions_takes_the_suites(people: Path) -> None:
    for text in people.rglob("*.txt"):
        text.unlink()
    assert {p.caption for who in opened(people) for p in who.references} == {"a photo of {subject}"}


def test_the_noun_may_stand_in_the_folder(people: Path) -> None:
    (people / "ada" / "noun.txt").write_text("elephant\n")
    assert [who.phrase for who in opened(people, noun="woman")] == ["an elephant", "a woman", "a woman"]


def spoil_caption(people: Path) -> None:
    (people / "ada" / "00.txt").write_text("somebody smiles")


def spoil_one_caption_away(people: Path) -> None:
    (people / "ada" / "00.txt").unlink()


def spoil_orphan(people: Path) -> None:
    (people / "ada" / "captions.json").write_text('{"99.png": "{subject}"}')


def spoil_json(people: Path) -> None:
    (people / "ada" / "captions.json").write_text("{")


def spoil_lines(people: Path) -> None:
    (people / "ada" / "metadata.jsonl").write_text('{"file": "00.png"}')


def spoil_empty(people: Path) -> None:
    (people / "empty").mkdir()


@pytest.mark.parametrize(
    ("corruption", "line"),
    [
        (spoil_caption, r"must hold \{subject\} \(or 'a person'\) once"),
        (spoil_one_caption_away, "no caption, but 4 others"),
        (spoil_orphan, "a caption for '99.png', but there is no such picture"),
        (spoil_json, "not JSON"),
        (spoil_lines, "line 1 is not"),
        (spoil_empty, "no pictures"),
    ],
)
def test_a_folder_that_cannot_be_meant_is_refused(
    corruption: Callable[[Path], None], line: str, people: Path
) -> None:
    corruption(people)
    with pytest.raises(DatasetError, match=line):
        opened(people)


def test_more_people_than_there_are_is_refused(people: Path) -> None:
    with pytest.raises(SuiteError, match="identities = 9, folder holds 3"):
        opened(people, identities=9)


def test_a_damaged_photo_is_found_before_the_work_begins(people: Path) -> None:
    (people / "ada" / "00.png").write_bytes(b"")
    ada = opened(people, identities=None)[0]
    with pytest.raises(DatasetError, match="the file is empty"):
        ada.check()


def test_the_rendered_people_ship_with_captions_and_attributes() -> None:
    people = open_people(DatasetSettings("rendered", identities=3, references=4, held_out=8), Path())
    assert len(people.chosen) == 3
    for who in people.chosen:
        who.check()
        photo = who.held_out[0]
        assert photo.caption.count("{subject}") == 1
        assert photo.attributes["background"] in photo.caption
        assert who.noun in ("man", "woman")
        assert "hair" in who.attributes
    chosen = {photo.path for who in people.chosen for photo in (*who.references, *who.held_out)}
    assert len(people.others) >= 21 * 12
    assert not chosen & {photo.path for photo in people.others}
