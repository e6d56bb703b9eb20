"""The page shows the images of its study and names nothing."""

import base64
import io
import re
from dataclasses import replace
from pathlib import Path

import pytest
from known_run import METHODS, PEOPLE, PROMPTS
from PIL import Image

from bench.errors import ReportError
from bench.runs.finished_run import FinishedRun
from bench.runs.run_folder import RunFolder
from bench.subjects.identity import Identity
from bench.votes.page import page_data, write_page
from bench.votes.study import make_study


def opened(address: str) -> Image.Image:
    kind, _, content = address.partition(",")
    assert kind == "data:image/webp;base64"
    return Image.open(io.BytesIO(base64.b64decode(content)))


def test_images_are_those_of_the_study(run: FinishedRun, identities: list[Identity]) -> None:
    study = make_study(run, (), 40, 0)
    data = page_data(run, study, {who.id: who for who in identities})
    cells = {(c.method, c.identity, c.prompt, c.sample): c for c in run.cells}
    assert len(data["comparisons"]) == len(study.comparisons)
    for comparison, shown in zip(study.comparisons, data["comparisons"], strict=True):
        for side in ("left", "right"):
            key = (getattr(comparison, side), comparison.person, comparison.prompt, comparison.sample)
            with Image.open(RunFolder(run.path).image_of(cells[key])) as stored:
                image = opened(data["images"][shown[side]])
                assert image.convert("RGB").tobytes() == stored.tobytes()
                assert not image.getexif()
        assert shown["text"] == f"a woman {comparison.prompt}"


def test_numbers_of_images_are_in_the_order_of_the_page(run: FinishedRun, identities: list[Identity]) -> None:
    data = page_data(run, make_study(run, (), 40, 0), {who.id: who for who in identities})
    seen = [c[side] for c in data["comparisons"] for side in ("left", "right")]
    assert list(dict.fromkeys(seen)) == list(range(len(data["images"])))


def test_page_contains_no_name_of_a_method_a_person_or_a_file(
    run: FinishedRun, identities: list[Identity], tmp_path: Path
) -> None:
    path = tmp_path / "votes.html"
    write_page(run, make_study(run, (), 40, 0), identities, path)
    text = re.sub(r"data:image/webp;base64,[\w+/=]*", "", path.read_text())
    words = set(re.findall(r"[\w-]+", re.sub(r"<(script|style)>.*?</\1>", "", text, flags=re.DOTALL)))
    assert not words & {*METHODS, *PEOPLE, "known"}
    assert not re.search(r"\.png|\.s1|images/|" + re.escape(str(tmp_path)), text)
    # The words of a prompt are shown; its id happens to be one of them here.
    assert set(PROMPTS) <= words


def test_missing_images_and_photographs_are_refused(run: FinishedRun, identities: list[Identity]) -> None:
    study = make_study(run, ("tuned", "close"), 40, 0)
    people = {who.id: who for who in identities}
    without = {**people, "eva": replace(people["eva"], references=())}
    with pytest.raises(ReportError, match="eva has no reference photographs"):
        page_data(run, study, without)
    next(path for path in run.path.rglob("*.png") if "tuned" in path.parts).unlink()
    with pytest.raises(ReportError, match="the image cannot be read"):
        page_data(run, study, people)
