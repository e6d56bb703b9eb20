"""The README files: the example method runs, the example suites are valid, links exist, pages stay short."""

import re
from pathlib import Path

import pytest

from bench.cli.main import main
from bench.suite.suite import open_suite, read_suite

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
PAGES = ("README.md", "bench/README.md", "methods/README.md", "metrics/README.md", "results/README.md")
MAX_LINES = 150
LINK = re.compile(r"\]\(([^)#:]+)(?:#[^)]*)?\)")


def first_blocks(heading: str) -> tuple[str, str]:
    """The first python block under a heading, and the first method that its shell block runs."""
    section = README.read_text(encoding="utf-8").partition(f"# {heading}\n")[2]
    code = re.search(r"```python\n(.*?)```", section, re.DOTALL)
    label = re.search(r"--methods '?([\w.]+:\w+)", section)
    assert code, f"README.md has no python block under {heading!r}"
    assert label, f"README.md runs no method under {heading!r}"
    return code[1], label[1]


@pytest.mark.slow
def test_method_in_the_readme_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code, label = first_blocks("Add a method")
    (tmp_path / f"{label.partition(':')[0]}.py").write_text(code)
    monkeypatch.chdir(tmp_path)
    suite = open_suite("smoke").text
    suite = re.sub(r"metrics = \[.*?\]", 'metrics = ["detected@yunet"]', suite, count=1, flags=re.DOTALL)
    (tmp_path / "small.toml").write_text(suite)
    arguments = ["run", "--suite", "small.toml", "--methods", label, "--out", "run", "--workers", "1"]
    monkeypatch.setattr("sys.argv", ["bench", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    assert not ended.value.code, capsys.readouterr().err
    assert f"| {label}" in capsys.readouterr().out
    assert len(list((tmp_path / "run" / "images").rglob("*.png"))) > 1


@pytest.mark.parametrize("page", ["README.md", "bench/README.md"])
def test_suites_in_the_readme_are_accepted(page: str) -> None:
    suites = re.findall(r"```toml\n(.*?)```", (ROOT / page).read_text(encoding="utf-8"), re.DOTALL)
    assert suites
    for text in suites:
        assert read_suite(text, Path(page)).metrics


@pytest.mark.parametrize("page", PAGES)
def test_page_has_at_most_150_lines(page: str) -> None:
    assert len((ROOT / page).read_text(encoding="utf-8").splitlines()) <= MAX_LINES


@pytest.mark.parametrize("page", PAGES)
def test_relative_links_exist(page: str) -> None:
    links = LINK.findall((ROOT / page).read_text(encoding="utf-8"))
    assert [link for link in links if not (ROOT / page).parent.joinpath(link).exists()] == []
