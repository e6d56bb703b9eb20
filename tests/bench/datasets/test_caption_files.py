"""Captions in every usual form, and remarks about files and folders that are not used."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from unicodedata import normalize

import pytest

from bench.datasets.folder import FolderPeople
from bench.errors import DatasetError
from bench.suite.suite import DatasetSettings

SETTINGS = DatasetSettings("folder", "people", references=2)
TEXTS = {f"{i:02d}.png": f"{{subject}}, number {i}" for i in range(5)}
MARK = "\ufeff"


@pytest.fixture
def bare(people: Path) -> Path:
    """The folder of people without captions."""
    for path in people.rglob("*.txt"):
        path.unlink()
    return people


def captions(people: Path, name: str = "ada") -> list[str]:
    return [photo.caption for photo in FolderPeople(SETTINGS, people.parent).photos(name)]


def remarks(people: Path) -> tuple[str, ...]:
    return FolderPeople(SETTINGS, people.parent).remarks


def text_files(name: Callable[[Path], str]) -> Callable[[Path], None]:
    def write(people: Path) -> None:
        for path, text in TEXTS.items():
            (people / "ada" / name(Path(path))).write_text(text)

    return write


def json_lines(place: str, prefix: str = "", column: str = "text") -> Callable[[Path], None]:
    def write(people: Path) -> None:
        lines = [json.dumps({"file_name": prefix + name, column: text}) for name, text in TEXTS.items()]
        (people / place).write_text(MARK + "\r\n".join(lines))

    return write


def table(place: str, prefix: str = "", column: str = "text") -> Callable[[Path], None]:
    def write(people: Path) -> None:
        rows = [f'{prefix}{name},"{text}"' for name, text in TEXTS.items()]
        (people / place).write_text(MARK + "\n".join([f"file_name,{column}", *rows]))

    return write


def one_object(place: str, prefix: str = "") -> Callable[[Path], None]:
    def write(people: Path) -> None:
        (people / place).write_text(MARK + json.dumps({prefix + name: text for name, text in TEXTS.items()}))

    return write


FORMS = {
    "01.txt": text_files(lambda path: f"{path.stem}.txt"),
    "01.TXT": text_files(lambda path: f"{path.stem}.TXT"),
    "01.caption": text_files(lambda path: f"{path.stem}.caption"),
    "01.png.txt": text_files(lambda path: f"{path.name}.txt"),
    "captions.json": one_object("ada/captions.json"),
    "Captions.json": one_object("ada/Captions.json"),
    "captions.json above": one_object("captions.json", "ada/"),
    "metadata.jsonl": json_lines("ada/metadata.jsonl", "./"),
    "metadata.jsonl, caption": json_lines("ada/metadata.jsonl", column="caption"),
    "metadata.jsonl above": json_lines("metadata.jsonl", "ada/"),
    "metadata.csv": table("ada/metadata.csv"),
    "metadata.csv, prompt": table("ada/metadata.csv", column="prompt"),
    "Metadata.CSV above": table("Metadata.CSV", "ada\\"),
}


@pytest.mark.parametrize("form", FORMS)
def test_captions_are_read_in_every_usual_form(form: str, bare: Path) -> None:
    FORMS[form](bare)
    assert captions(bare) == list(TEXTS.values())
    assert captions(bare, "bob") == 5 * ["a photo of {subject}"]
    assert remarks(bare) == ("2 identities without captions get the suite's caption, first bob",)


@pytest.mark.parametrize(
    "write", [one_object("ada/captions.json", "heldout/"), json_lines("metadata.jsonl", "ada/heldout/")]
)
def test_tables_reach_the_held_out_folder(write: Callable[[Path], None], bare: Path) -> None:
    folder = bare / "ada" / "heldout"
    folder.mkdir()
    for name in TEXTS:
        (bare / "ada" / name).rename(folder / name)
    (folder / "04.png").rename(bare / "ada" / "09.png")
    texts = TEXTS.pop("04.png")
    write(bare)
    TEXTS["04.png"] = texts
    assert captions(bare) == ["a photo of {subject}", *list(TEXTS.values())[:4]]


def test_composed_and_decomposed_file_names_are_equal(bare: Path) -> None:
    for name in TEXTS:
        path = bare / "ada" / name
        path.rename(path.with_name(normalize("NFD", f"Zoé {name}")))
    texts = {normalize("NFC", f"Zoé {name}"): text for name, text in TEXTS.items()}
    (bare / "ada" / "captions.json").write_text(json.dumps(texts))
    assert captions(bare) == list(TEXTS.values())


def test_each_of_two_names_that_differ_in_case_has_its_own_text_file(bare: Path) -> None:
    (bare / "ada" / "00.png").rename(bare / "ada" / "a.png")
    (bare / "ada" / "01.png").rename(bare / "ada" / "A.png")
    for name in ("a", "A", "02", "03", "04"):
        (bare / "ada" / f"{name}.txt").write_text(f"{{subject}}, {name}")
    found = {photo.path.name: photo.caption for photo in FolderPeople(SETTINGS, bare.parent).photos("ada")}
    assert (found["a.png"], found["A.png"]) == ("{subject}, a", "{subject}, A")


def test_two_different_captions_of_one_photograph_are_refused(bare: Path) -> None:
    FORMS["01.txt"](bare)
    FORMS["captions.json"](bare)
    assert captions(bare) == list(TEXTS.values())
    (bare / "ada" / "02.txt").write_text("{subject}, on a boat")
    with pytest.raises(DatasetError, match=r"02\.txt: '02\.png' has another caption in .*captions\.json"):
        captions(bare)


@pytest.mark.parametrize(
    ("place", "text", "message"),
    [
        (
            "ada/metadata.jsonl",
            '{"file_name": "00.png", "label": 1}',
            "line 1 is not .*; it has 'file_name",
        ),
        (
            "ada/metadata.jsonl",
            '{"file_name": "ada/00.png", "text": "{subject}"}',
            "a caption for 'ada",
        ),
        ("metadata.csv", "file_name,text\nada/77.png,{subject}", "caption for '77.png', but there is no"),
        ("ada/metadata.csv", "image,text\n00.png,{subject}", "line 2 is not"),
        ("ada/metadata.csv", "file_name,caption,prompt\n00.png,{subject},x", "line 2 is not"),
        ("ada/captions.json", '["00.png"]', "expected {"),
    ],
)
def test_malformed_tables_are_refused(place: str, text: str, message: str, bare: Path) -> None:
    (bare / place).write_text(text)
    with pytest.raises(DatasetError, match=message):
        captions(bare)


def test_files_and_folders_that_are_not_used_are_reported(people: Path) -> None:
    (people / "ada" / "metadata.json").write_text("{}")
    (people / "bob" / "README.md").write_text("no captions")
    (people / "bob" / "more").mkdir()
    (people / "bob" / "00.png").rename(people / "bob" / "more" / "00.png")
    (people / "captions.json").write_text('{"zoe/00.png": "{subject}"}')
    assert remarks(people) == (
        "1 folders of images inside the identity directories are ignored, first bob/more",
        "2 text files are not used as captions, first ada/metadata.json",
        f"{people}: captions for 'zoe' in a table, but there is no such identity",
    )


@pytest.mark.parametrize("name", ["heldout", "held_out", "Held-Out", "HeldOut"])
def test_held_out_folder_is_found_in_every_spelling(name: str, people: Path) -> None:
    (people / "ada" / name).mkdir()
    for file in ("04.png", "04.txt"):
        (people / "ada" / file).rename(people / "ada" / name / file)
    who = FolderPeople(SETTINGS, people.parent).identity("ada")
    assert [photo.path.name for photo in who.held_out] == ["04.png"]
    (people / "ada" / "HELDOUT").mkdir()
    with pytest.raises(DatasetError, match="two folders of held-out photographs"):
        FolderPeople(SETTINGS, people.parent).identity("ada")


@pytest.mark.parametrize("content", ["", "man\nwoman", "a\x07b", "   "])
def test_noun_file_must_contain_one_noun(content: str, people: Path) -> None:
    (people / "ada" / "Noun.txt").write_text(content)
    with pytest.raises(DatasetError, match=r"Noun\.txt: the noun is"):
        captions(people)


@pytest.mark.parametrize("name", [b"Zo\xe9", b"Ada\nBob", b"Ada\x1b[31m"])
def test_names_that_no_text_can_contain_are_refused(name: bytes, people: Path) -> None:
    os.rename(bytes(people / "ada"), bytes(people) + b"/" + name)  # noqa: PTH104  # not a str
    with pytest.raises(DatasetError, match="contains a control character or is not UTF-8") as refused:
        FolderPeople(SETTINGS, people.parent).names()
    assert str(refused.value).isprintable()
