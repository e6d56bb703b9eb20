"""Files of answers: good ones count, others are refused in one line."""

import json
from pathlib import Path
from typing import Any

import pytest

from bench.errors import ReportError
from bench.runs.finished_run import FinishedRun
from bench.votes.answers import read_ballots
from bench.votes.study import Study, make_study, write_study


@pytest.fixture
def study(run: FinishedRun) -> Study:
    found = make_study(run, (), 10, 5)
    write_study(run.path, found)
    return found


def content(study: Study, voter: str = "v1", **changes: Any) -> dict[str, Any]:
    answers = [
        {"comparison": 1, "identity": "left", "prompt": "tie", "knows_person": True},
        {"comparison": 10, "identity": "", "prompt": "right"},
    ]
    return {
        "format": "personabench votes 1",
        "study": study.id,
        "run": study.run,
        "seed": 5,
        "voter": voter,
        "answers": answers,
        **changes,
    }


def saved(path: Path, value: Any) -> Path:
    path.write_text(value if isinstance(value, str) else json.dumps(value))
    return path


def test_votes_are_those_of_the_file(run: FinishedRun, study: Study, tmp_path: Path) -> None:
    ballots = read_ballots(run, [saved(tmp_path / "a.json", content(study))])
    (identity,) = ballots.votes["identity"]
    assert (identity.voter, identity.outcome, identity.knows_person) == ("v1", 1, True)
    assert identity.comparison == study.comparisons[0]
    assert [vote.outcome for vote in ballots.votes["prompt"]] == [0, -1]
    assert (ballots.voters, ballots.studies, ballots.refused) == (("v1",), (study,), ())


DAMAGED: dict[str, Any] = {
    "(char 1); expected a file saved by the page": "{",
    "is not a table": "[1, 2]",
    "not JSON: nested too deeply": "[" * 100_000,
    "format = 'other'": {"format": "other"},
    "the key 'seed' is missing": {"seed": ...},
    "unknown key 'extra'": {"extra": 1},
    "votes on other images than those in": {"run": "0" * 16},
    "study '0000' is not in": {"study": "0000"},
    "seed 6, the study has 5": {"seed": 6},
    "the voter is ''": {"voter": ""},
    "the voter is 'a\\n# b'": {"voter": "a\n# b"},
    "comparison 11, the study has 10": {
        "answers": [{"comparison": 11, "identity": "left", "prompt": "left"}]
    },
    "comparison 2 is answered 2 times": {
        "answers": [{"comparison": 2, "identity": "left", "prompt": "tie"}] * 2
    },
    "comparison = 0; expected a number": {
        "answers": [{"comparison": 0, "identity": "left", "prompt": "tie"}]
    },
    "identity = 'best'": {"answers": [{"comparison": 1, "identity": "best", "prompt": "tie"}]},
    "knows_person = 'yes'; expected true or false": {
        "answers": [{"comparison": 1, "identity": "left", "prompt": "tie", "knows_person": "yes"}]
    },
}


@pytest.mark.parametrize("message", DAMAGED)
def test_damaged_file_is_refused_in_one_line_and_the_others_count(
    message: str, run: FinishedRun, study: Study, tmp_path: Path
) -> None:
    value = DAMAGED[message]
    if isinstance(value, dict):
        value = {k: v for k, v in {**content(study, "bad"), **value}.items() if v is not ...}
    bad = saved(tmp_path / "bad.json", value)
    ballots = read_ballots(run, [saved(tmp_path / "good.json", content(study)), bad])
    (line,) = ballots.refused
    assert line.startswith(f"{bad}: ")
    assert message in line
    assert "\n" not in line
    assert ballots.voters == ("v1",)
    assert len(ballots.votes["identity"]) == 1


def test_voter_counts_once(run: FinishedRun, study: Study, tmp_path: Path) -> None:
    files = [saved(tmp_path / f"{i}.json", content(study)) for i in range(2)]
    ballots = read_ballots(run, files)
    assert len(ballots.votes["identity"]) == 1
    assert ballots.refused == (
        f"{files[1]}: voter 'v1' has answered this study in {files[0]} too; keep the later file",
    )


def test_without_a_usable_file_nothing_is_counted(run: FinishedRun, study: Study, tmp_path: Path) -> None:
    with pytest.raises(ReportError, match="no files of answers"):
        read_ballots(run, [])
    with pytest.raises(ReportError, match="cannot be read"):
        read_ballots(run, [tmp_path / "none.json"])
