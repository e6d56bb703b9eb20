"""LaTeX of the comparison table."""

import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from known_run import known_run

from bench.analysis.comparison_table import compare
from bench.report.formats.latex import as_latex, escaped


def test_special_characters_of_names_are_text() -> None:
    assert escaped(r"a_b&c 50% $x$ #1 {y} \z ~ ^") == (
        r"a\_b\&c 50\% \$x\$ \#1 \{y\} \textbackslash{}z \textasciitilde{} \textasciicircum{}"
    )


def test_characters_do_not_join_and_those_without_a_glyph_are_named() -> None:
    assert escaped("a--b ''c'' *[d]") == "a-{}-b '{}'c'{}' {*}{[}d]"
    assert escaped("Żółć “é” 中🙂 ą") == "Żółć “é” {[}U+4E2D]{[}U+1F642] {[}U+0105]"


def test_negative_numbers_have_a_minus_sign() -> None:
    run = known_run()
    rows = [replace(row, value=-row.value) if row.value else row for row in run.scores]
    line = next(
        line for line in as_latex(compare(replace(run, scores=rows))).splitlines() if "text-only" in line
    )
    assert line.split("&")[1].startswith(" $-$0.")


def test_every_row_has_as_many_cells_as_its_table_has_columns() -> None:
    for table in as_latex(compare(known_run())).split(r"\begin{table}")[1:]:
        columns = re.search(r"\\begin\{tabular\}\{(l+)\}", table)
        assert columns
        lines = [line for line in table.splitlines() if line.endswith(r"\\")]
        assert {len(re.findall(r"(?<!\\)&", line)) + 1 for line in lines} == {len(columns[1])}


def test_best_is_bold_and_a_leaky_method_never() -> None:
    table = compare(known_run())
    text = as_latex(table)
    best = table.image_columns[0].ranking[0]
    assert r"\textbf" in next(line for line in text.splitlines() if line.startswith(best)).split("&")[1]
    leaky = next(line for line in text.splitlines() if line.startswith("leaky")).split("&")[1]
    assert r"\dagger" in leaky
    assert r"\textbf" not in leaky


def test_ties_are_all_bold() -> None:
    run = known_run()
    twin = [replace(row, method="tuned") for row in run.scores if row.method == "close"]
    others = [row for row in run.scores if row.method != "tuned"]
    text = as_latex(compare(replace(run, scores=(*others, *twin))))
    cells = [line.split("&")[1] for line in text.splitlines() if line.startswith(("tuned", "close"))][:2]
    assert [r"\textbf" in cell for cell in cells] == [True, True]


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="no pdflatex")
def test_pdflatex_reads_any_name(tmp_path: Path) -> None:
    run, name = (
        known_run(),
        '*[t] my_mod:My%& #1 $x$ {y} \\z ~ ^ <b> "q" | `c\' -- Żéß — “” … → α 中文 🙂 ąĐ\x00',
    )
    run = replace(
        run,
        manifest=replace(run.manifest, suite=name),
        cells=tuple(replace(row, method=name) if row.method == "tuned" else row for row in run.cells),
        scores=tuple(replace(row, method=name) if row.method == "tuned" else row for row in run.scores),
    )
    begin, end = "\\documentclass{article}\\usepackage{booktabs}\\begin{document}\n", "\\end{document}\n"
    (tmp_path / "a.tex").write_text(begin + as_latex(compare(run)) + end)
    command = ["pdflatex", "-halt-on-error", "-interaction=nonstopmode", "a.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:]
    assert b"Missing character" not in (tmp_path / "a.log").read_bytes()
