"""Custom photographs: one directory per identity, captions next to the images."""

import json
from pathlib import Path

import pytest

from bench.datasets.folder import FolderPeople
from bench.errors import DatasetError
from bench.suite.suite import DatasetSettings

SETTINGS = DatasetSettings("folder", "people", references=2, noun="woman")


def captions(people: Path) -> set[str]:
    return {photo.caption for photo in FolderPeople(SETTINGS, people.parent).photos("ada")}


def without_text_files(people: Path) -> list[str]:
    """Remove ada's captions; return the names of her photographs."""
    for path in (people / "ada").glob("*.txt"):
        path.unlink()
    return [path.name for path in sorted((people / "ada").glob("*.png"))]


def test_captions_are_read_from_text_files_json_and_jsonl(people: Path) -> None:
    assert captions(people) == {f"a photo of {{subject}}, shade {i}" for i in range(5)}
    names = without_text_files(people)
    texts = {name: f"{{subject}} in {name}" for name in names}
    (people / "ada" / "captions.json").write_text(json.dumps(texts))
    assert captions(people) == set(texts.values())
    (people / "ada" / "captions.json").unlink()
    lines = [json.dumps({"file_name": name, "text": text}) for name, text in texts.items()]
    (people / "ada" / "metadata.jsonl").write_text("\n".join(lines))
    assert captions(people) == set(texts.values())


def test_photographs_without_captions_get_the_suites_caption(people: Path) -> None:
    without_text_files(people)
    assert captions(people) == {"a photo of {subject}"}


def test_partial_captions_and_captions_without_an_image_are_refused(people: Path) -> None:
    (people / "ada" / "00.txt").unlink()
    with pytest.raises(DatasetError, match=r"00\.png: no caption, but 4 others of ada have one"):
        captions(people)
    (people / "ada" / "captions.json").write_text('{"00.png": "{subject}", "77.png": "{subject}"}')
    with pytest.raises(DatasetError, match=r"a caption for '77\.png', but there is no such image"):
        captions(people)


def test_heldout_folder_defines_the_split_and_noun_file_the_noun(people: Path) -> None:
    (people / "ada" / "heldout").mkdir()
    for name in ("04.png", "04.txt"):
        (people / "ada" / name).rename(people / "ada" / "heldout" / name)
    (people / "ada" / "noun.txt").write_text("girl\n")
    who = FolderPeople(SETTINGS, people.parent).identity("ada")
    assert [photo.path.name for photo in who.references] == ["00.png", "01.png"]
    assert [photo.path.name for photo in who.held_out] == ["04.png"]
    assert (who.noun, who.origin) == ("girl", "folder-people")


def test_images_outside_the_identity_directories_are_reported(people: Path) -> None:
    (people / "loose.png").write_bytes((people / "ada" / "00.png").read_bytes())
    (remark,) = FolderPeople(SETTINGS, people.parent).remarks
    assert remark == "1 images outside the identity directories are ignored, first loose.png"
