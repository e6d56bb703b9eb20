"""The hand-written pages in results/ refer to files that exist."""

import re
from pathlib import Path

import pytest

RESULTS = Path(__file__).parents[2] / "results"
PAGES = ("README.md", "study.md", "reproduction/README.md", "world/README.md", "backbones/README.md")
LINK = re.compile(r"\]\(([^)#:]+)\)")


@pytest.mark.parametrize("page", PAGES)
def test_every_relative_link_of_a_page_exists(page: str) -> None:
    links = LINK.findall((RESULTS / page).read_text(encoding="utf-8"))
    assert links
    assert [link for link in links if not (RESULTS / page).parent.joinpath(link).exists()] == []
