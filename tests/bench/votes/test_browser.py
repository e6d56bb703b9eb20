"""The page of a study in a browser; skipped without Chromium and `pip install 'personabench[browser]'`."""

import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hostile_names import CAPTION

from bench.runs.finished_run import FinishedRun
from bench.subjects.identity import Identity
from bench.votes.answers import read_ballots
from bench.votes.page import write_page
from bench.votes.study import Study, make_study, write_study

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium"),
]
COUNT = 3


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api", reason="no playwright")
    with playwright.sync_playwright() as started:
        opened = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture
def study(run: FinishedRun) -> Study:
    return make_study(run, (), COUNT, 0)


@pytest.fixture
def opened(
    browser: Any, run: FinishedRun, study: Study, identities: list[Identity], tmp_path: Path
) -> Iterator[Callable[[], Any]]:
    """Opens the page, again with what the browser kept. It writes no error and asks for nothing else."""
    hostile = replace(run, cells=tuple(replace(c, template=f"{{subject}} {CAPTION}") for c in run.cells))
    path = tmp_path / "votes.html"
    write_page(hostile, study, identities, path)
    context = browser.new_context()
    page = context.new_page()
    faults: list[str] = []
    page.on("console", lambda message: faults.append(message.text))
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on(
        "request",
        lambda r: faults.append(r.url) if not r.url.startswith(("file://", "data:", "blob:")) else None,
    )

    def go() -> Any:
        page.goto(path.as_uri())
        return page

    yield go
    assert page.evaluate("window.attacked") is None
    assert faults == []
    context.close()


def test_answers_by_keyboard_are_kept_and_counted(
    opened: Callable[[], Any], run: FinishedRun, study: Study, tmp_path: Path
) -> None:
    page = opened()
    assert CAPTION in page.locator("legend").last.text_content()
    for keys in ("aj", "sk"):
        for key in keys:
            page.keyboard.press(key)
    page = opened()
    assert page.locator("[role=status]").text_content() == f"2 of {COUNT} answered"
    assert page.locator("h2").text_content() == f"Comparison 3 of {COUNT}"
    page.keyboard.press("d")
    page.get_by_role("button", name="Image B l").click()
    page.get_by_role("checkbox").check()
    page.get_by_label("your name or code").fill("Zoë <b>")
    page.keyboard.press("Tab")
    assert "All answered" in page.get_by_role("alert").text_content()
    with page.expect_download() as started:
        page.get_by_role("button", name="Save answers").click()
    assert started.value.suggested_filename == f"votes-{study.id}-Zo_b_.json"
    saved = tmp_path / "answers.json"
    started.value.save_as(saved)
    write_study(run.path, study)
    ballots = read_ballots(run, [saved])
    assert ballots.refused == ()
    assert ballots.voters == ("Zoë <b>",)
    for question in ("identity", "prompt"):
        assert [vote.choice for vote in ballots.votes[question]] == ["left", "tie", "right"]
    known = [vote.knows_person for vote in ballots.votes["identity"]]
    assert known == [c.person == study.comparisons[-1].person for c in study.comparisons]


def test_answer_can_be_changed_and_a_name_is_no_answer(opened: Callable[[], Any]) -> None:
    page = opened()
    page.keyboard.press("a")
    page.keyboard.press("d")
    pressed = page.locator("fieldset").first.locator("[aria-pressed=true]")
    assert pressed.all_text_contents() == ["Image B d"]
    page.get_by_label("your name or code").press("j")
    assert page.locator("[role=status]").text_content() == f"0 of {COUNT} answered"
    page.keyboard.press("Tab")
    page.get_by_role("button", name="next").click()
    assert page.locator("h2").text_content() == f"Comparison 2 of {COUNT}"
    page.keyboard.press("ArrowLeft")
    assert page.locator("h2").text_content() == f"Comparison 1 of {COUNT}"


def test_phone_needs_no_scrolling_to_the_side(opened: Callable[[], Any]) -> None:
    page = opened()
    page.set_viewport_size({"width": 400, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= 400
