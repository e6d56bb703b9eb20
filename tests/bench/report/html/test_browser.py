"""The page in a real browser; skipped without Chromium and playwright (`pip install playwright`)."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hostile_names import CAPTION, NAME

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
def page(browser: Any, hostile_run: Path) -> Iterator[Any]:
    """The page of the hostile run. At the end, it has written no error and asked for nothing else."""
    opened = browser.new_page(viewport={"width": 1400, "height": 900})
    faults: list[str] = []
    opened.on("console", lambda message: faults.append(message.text))
    opened.on("pageerror", lambda error: faults.append(str(error)))
    opened.on("request", lambda r: faults.append(r.url) if not r.url.startswith("file://") else None)
    opened.on("response", lambda answer: faults.append(answer.url) if answer.status >= 400 else None)
    opened.goto((hostile_run / "report.html").as_uri())
    yield opened
    assert opened.evaluate("window.attacked") is None
    assert faults == []
    opened.close()


def test_names_and_captions_are_text(page: Any) -> None:
    assert page.locator(".row h3 b").first.text_content() == NAME
    assert any(CAPTION in text for text in page.locator(".row h3").all_text_contents())


def test_filter_leaves_one_person(page: Any) -> None:
    page.get_by_label("person").select_option("bob")
    assert set(page.locator(".row h3 b").all_text_contents()) == {"bob"}


def test_sort_by_a_metric_puts_the_worst_first(page: Any) -> None:
    page.get_by_label("sort by").select_option(label="identity (fake-eye)")
    scores = [float(text) for text in page.locator(".row .score").all_text_contents()]
    assert len(scores) > 10
    assert scores == sorted(scores)
    page.get_by_label("order", exact=True).select_option("best")
    scores = [float(text) for text in page.locator(".row .score").all_text_contents()]
    assert scores == sorted(scores, reverse=True)


def test_heading_sorts_the_table(page: Any) -> None:
    values = "#scores tbody tr td:nth-child(2)"
    page.locator("#scores thead button").first.click()
    means = [float(text.split()[0]) for text in page.locator(values).all_text_contents() if text[0].isdigit()]
    assert means == sorted(means, reverse=True)
    assert page.locator("#scores th").nth(1).get_attribute("aria-sort") == "descending"


def test_hidden_column_is_gone(page: Any) -> None:
    page.locator("#comparison summary").first.click()
    page.get_by_role("checkbox", name="length").uncheck()
    assert "length" not in "".join(page.locator("#scores th").all_text_contents())


def test_image_opens_with_its_card_and_a_link_that_opens_it_again(page: Any) -> None:
    image = page.locator(".image:not(.photo)").nth(3)
    image.focus()
    page.keyboard.press("Enter")
    card = page.locator("dialog table").text_content()
    assert "seed" in card
    assert "fingerprint" in card
    page.locator("dialog select").select_option("references:0")
    assert page.locator("dialog input[type=range]").count() == 1
    link = page.url
    page.locator("dialog button").focus()
    page.keyboard.press("ArrowDown")
    assert page.url != link
    page.keyboard.press("Escape")
    assert page.locator("dialog[open]").count() == 0
    page.goto("about:blank")
    page.goto(link)
    assert page.locator("dialog[open] table").text_content() == card


def test_phone_needs_no_scrolling_to_the_side(page: Any) -> None:
    page.set_viewport_size({"width": 400, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= 400
