"""`bench votes`, from the page to the counted answers."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from bench.markdown import number

Bench = Callable[..., int]


def write_answers(run: Path, voter: str, choose: Callable[[str, str], str]) -> Path:
    """A voter who chooses by the methods of both sides, which no page shows."""
    (key,) = (run / "votes").glob("*.json")
    study = json.loads(key.read_text())
    answers = [
        {"comparison": i, "identity": choose(c["left"], c["right"]), "prompt": ""}
        for i, c in enumerate(study["comparisons"], start=1)
    ]
    content = {"study": key.stem, "run": study["run"], "seed": study["seed"], "voter": voter}
    path = run.parent / f"{voter}.json"
    path.write_text(json.dumps({"format": "personabench votes 1", **content, "answers": answers}))
    return path


def prefers_marked(left: str, right: str) -> str:
    return "left" if left == "marked" else "right"


def test_page_is_written_and_its_answers_are_counted(
    bench: Bench, suite_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert bench("votes", suite_run, "--comparisons", 12, "--seed", 3) == 0
    output = capsys.readouterr().out
    assert output.startswith(f"{suite_run / 'votes.html'}\n")
    assert "not for voters" in output
    files = [write_answers(suite_run, f"v{i}", prefers_marked) for i in range(5)]
    files.append(write_answers(suite_run, "undecided", lambda _, __: "tie"))
    assert bench("votes", suite_run, "--count", *files, "--json") == 0
    content = json.loads(capsys.readouterr().out)
    assert list(content["questions"]) == ["identity"]
    result = content["questions"]["identity"]
    assert (result["votes"], result["ties"]) == (72, 12)
    best, other = result["strengths"]
    assert (best["method"], best["wins"], best["ties"], best["losses"]) == ("marked", 60, 12, 0)
    assert best["estimate"]["mean"] == pytest.approx(-other["estimate"]["mean"])
    # Three people are too few for a verdict.
    assert result["differences"][0]["verdict"] == "not separable"
    assert result["differences"][0]["difference"]["low"] is None
    assert result["voters_agree"]["mean"] == 1
    assert bench("votes", suite_run, "--count", *files) == 0
    text = capsys.readouterr().out
    results = suite_run.parent / "results.md"
    assert bench("votes", suite_run, "--count", *files, "--output", results) == 0
    assert capsys.readouterr().out == ""
    assert results.read_text() == text
    estimate = best["estimate"]
    assert number(estimate["mean"], estimate["low"], estimate["high"]) in text
    for found in result["metrics"]:
        share = found["share"]
        title = f"{found['metric']} ({found['encoder']})" if found["encoder"] else found["metric"]
        assert f"| {title}" in text
        assert number(share["mean"], share["low"], share["high"]) in text


def test_damaged_file_is_named_and_the_exit_status_says_so(
    bench: Bench, suite_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert bench("votes", suite_run, "--comparisons", 12) == 0
    good = write_answers(suite_run, "v", prefers_marked)
    bad = suite_run.parent / "bad.json"
    bad.write_text("{")
    capsys.readouterr()
    assert bench("votes", suite_run, "--count", good, bad) == 3
    printed = capsys.readouterr()
    assert printed.err.startswith(f"bench: {bad}: not JSON")
    assert len(printed.err.splitlines()) == 1
    assert f"* refused: {bad}: not JSON" in printed.out
    assert "* no intervals and no verdicts: they need at least 5 voters and people" in printed.out


def test_wrong_use_is_refused_in_one_line(
    bench: Bench, suite_run: Path, people: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert bench("votes", suite_run, "a.json") == 2
    assert bench("votes", suite_run, "--methods", "marked") == 2
    assert bench("votes", suite_run, "--count") == 2
    assert bench("votes", suite_run, "--count", "a.json", "--methods", "marked") == 2
    assert bench("votes", suite_run, "--json") == 2
    people.rename(people.with_name("moved"))
    assert bench("votes", suite_run) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 6
    assert "files of answers need --count" in lines[0]
    assert "at least two methods; found marked" in lines[1]
    assert "no files of answers" in lines[2]
    assert "--methods chooses the rows of a new page" in lines[3]
    assert "--json is a format of counted votes" in lines[4]
    assert "voters need the reference photographs" in lines[5]
