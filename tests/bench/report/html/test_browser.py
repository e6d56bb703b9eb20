"""The page in a real browser; skipped without Chromium and `pip install 'personabench[browser]'`."""

import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hostile_names import CAPTION, NAME

from bench.analysis.comparison_table import compare
from bench.report.html.comparison_page import write_comparison_page
from bench.report.html.page import write_page
from bench.runs.finished_run import FinishedRun, read_run
from bench.subjects.identity import Identity

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium"),
]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api", reason="no playwright")
    with playwright.sync_playwright() as started:
        opened = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture
def opened(browser: Any) -> Iterator[Callable[[Path], Any]]:
    """Opens a page. At the end, it has written no error and asked for nothing else."""
    page = browser.new_page(viewport={"width": 1400, "height": 900})
    faults: list[str] = []
    page.on("console", lambda message: faults.append(message.text))
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("request", lambda r: faults.append(r.url) if not r.url.startswith(("file://", "data:")) else None)
    page.on("response", lambda answer: faults.append(answer.url) if answer.status >= 400 else None)

    def go(path: Path) -> Any:
        page.goto(path.as_uri())
        return page

    yield go
    assert page.evaluate("window.attacked") is None
    assert faults == []
    page.close()


@pytest.fixture(scope="module")
def known(known_folder: Path, known_people: list[Identity]) -> tuple[FinishedRun, Path]:
    """The known run and its page."""
    run, path = read_run(known_folder), known_folder / "report.html"
    write_page(compare(run), known_people, path)
    return run, path


@pytest.fixture
def page(opened: Callable[[Path], Any], known: tuple[FinishedRun, Path]) -> Any:
    """The page of the known run."""
    return opened(known[1])


def rows_of(page: Any) -> list[tuple[str, str]]:
    """Person and prompt of the rows that are shown."""
    titles = page.locator(".row h3").all_text_contents()
    people = page.locator(".row h3 b").all_text_contents()
    prompts = [title.partition(" · ")[2].partition(",")[0] for title in titles]
    return list(zip(people, prompts, strict=True))


def choose(page: Any, name: str, value: str) -> None:
    page.get_by_role("combobox", name=name, exact=True).select_option(value)


def test_names_and_captions_are_text(opened: Callable[[Path], Any], hostile_run: Path) -> None:
    page = opened(hostile_run / "report.html")
    assert page.locator(".row h3 b").first.text_content() == NAME
    assert any(CAPTION in text for text in page.locator(".row h3").all_text_contents())
    page.locator(".image").first.click()
    assert NAME in page.locator("dialog").text_content()


def test_filters_by_person_group_and_failures(page: Any) -> None:
    choose(page, "person", "bob")
    assert {who for who, _ in rows_of(page)} == {"bob"}
    choose(page, "person", "")
    choose(page, "group", "noun: man")
    assert {who for who, _ in rows_of(page)} == {"bob", "dan"}
    choose(page, "rows", "with a failed image")
    assert rows_of(page) == [("bob", "p1")]


def test_threshold_leaves_the_rows_whose_images_meet_it(page: Any, known: tuple[FinishedRun, Path]) -> None:
    run, _ = known
    choose(page, "prompts", "free")
    page.get_by_role("button", name="add a threshold").click()
    choose(page, "images of", "close")
    choose(page, "side", "at or above")
    page.get_by_label("bound").fill("0.5")
    above = {
        (row.identity, row.prompt)
        for row in run.scores_of("close", run.column_named("identity@sface"))
        if row.value is not None and row.value >= 0.5
    }
    assert 0 < len(above) < 18
    assert set(rows_of(page)) == above
    choose(page, "side", "below")
    assert set(rows_of(page)).isdisjoint(above)
    page.get_by_role("button", name="remove").click()
    assert len(rows_of(page)) == 18


def test_disagreement_of_the_methods_comes_first(page: Any, known: tuple[FinishedRun, Path]) -> None:
    run, _ = known
    choose(page, "prompts", "free")
    choose(page, "sort by", "methods")
    column = run.column_named("identity@sface")
    scores: dict[tuple[str, str], list[float]] = {}
    for row in (row for label in ("tuned", "close", "leaky") for row in run.scores_of(label, column)):
        if row.value is not None:
            scores.setdefault((row.identity, row.prompt), []).append(row.value)
    assert rows_of(page)[0] == max(scores, key=lambda place: max(scores[place]) - min(scores[place]))


def test_worst_and_best_first(page: Any, known: tuple[FinishedRun, Path]) -> None:
    run, _ = known
    choose(page, "sort by", "worst")
    # `tuned` has no score of ada, which counts as the worst.
    assert {who for who, _ in rows_of(page)[:3]} == {"ada"}
    choose(page, "sort by", "best")
    leaky = run.scores_of("leaky", run.column_named("identity@sface"))
    best = max((row.value or 0.0, row.identity, row.prompt) for row in leaky)
    assert rows_of(page)[0] == best[1:]


def test_heading_sorts_the_table(page: Any) -> None:
    values = "#scores tbody tr td:nth-child(2)"
    page.locator("#scores thead button").first.click()
    means = [float(text.split()[0]) for text in page.locator(values).all_text_contents() if text[0].isdigit()]
    assert means == sorted(means, reverse=True)
    assert page.locator("#scores th").nth(1).get_attribute("aria-sort") == "descending"


def test_table_shows_differences_and_the_reason_of_a_mark(page: Any) -> None:
    page.get_by_role("radio", name="minus text-only").check()
    leaky = page.locator("#scores tbody tr", has_text="leaky").locator("td").first
    assert "above †" in leaky.text_content()
    number = leaky.locator("sup a").text_content()
    assert "conditioned on the encoder" in page.locator(f"#note-{number}").text_content()


def test_hidden_column_is_gone(page: Any) -> None:
    page.locator("#comparison summary").first.click()
    page.get_by_role("checkbox", name="multi-face").uncheck()
    assert "multi-face" not in "".join(page.locator("#scores th").all_text_contents())


def test_image_opens_with_its_card_and_a_link_that_opens_it_again(page: Any) -> None:
    image = page.locator(".image:not(.photo)").nth(3)
    image.focus()
    page.keyboard.press("Enter")
    card = page.locator("dialog .viewer > div:last-child").text_content()
    assert "seed" in card
    assert "fingerprint" in card
    assert page.locator("dialog input[type=range]").count() == 0
    page.locator("dialog select").select_option("held_out:1")
    assert page.locator("dialog input[type=range]").count() == 1
    link = page.url
    page.get_by_role("button", name="close", exact=True).focus()
    page.keyboard.press("ArrowDown")
    assert page.url != link
    page.keyboard.press("c")
    assert page.locator("dialog select").input_value() != "held_out:1"
    page.keyboard.press("z")
    scales = "images => images.map(image => getComputedStyle(image).transform)"
    assert page.locator(".stage img").evaluate_all(scales) == ["matrix(3, 0, 0, 3, 0, 0)"] * 2
    page.keyboard.press("z")
    page.keyboard.press("Escape")
    assert page.locator("dialog[open]").count() == 0
    page.goto("about:blank")
    page.goto(link)
    assert page.locator("dialog[open] .viewer > div:last-child").text_content() == card


def test_point_of_a_plot_shows_its_method(page: Any) -> None:
    page.evaluate("location.hash = '#method=close&person=bob'")
    page.locator(".row").nth(4).wait_for(state="detached")
    assert {who for who, _ in rows_of(page)} == {"bob"}
    labels = page.locator(".image:not(.photo) span:has(.swatch)")
    assert set(labels.all_text_contents()) == {"text-only", "close"}
    page.locator("#gallery summary").click()
    page.get_by_role("button", name="all methods").click()
    assert set(labels.all_text_contents()) == {"text-only", "photo-copy", "tuned", "close", "leaky"}


def test_phone_needs_no_scrolling_to_the_side(page: Any) -> None:
    page.set_viewport_size({"width": 400, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= 400
    page.locator(".image").first.click()
    assert page.evaluate("document.querySelector('dialog').scrollWidth") <= 400


def test_page_in_one_file_shows_its_images(
    opened: Callable[[Path], Any], known_folder: Path, known_people: list[Identity], tmp_path: Path
) -> None:
    write_page(compare(read_run(known_folder)), known_people, tmp_path / "one.html", embed=True)
    page = opened(tmp_path / "one.html")
    image = page.locator(".image img").first
    image.scroll_into_view_if_needed()
    assert image.evaluate("image => image.decode().then(() => image.naturalWidth)") == 32
    assert [path.name for path in tmp_path.iterdir()] == ["one.html"]


def test_images_of_two_runs_are_compared(
    opened: Callable[[Path], Any], known_folder: Path, known_people: list[Identity], tmp_path: Path
) -> None:
    run = read_run(known_folder)
    changed = [
        replace(row, value=row.value - 0.3)
        if (row.method, row.identity, row.prompt) == ("close", "eva", "p2") and row.value is not None
        else row
        for row in run.scores
    ]
    other = replace(run, scores=tuple(changed))
    write_comparison_page(run, other, known_people, tmp_path / "page.html", embed=True)
    page = opened(tmp_path / "page.html")
    choose(page, "sort by", "methods")
    assert rows_of(page)[0] == ("eva", "p2")
    page.locator(".image", has_text="close, second run").first.click()
    choose(page, "compare with", "twin")
    assert page.locator("dialog .ends span").all_text_contents() == ["close, first run", "close, second run"]
    assert page.locator("dialog thead th").all_text_contents() == ["score", "image", "close, first run"]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_page_follows_the_rules_for_accessibility(
    browser: Any, known: tuple[FinishedRun, Path], scheme: str
) -> None:
    """Names, roles and contrast by axe-core, which the page's policy would not let in."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="no axe-playwright-python")
    context = browser.new_context(bypass_csp=True, color_scheme=scheme)
    page = context.new_page()
    page.goto(known[1].as_uri())
    found = [axe.Axe().run(page)]
    page.locator(".image:not(.photo)").first.click()
    found.append(axe.Axe().run(page))
    assert [violation["help"] for one in found for violation in one.response["violations"]] == []
    context.close()
