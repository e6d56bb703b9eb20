"""`bench data`: the photographs that a run would use, and their problems."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image, ImageEnhance

Bench = Callable[..., int]


def fill_with_noise(people: Path) -> None:
    """Replace the fixture's photographs, whose plain colours have no hash."""
    for number, path in enumerate(sorted(people.rglob("*.png"))):
        Image.effect_noise((64, 64), 90 + number).convert("RGB").save(path)


def test_output_describes_what_a_run_would_use(
    bench: Bench, people: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fill_with_noise(people)
    assert bench("data", "folder", "--root", people, "--references", 2, "--check") == 0
    output = capsys.readouterr().out
    assert "3 of 3 identities (seed 0), 2 references and 3 held-out photos each; 15 photos, 5 diff" in output
    for name in ("ada", "bob", "cleo", "a photo of {subject}, shade", "no problems found"):
        assert name in output


def test_suite_selects_the_dataset_and_options_override_it(
    bench: Bench, suite: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bench("data", "--suite", suite, "--identities", 1, "--json")
    summary = json.loads(capsys.readouterr().out)
    assert (summary["kind"], summary["available"], len(summary["used"])) == ("folder", 3, 1)
    assert (summary["used"][0]["references"], summary["used"][0]["held_out"]) == (2, 3)


def test_near_copies_are_reported_without_refusal(
    bench: Bench, people: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fill_with_noise(people)
    for name in ("00", "01", "02", "03"):
        with Image.open(people / "ada" / "04.png") as photo:
            photo.resize((48, 48), Image.Resampling.LANCZOS).save(people / "ada" / f"{name}.png")
    (people / "ada" / "heldout").mkdir()
    for name in ("04.png", "04.txt"):
        (people / "ada" / name).rename(people / "ada" / "heldout" / name)
    assert bench("data", "folder", "--root", people, "--references", 1, "--check") == 0
    assert "04.png is held out and a near copy of the reference" in capsys.readouterr().out


def test_in_the_wild_images_are_an_option(
    bench: Bench, celeba: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    root = celeba({5: ("test", 3)}, wild=True)
    arguments = ("data", "celeba", "--root", root, "--references", 1, "--check")
    assert bench(*arguments) == 2
    assert 'set pictures = "in-the-wild"' in capsys.readouterr().err
    assert bench(*arguments, "--pictures", "in-the-wild") == 0
    assert "1 of 1 identities" in capsys.readouterr().out


def test_all_refusals_are_printed(bench: Bench, people: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fill_with_noise(people)
    (people / "ada" / "00.txt").write_text("no subject")
    (people / "bob" / "00.png").write_bytes(b"")
    assert bench("data", "folder", "--root", people, "--references", 2, "--check") == 3
    output = capsys.readouterr().out
    assert "refused: " in output
    assert "00.txt" in output or "ada/00.png: the caption" in output
    assert "bob/00.png: the file is empty" in output


def test_check_opens_the_photographs_of_unselected_identities(
    bench: Bench, people: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fill_with_noise(people)
    arguments = ("data", "folder", "--root", people, "--references", 2, "--identities", 1)
    assert bench(*arguments, "--check") == 0
    for name in ("ada", "bob"):
        (people / name / "00.png").write_bytes((people / name / "00.png").read_bytes()[:400])
    assert bench(*arguments) == 0
    assert "1 of 1 identities were opened and compared, and 0 of 10 of other" in capsys.readouterr().out
    assert bench(*arguments, "--check") == 3
    assert capsys.readouterr().out.count("00.png: the image is damaged") == 2
    (people / "bob" / "01.txt").write_text("nobody")
    (people / "ada" / "IMG_1.heic").write_text("x")
    assert bench(*arguments) == 3
    output = capsys.readouterr().out
    assert "refused: " in output
    assert "01.png: the caption 'nobody'" in output
    assert "IMG_1.heic: .heic is not supported" in output


def test_damaged_photograph_of_an_unselected_identity_stops_the_run_before_it_starts(
    bench: Bench, suite: Path, people: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    suite.write_text(suite.read_text().replace("references = 2", "references = 2\nidentities = 1"))
    arguments = ("run", "--suite", suite, "--methods", "fake_method:FakeMethod", "--out", people.parent / "o")
    content = {path: path.read_bytes() for path in people.rglob("00.png")}
    for path in content:
        path.write_bytes(path.read_bytes()[:60])
    assert bench(*arguments) == 2
    assert "00.png: the image is damaged" in capsys.readouterr().err
    assert not list(people.parent.glob("o/images/**/*.png"))
    for path, before in content.items():
        path.write_bytes(before)
    assert bench(*arguments) == 0


def test_identical_captions_are_reported(
    bench: Bench, people: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for text in people.rglob("*.txt"):
        text.unlink()
    fill_with_noise(people)
    assert bench("data", "folder", "--root", people, "--references", 2) == 0
    assert "note: all photographs share the caption 'a photo of {subject}'" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "expected either a dataset"),
        (("folder", "--suite", "tiny"), "or --suite"),
        (("celebs",), "unknown kind 'celebs'; did you mean 'celeba'?"),
        (("celeba", "--root", ".", "--partition", "tests"), "partition = 'tests'; did you mean 'test'?"),
        (("folder",), "needs path"),
        (("rendered", "--identities", "33"), "identities = 33"),
    ],
)
def test_wrong_arguments_are_refused_in_one_line(
    words: tuple[str, ...], message: str, bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    assert bench("data", *words) == 2
    error = capsys.readouterr().err
    assert message in error
    assert len(error.splitlines()) == 1


def test_report_of_a_run_lists_near_copies(bench: Bench, suite: Path, people: Path) -> None:
    fill_with_noise(people)
    with Image.open(people / "ada" / "00.png") as photo:
        for i in range(1, 5):
            # Similar images, but no two with the same pixels.
            ImageEnhance.Brightness(photo).enhance(1 - i / 50).save(people / "ada" / f"{i:02d}.png")
    out = people.parent / "run"
    assert bench("run", "--suite", suite, "--methods", "fake_method:FakeMethod", "--out", out) == 0
    remarks = json.loads((out / "run.json").read_text())["remarks"]
    assert len(remarks) == 5, remarks
    assert all("is held out and a near copy of the reference" in line for line in remarks[:3])
    assert "among its references: 1 pairs of near copies" in remarks[3]
    assert "among its held-out photos: 3 pairs of near copies" in remarks[4]
    assert f"## Dataset\n\n* {remarks[0]}" in (out / "report.md").read_text()
