"""Images without the subject: planned, generated, compared with the backbone's own, reported apart."""

import csv
from collections.abc import Callable
from pathlib import Path

import pytest
from fake_run import cell, column, finished_run, scores

from bench.analysis.comparison_table import compare
from bench.atomic_io import read_json
from bench.errors import SuiteError
from bench.report.markdown_report import head
from bench.report.sections.prior_drift import drift_section
from bench.runs.finished_run import read_run
from bench.runs.plan import ImageCounts, Plan, make_plan
from bench.subjects.identity import Identity, PhotoFile
from bench.suite.prompts import PRIOR, Prompt

Bench = Callable[..., int]
FAKE = "fake_method:FakeMethod"
OWN = "text-only"
DRIFT = column("drift", "eye", of="priors", better="lower")
BLEED = column("bleed", "face", of="priors", better="neither")


@pytest.fixture
def suite_with_priors(suite: Path) -> Path:
    """Two images without the subject; a row called text-only that needs no backbone."""
    text = suite.read_text().replace("recaptions = 1", "recaptions = 1\npriors = 2")
    text = text.replace('"fake_metrics:Gap"]', '"fake_metrics:Gap", "fake_metrics:Away"]')
    suite.write_text(text + f'\n[methods.{OWN}]\nlike = "{FAKE}"\npause = 0.001\n')
    return suite


def plan(no_priors: tuple[str, ...] = ()) -> Plan:
    who = Identity("ada", "woman", (), (PhotoFile(Path("x.png"), "{subject}"),))
    card = Prompt("hat", "{subject} in a hat")
    return make_plan(["a", "b"], [who], [card], ImageCounts(priors=2), seed=3, no_priors=no_priors)


def test_prior_prompts_contain_the_noun_and_no_subject() -> None:
    priors = [c for c in plan().cells if c.prompt.category == PRIOR]
    assert [c.id for c in priors[:2]] == ["a/ada/prior/s1", "a/ada/prior-green/s1"]
    assert [c.prompt.template for c in priors[:2]] == [
        "a photo of a woman",
        "a photo of a woman, green background",
    ]
    assert [c.seed for c in priors[:2]] == [c.seed for c in priors[2:]]


def test_method_that_generates_only_its_subject_has_no_prior_cells() -> None:
    assert {c.method for c in plan(("a",)).cells if c.prompt.category == PRIOR} == {"b"}


def test_prior_prompt_with_a_slot_is_refused() -> None:
    with pytest.raises(SuiteError, match="must not contain"):
        Prompt("x", "a photo of {subject}", PRIOR)


def test_prior_images_are_scored_in_their_own_columns_only(
    bench: Bench, suite_with_priors: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("run", "--suite", suite_with_priors, "--methods", f"{OWN},{FAKE}", "--out", "run")
    assert bench(*words) == 0
    with Path("run/scores.csv").open() as file:
        rows = list(csv.DictReader(file))
    away = [row for row in rows if row["metric"] == "away"]
    assert {(row["method"], row["category"]) for row in away} == {(FAKE, PRIOR)}
    assert len(away) == 3 * 2
    # One class generates both rows: only images of the same person, prompt and seed are equal.
    assert {row["value"] for row in away} == {"0.0"}
    others = [row for row in rows if row["metric"] != "away"]
    assert PRIOR not in {row["category"] for row in others}
    mine = [row for row in others if row["method"] == FAKE and row["metric"] == "length"]
    assert len(mine) == 3 * 3 * 2
    found = read_run(Path("run"))
    assert [c.column.name for c in compare(found).image_columns] == ["identity", "length"]
    assert "12 of them without the subject" in head(found)
    assert "## Without the subject" in Path("run/report.md").read_text()


def test_prior_images_are_generated_in_batches_of_their_own(bench: Bench, suite_with_priors: Path) -> None:
    assert bench("run", "--suite", suite_with_priors, "--methods", f"{OWN},{FAKE}", "--out", "run") == 0
    folder = Path("run/images", FAKE.replace(":", "+"), "ada")
    assert read_json(folder / "prior.s1.json")["batch"] == 2
    assert read_json(folder / "red-shirt.s1.json")["batch"] == 4


def test_column_without_the_backbones_own_row_has_a_reason(bench: Bench, suite_with_priors: Path) -> None:
    assert bench("run", "--suite", suite_with_priors, "--methods", FAKE, "--out", "run") == 0
    section = drift_section(compare(read_run(Path("run"))))
    assert "none of 6" in section
    assert "text-only is not among the run's methods" in section


def test_failed_prior_image_is_counted_in_its_own_column(bench: Bench, suite_with_priors: Path) -> None:
    text = suite_with_priors.read_text()
    suite_with_priors.write_text(text + f'\n[methods."{FAKE}"]\nfails_on = "photo of a woman"\n')
    assert bench("run", "--suite", suite_with_priors, "--methods", f"{OWN},{FAKE}", "--out", "run") == 3
    found = read_run(Path("run"))
    assert "none of 6" in drift_section(compare(found))
    rows = [row for row in found.scores if row.method == FAKE and not row.value]
    assert {(row.metric, row.category) for row in rows} == {("away", PRIOR)}
    # A quarter of the images is missing, and none of them belongs to the sets.
    assert all(row.value for row in found.sets if not row.left_out)


def known_section() -> str:
    people = ("ada", "bob", "cleo")
    with_priors = ("text-only", "tuned", "adapter")
    cells = [cell(m, who, "prior", "prior") for m in with_priors for who in people]
    cells += [cell("photo-copy", who, "p0") for who in people]
    rows = [
        row
        for i, who in enumerate(people)
        for c, tuned in ((DRIFT, 0.5 + 0.1 * i), (BLEED, 0.1))
        for m, value in (("tuned", tuned), ("adapter", 0.0))
        for row in scores(c, m, who, [value])
    ]
    return drift_section(compare(finished_run((DRIFT, BLEED), cells, rows)))


def test_report_shows_drift_and_bleed_of_all_methods_but_the_backbone() -> None:
    text = known_section()
    assert "drift (eye) ↓" in text
    assert "bleed (face) " in text
    assert not any(line.startswith("| text-only") for line in text.splitlines())
    tuned = next(line for line in text.splitlines() if line.startswith("| tuned"))
    assert "0.600 " in tuned


def test_report_notes_zeros_by_construction_and_methods_without_prior_images() -> None:
    text = known_section()
    assert "* adapter: identical to the backbone's images" in text
    assert "* photo-copy generates only its subject: not applicable" in text
    assert next(line for line in text.splitlines() if line.startswith("| photo-copy")).count(" - ") == 2


def test_run_without_prior_images_has_no_section() -> None:
    assert drift_section(compare(finished_run((DRIFT,), [cell("a", "ada", "p0")], []))) == ""
