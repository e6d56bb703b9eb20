"""The README's table is that of the run that stands in results/, line by line."""

from pathlib import Path

ROOT = Path(__file__).parents[2]
RUN = ROOT / "results" / "showcase"


def block() -> list[str]:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    shown = text.partition("<!-- showcase:begin -->")[2].partition("<!-- showcase:end -->")[0]
    return [line for line in shown.splitlines() if line.startswith("|")]


def test_every_line_of_the_readmes_tables_stands_in_the_runs_report() -> None:
    report = (RUN / "report.md").read_text(encoding="utf-8").splitlines()
    lines = block()
    assert len(lines) > 10
    assert [line for line in lines if line not in report] == []


def test_the_report_in_results_is_what_the_scores_beside_it_give() -> None:
    from bench.benchmark import render_report

    assert render_report(RUN, "markdown") == (RUN / "report.md").read_text(encoding="utf-8")


def test_the_picture_grid_that_the_readme_shows_is_there() -> None:
    assert "results/showcase/grid.webp" in (ROOT / "README.md").read_text(encoding="utf-8")
    assert (RUN / "grid.webp").stat().st_size > 10_000
