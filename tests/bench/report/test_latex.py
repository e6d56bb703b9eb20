"""LaTeX of the comparison table."""

import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from known_run import known_run

from bench.analysis.comparison_table import compare
from bench.report.latex import as_latex, escaped


def test_special_characters_of_names_are_text() -> None:
    assert escaped(r"a_b&c 50% $x$ #1 {y} \z ~ ^") == (
        r"a\_b\&c 50\% \$x\$ \#1 \{y\} \textbackslash{}z \textasciitilde{} \textasciicircum{}"
    )


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
def test_pdflatex_reads_it(tmp_path: Path) -> None:
    text = as_latex(compare(known_run()))
    document = "\\documentclass{article}\\usepackage{booktabs}\\begin{document}" + text + "\\end{document}"
    (tmp_path / "a.tex").write_text(document)
    subprocess.run(
        ["pdflatex", "-halt-on-error", "a.tex"], cwd=tmp_path, check=True, stdout=subprocess.DEVNULL
    )
