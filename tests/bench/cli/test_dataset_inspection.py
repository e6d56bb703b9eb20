"""`bench data`: what a run would use, and what is wrong with it."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image, ImageEnhance

Bench = Callable[..., int]


def vary(people: Path) -> None:
    """The fixture's photographs are plain colours, which no hash can tell apart."""
    for number, path in enumerate(sorted(people.rglob("*.png"))):
        Image.effect_noise((64, 64), 90 + number).convert("RGB").save(path)


def test_it_says_what_a_run_would_use(bench: Bench, people: Path, capsys: pytest.CaptureFixture[str]) -> None:
    vary(people)
    assert bench("data", "folder", "--root", people, "--references", 2, "--check") == 0
    said = capsys.readouterr().out
    assert "3 of 3 identities (seed 0), 2 references and 3 held-out photos each; 15 photos, 5 diff" in said
    for name in ("ada", "bob", "cleo", "a photo of {subject}, shade", "no problems found"):
        assert name in said


def test_a_suite_says_which_dataset_and_options_go_before_it(
    bench: Bench, suite: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bench("data", "--suite", suite, "--identities", 1, "--json")
    stock = json.loads(capsys.readouterr().out)
    assert (stock["kind"], stock["available"], len(stock["used"])) == ("folder", 3, 1)
    assert (stock["used"][0]["references"], stock["used"][0]["held_out"]) == (2, 3)


def test_near_copies_are_reported_and_do_not_refuse(
    bench: Bench, people: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    vary(people)
    for name in ("00", "01", "02", "03"):
        with Image.open(people / "ada" / "04.png") as photo:
            photo.resize((48, 48), Image.Resampling.LANCZOS).save(people / "ada" / f"{name}.png")
    (people / "ada" / "heldout").mkdir()
    for name in ("04.png", "04.txt"):
        (people / "ada" / name).rename(people / "ada" / "heldout" / name)
    assert bench("data", "folder", "--root", people, "--references", 1, "--check") == 0
    assert "04.png is held out and nearly the reference" in capsys.readouterr().out


def test_every_refusal_is_said_and_not_only_the_first(
    bench: Bench, people: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    vary(people)
    (people / "ada" / "00.txt").write_text("somebody")
    (people / "bob" / "00.png").write_bytes(b"")
    assert bench("data", "folder", "--root", people, "--references", 2, "--check") == 3
    said = capsys.readouterr().out
    assert "refused: " in said
    assert "00.txt" in said or "ada/00.png: the caption" in said
    assert "bob/00.png: the file is empty" in said


def test_one_caption_for_all_is_remarked(
    bench: Bench, people: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for text in people.rglob("*.txt"):
        text.unlink()
    vary(people)
    assert bench("data", "folder", "--root", people, "--references", 2) == 0
    assert "note: all photographs share the caption 'a photo of {subject}'" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "name a dataset"),
        (("folder", "--suite", "tiny"), "one of them"),
        (("celebs",), "unknown kind 'celebs'; did you mean 'celeba'?"),
        (("celeba", "--root", ".", "--partition", "tests"), "partition = 'tests'; did you mean 'test'?"),
        (("folder",), "needs path"),
        (("rendered", "--identities", "33"), "identities = 33"),
    ],
)
def test_wrong_words_end_with_one_line(
    words: tuple[str, ...], said: str, bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    assert bench("data", *words) == 2
    error = capsys.readouterr().err
    assert said in error
    assert len(error.splitlines()) == 1


def test_a_run_says_near_copies_in_its_report(bench: Bench, suite: Path, people: Path) -> None:
    vary(people)
    with Image.open(people / "ada" / "00.png") as photo:
        for i in range(1, 5):
            # All alike in look, and no two in their pixels.
            ImageEnhance.Brightness(photo).enhance(1 - i / 50).save(people / "ada" / f"{i:02d}.png")
    out = people.parent / "run"
    assert bench("run", "--suite", suite, "--methods", "fake_method:FakeMethod", "--out", out) == 0
    remarks = json.loads((out / "run.json").read_text())["remarks"]
    assert len(remarks) == 3, remarks
    assert all("is held out and nearly the reference" in line for line in remarks)
    assert f"## Dataset\n\n* {remarks[0]}" in (out / "report.md").read_text()
