"""The page of a run: one file that needs nothing else, in which all text stays text."""

import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from bench.analysis.comparison_table import ComparisonTable, compare
from bench.report.html.document import json_text
from bench.report.html.page import write_page
from bench.report.markdown_report import report_sections


class Elements(HTMLParser):
    """Counts elements, and collects the addresses that the page would load."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.append(tag)
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href", "onerror")]


def parsed(text: str) -> Elements:
    elements = Elements()
    elements.feed(text)
    return elements


def data_of(text: str) -> dict[str, Any]:
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)
    assert found
    content: dict[str, Any] = json.loads(found[1])
    return content


def test_files_of_the_page_stay_short() -> None:
    assets = [path for path in (files("bench.report.html") / "assets").iterdir() if path.is_file()]
    lengths = {path.name: len(path.read_text(encoding="utf-8").splitlines()) for path in assets}
    assert {"table.js", "page.css"} <= set(lengths)
    assert {name: length for name, length in lengths.items() if length > 250} == {}


@pytest.mark.parametrize("text", ["</script><b>", "a & b", "\u2028\u2029", "{subject} \\u003c"])
def test_json_in_the_page_has_no_character_that_html_or_javascript_reads(text: str) -> None:
    written = json_text({text: text})
    assert not set("<>&\u2028\u2029") & set(written)
    assert json.loads(written) == {text: text}


def test_names_and_captions_of_a_run_are_no_elements(hostile_run: Path) -> None:
    text = (hostile_run / "report.html").read_text()
    elements = parsed(text)
    assert elements.names.count("script") == 2
    assert "img" not in elements.names
    data = data_of(text)
    assert any("</script>" in row["text"] for row in data["gallery"]["rows"])
    assert any("onerror" in who for who in data["gallery"]["people"])


def test_label_of_a_method_is_no_element(table: ComparisonTable, tmp_path: Path) -> None:
    run = table.run
    label = "<img src=x onerror=alert(1)>|"

    def renamed(rows: Any) -> Any:
        return tuple(replace(row, method=label) if row.method == "tuned" else row for row in rows)

    hostile = replace(
        run,
        cells=renamed(run.cells),
        scores=renamed(run.scores),
        sets=renamed(run.sets),
        fits=renamed(run.fits),
    )
    write_page(compare(hostile), (), tmp_path / "page.html")
    text = (tmp_path / "page.html").read_text()
    assert "img" not in parsed(text).names
    assert label in [method["label"] for method in data_of(text)["methods"]]


def test_page_loads_nothing_from_elsewhere(run_folder: Path) -> None:
    text = (run_folder / "report.html").read_text()
    assert all(address.startswith("#") for address in parsed(text).addresses)
    assert "http" not in text.replace("http-equiv", "")


def test_page_has_every_section_of_the_markdown_report(table: ComparisonTable, tmp_path: Path) -> None:
    write_page(table, (), tmp_path / "page.html")
    text = (tmp_path / "page.html").read_text()
    titles = [section.partition("\n")[0].removeprefix("## ") for section in report_sections(table)]
    assert len(titles) > 10
    assert [title for title in titles if f">{title}<" not in text] == []


def test_images_are_in_the_folder_beside_the_page_or_in_the_page(run_folder: Path, bench: Any) -> None:
    folder = run_folder / "report_images"
    data = data_of((run_folder / "report.html").read_text())
    named = {cell["image"] for row in data["gallery"]["rows"] for cell in row["cells"]}
    photos = {name for who in data["gallery"]["people"].values() for kind in who.values() for name in kind}
    assert len(photos) > len(data["gallery"]["people"])
    assert {path.name for path in folder.iterdir()} == named | photos

    assert (
        bench("report", run_folder, "--format", "html", "--embed", "--output", run_folder / "one.html") == 0
    )
    embedded = data_of((run_folder / "one.html").read_text())
    images = [cell["image"] for row in embedded["gallery"]["rows"] for cell in row["cells"]]
    assert all(image.startswith("data:image/webp;base64,") for image in images)
    assert not (run_folder / "one_images").exists()


def test_page_without_the_dataset_says_why_it_has_no_photographs(
    run_folder: Path, people: Path, bench: Any
) -> None:
    people.rename(people.with_name("elsewhere"))
    assert bench("report", run_folder, "--format", "html") == 0
    gallery = data_of((run_folder / "report.html").read_text())["gallery"]
    assert gallery["rows"]
    assert gallery["remark"].startswith("No photographs: ")


def test_embed_is_refused_for_other_formats(bench: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert bench("report", "--format", "csv", "--embed") == 2
    assert "--embed needs --format html" in capsys.readouterr().err
