"""Images that show nothing are scored by no metric and are in no set; their rows state why."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from bench.datasets.registry import open_people
from bench.runs.records.tables import CELLS, CellRow, ScoreRow, read_rows
from bench.runs.run_folder import RunFolder
from bench.scoring.inputs import ScoringInputs
from bench.scoring.samples import calibration_photos, load_identity_images
from bench.scoring.score import ScoringContext, _score_images, _set_subject
from bench.scoring.suite_metrics import build_metrics
from bench.suite.suite import open_suite

LABEL = "fake_method:FakeMethod"


@pytest.fixture
def inputs_with(run_folder: Path, suite: Path) -> Callable[..., ScoringInputs]:
    """The inputs of a finished run, with a flaw in all images of one prompt of one row."""
    text = suite.read_text()
    suite.write_text(text.replace('"fake_metrics:Gap"', '"fake_metrics:Gap", "fake_metrics:Away"'))
    cells = read_rows(run_folder / CELLS, CellRow)
    images = run_folder / "images"
    own = images / LABEL.replace(":", "+")
    for cell in [cell for cell in cells if cell.prompt == "red-shirt"]:
        copied = own / cell.identity / f"prior.s{cell.sample}.png"
        copied.write_bytes((own / cell.identity / f"red-shirt.s{cell.sample}.png").read_bytes())
        cells.append(replace(cell, cell=f"{cell.cell}-prior", prompt="prior", category="prior"))
    # A second row with the same images, as the backbone alone.
    floor = [replace(cell, method="text-only", cell=f"text-only/{cell.cell}") for cell in cells]
    (images / "text-only").symlink_to(own)

    def inputs(flaw: str, method: str, prompt: str) -> ScoringInputs:
        file = open_suite(str(suite))
        people = open_people(file.suite.dataset, file.base)
        changed = [
            replace(cell, flaw=flaw) if (cell.method, cell.prompt) == (method, prompt) else cell
            for cell in (*cells, *floor)
        ]
        metrics = build_metrics(file.suite)
        return ScoringInputs(RunFolder(run_folder), file.suite, people, changed, metrics, 0, "text-only")

    return inputs


def scored(inputs: ScoringInputs) -> list[ScoreRow]:
    identities = load_identity_images(inputs.people.chosen, inputs.suite)
    context = ScoringContext(inputs.metrics, calibration_photos(identities), lambda _: None)
    return list(_score_images(inputs, identities, context))


@pytest.mark.parametrize("flaw", ["black", "constant", "nan"])
def test_no_metric_scores_an_image_without_content(
    flaw: str, inputs_with: Callable[..., ScoringInputs]
) -> None:
    inputs = inputs_with(flaw, LABEL, "red-shirt")
    rows = scored(inputs)
    flawed = [row for row in rows if (row.method, row.prompt) == (LABEL, "red-shirt")]
    assert {row.metric for row in flawed} == {"identity", "length"}
    assert len(flawed) == 2 * 3 * 2
    assert {(row.value, row.reason) for row in flawed} == {(None, f"the image is {flaw}")}
    others = [row for row in rows if row.method == LABEL and row.prompt != "red-shirt"]
    assert all(row.value is not None for row in others)
    # Every cell has one row per metric, scored or not.
    places = [(r.method, r.identity, r.prompt, r.sample, r.metric) for r in rows]
    assert len(set(places)) == len(places)


def test_class_image_without_content_is_not_scored(inputs_with: Callable[..., ScoringInputs]) -> None:
    rows = scored(inputs_with("black", LABEL, "prior"))
    flawed = [row for row in rows if row.metric == "away"]
    assert {(row.value, row.reason) for row in flawed} == {(None, "the image is black")}


def test_class_image_of_the_backbone_without_content_is_compared_with_nothing(
    inputs_with: Callable[..., ScoringInputs],
) -> None:
    rows = scored(inputs_with("black", "text-only", "prior"))
    drift = [row for row in rows if row.metric == "away"]
    assert drift
    assert {(row.value, row.reason) for row in drift} == {(None, "the image of text-only is black")}


def test_sets_contain_no_image_without_content(inputs_with: Callable[..., ScoringInputs]) -> None:
    whole = _set_subject(LABEL, inputs_with("black", LABEL, "nothing"))
    fewer = _set_subject(LABEL, inputs_with("black", LABEL, "red-shirt"))
    assert (len(whole.images), whole.planned) == (18, 18)
    assert (len(fewer.images), fewer.planned) == (12, 18)
    assert not any("red-shirt" in image.cell for image in fewer.images)
