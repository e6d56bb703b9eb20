"""Pictures of somebody else: planned, drawn, judged beside the backbone's own, and reported apart."""

import csv
from collections.abc import Callable
from pathlib import Path

import pytest
from fake_run import cell, column, finished_run, scores

from bench.analysis.comparisons import picture_columns
from bench.atomic_io import read_json
from bench.errors import SuiteError
from bench.report.markdown_report import head
from bench.report.sections.prior_drift import drift
from bench.runs.finished_run import read_run
from bench.runs.plan import Plan, make_plan
from bench.subjects.identity import Identity, PhotoFile
from bench.suite.prompts import PRIOR, Prompt

Bench = Callable[..., int]
FAKE = "fake_method:FakeMethod"
OWN = "text-only"
DRIFT = column("drift", "eye", of="priors", better="lower")
BLEED = column("bleed", "face", of="priors", better="neither")


@pytest.fixture
def suite_with_priors(suite: Path) -> Path:
    """Two pictures of somebody else; a row called text-only that needs no backbone."""
    text = suite.read_text().replace("recaptions = 1", "recaptions = 1\npriors = 2")
    text = text.replace('"fake_metrics:Gap"]', '"fake_metrics:Gap", "fake_metrics:Away"]')
    suite.write_text(text + f'\n[methods.{OWN}]\nlike = "{FAKE}"\npause = 0.001\n')
    return suite


def plan(no_priors: tuple[str, ...] = ()) -> Plan:
    who = Identity("ada", "woman", (), (PhotoFile(Path("x.png"), "{subject}"),))
    card = Prompt("hat", "{subject} in a hat")
    return make_plan(
        ["a", "b"], [who], [card], recaptions=0, samples=1, seed=3, priors=2, no_priors=no_priors
    )


def test_prior_cells_name_the_noun_and_nobody() -> None:
    priors = [c for c in plan().cells if c.prompt.category == PRIOR]
    assert [c.id for c in priors] == ["a/ada/prior/s1", "a/ada/prior/s2", "b/ada/prior/s1", "b/ada/prior/s2"]
    assert {c.prompt.template for c in priors} == {"a photo of a woman"}
    assert [c.seed for c in priors[:2]] == [c.seed for c in priors[2:]]


def test_a_method_that_draws_nothing_but_its_subject_has_none() -> None:
    assert {c.method for c in plan(("a",)).cells if c.prompt.category == PRIOR} == {"b"}


def test_a_prior_prompt_with_a_slot_is_refused() -> None:
    with pytest.raises(SuiteError, match="has no slot"):
        Prompt("x", "a photo of {subject}", PRIOR)


def test_prior_pictures_enter_their_own_columns_and_no_other(
    bench: Bench, suite_with_priors: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("run", "--suite", suite_with_priors, "--methods", f"{OWN},{FAKE}", "--out", "run")
    assert bench(*words) == 0
    with Path("run/scores.csv").open() as file:
        rows = list(csv.DictReader(file))
    away = [row for row in rows if row["metric"] == "away"]
    assert {(row["method"], row["category"]) for row in away} == {(FAKE, PRIOR)}
    assert len(away) == 3 * 2
    # One class draws both rows: only pictures of the same person, prompt and seed are alike.
    assert {row["value"] for row in away} == {"0.0"}
    others = [row for row in rows if row["metric"] != "away"]
    assert PRIOR not in {row["category"] for row in others}
    mine = [row for row in others if row["method"] == FAKE and row["metric"] == "length"]
    assert len(mine) == 3 * 3 * 2
    found = read_run(Path("run"))
    assert [c.name for c in picture_columns(found)] == ["identity", "length"]
    assert "12 of them of somebody else" in head(found)
    assert "## Without the subject" in Path("run/report.md").read_text()


def test_prior_pictures_are_drawn_in_batches_of_their_own(bench: Bench, suite_with_priors: Path) -> None:
    assert bench("run", "--suite", suite_with_priors, "--methods", f"{OWN},{FAKE}", "--out", "run") == 0
    folder = Path("run/images", FAKE.replace(":", "+"), "ada")
    assert read_json(folder / "prior.s1.json")["batch"] == 2
    assert read_json(folder / "red-shirt.s1.json")["batch"] == 4


def test_without_the_backbones_own_row_the_column_says_why_it_is_empty(
    bench: Bench, suite_with_priors: Path
) -> None:
    assert bench("run", "--suite", suite_with_priors, "--methods", FAKE, "--out", "run") == 0
    section = drift(read_run(Path("run")))
    assert "none of 6" in section
    assert "text-only is not among the run's methods" in section


def test_a_prior_picture_that_failed_is_counted_in_its_own_column(
    bench: Bench, suite_with_priors: Path
) -> None:
    text = suite_with_priors.read_text()
    suite_with_priors.write_text(text + f'\n[methods."{FAKE}"]\nfails_on = "photo of a woman"\n')
    assert bench("run", "--suite", suite_with_priors, "--methods", f"{OWN},{FAKE}", "--out", "run") == 3
    found = read_run(Path("run"))
    assert "none of 6" in drift(found)
    rows = [row for row in found.scores if row.method == FAKE and not row.value]
    assert {(row.metric, row.category) for row in rows} == {("away", PRIOR)}
    # A quarter of its pictures are missing, and none of them belongs to the sets.
    assert all(row.value for row in found.sets if not row.left_out)


def known() -> str:
    people = ("ada", "bob", "cleo")
    asked = ("text-only", "tuned", "adapter")
    cells = [cell(m, who, "prior", "prior") for m in asked for who in people]
    cells += [cell("photo-copy", who, "p0") for who in people]
    rows = [
        row
        for i, who in enumerate(people)
        for c, tuned in ((DRIFT, 0.5 + 0.1 * i), (BLEED, 0.1))
        for m, value in (("tuned", tuned), ("adapter", 0.0))
        for row in scores(c, m, who, [value])
    ]
    return drift(finished_run((DRIFT, BLEED), cells, rows))


def test_the_report_shows_drift_and_bleed_of_all_but_the_backbone() -> None:
    text = known()
    assert "drift (eye) ↓" in text
    assert "bleed (face) " in text
    assert not any(line.startswith("| text-only") for line in text.splitlines())
    tuned = next(line for line in text.splitlines() if line.startswith("| tuned"))
    assert "0.600 [" in tuned


def test_the_report_says_where_zero_is_by_construction_and_what_does_not_apply() -> None:
    text = known()
    assert "* adapter: the backbone's own pictures, unchanged" in text
    assert "* photo-copy draws nothing but its subject: not applicable" in text
    assert next(line for line in text.splitlines() if line.startswith("| photo-copy")).count(" - ") == 2


def test_a_run_without_such_pictures_has_no_such_section() -> None:
    assert drift(finished_run((DRIFT,), [cell("a", "ada", "p0")], [])) == ""
