"""The README's table and picture are those of the committed run."""

from pathlib import Path

from bench.reporting import render_report

ROOT = Path(__file__).parents[2]
RUN = ROOT / "results" / "showcase"


def tables(text: str) -> dict[tuple[str, str], str]:
    """The cells of all Markdown tables in a text, by row and column."""
    cells: dict[tuple[str, str], str] = {}
    header: list[str] = []
    for line in text.splitlines():
        fields = [field.strip() for field in line.strip("|").split("|")] if line.startswith("|") else []
        if not fields:
            header = []
        elif not header:
            header = fields
        elif set(line) != {"|", "-"}:
            cells |= {(fields[0], column): field for column, field in zip(header, fields, strict=True)}
    return cells


def test_every_cell_of_the_readmes_table_is_in_the_runs_report() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    block = text.partition("<!-- showcase:begin -->")[2].partition("<!-- showcase:end -->")[0]
    report = tables((RUN / "report.md").read_text(encoding="utf-8"))
    shown = tables(block)
    assert len(shown) == 8 * 5
    assert {place: report.get(place) for place in shown} == shown


def test_the_committed_report_is_what_its_tables_give() -> None:
    assert render_report(RUN, "markdown") == (RUN / "report.md").read_text(encoding="utf-8")


def test_the_readme_shows_the_runs_image_grid() -> None:
    assert "results/showcase/grid.webp" in (ROOT / "README.md").read_text(encoding="utf-8")
    assert (RUN / "grid.webp").read_bytes()[8:12] == b"WEBP"
