"""Variance between people, fits and images: known answers, and intervals that contain the fits' part."""

from dataclasses import replace

import numpy as np
import pytest
from fake_run import cell, column, finished_run, scores
from numpy.typing import NDArray

from bench.analysis.comparison_table import compare
from bench.analysis.fit_variance import components, fit_variance
from bench.analysis.statistics import estimate
from bench.report.formats.export import as_json
from bench.report.sections.caveats import notes
from bench.report.sections.fit_variance import fit_variance_section

PEOPLE_SD, FIT_SD, IMAGE_SD = 0.3, 0.2, 0.4
PROMPTS = 4
IDENTITY = column("identity", "sface")


def simulated(rng: np.random.Generator, people: int, fits: int, fit_sd: float) -> NDArray[np.float64]:
    """Scores (people, fits, prompts) with effects of people, fits, prompts and images."""
    return (
        rng.normal(0, PEOPLE_SD, (people, 1, 1))
        + rng.normal(0, fit_sd, (people, fits, 1))
        + np.array([-1.0, 0.0, 1.0, 3.0])
        + rng.normal(0, IMAGE_SD, (people, fits, PROMPTS))
    )


def test_components_of_a_large_design_are_those_that_were_put_in() -> None:
    found = components(list(simulated(np.random.default_rng(0), 3000, 3, FIT_SD)))
    assert (found.people, found.fits) == (3000, 3)
    assert found.between_people == pytest.approx(PEOPLE_SD, rel=0.05)
    assert found.between_fits == pytest.approx(FIT_SD, rel=0.05)
    assert found.between_images == pytest.approx(IMAGE_SD / PROMPTS**0.5, rel=0.03)


def test_fits_that_learn_the_same_differ_by_their_images_only() -> None:
    found = components(list(simulated(np.random.default_rng(1), 3000, 3, 0.0)))
    assert found.between_fits < 0.03
    assert found.between_images == pytest.approx(IMAGE_SD / PROMPTS**0.5, rel=0.03)


def test_refitting_moves_the_mean_of_the_same_people_as_predicted() -> None:
    rng = np.random.default_rng(2)
    of_people = rng.normal(0, PEOPLE_SD, (10, 1, 1))
    runs = [of_people + rng.normal(0, FIT_SD, (10, 2, 1)) for _ in range(2000)]
    runs = [run + rng.normal(0, IMAGE_SD, (10, 2, PROMPTS)) for run in runs]
    predicted = np.mean([components(list(run)).on_refitting ** 2 for run in runs]) ** 0.5
    assert predicted == pytest.approx(np.std([run.mean() for run in runs]), rel=0.06)


@pytest.mark.parametrize("fits", [1, 3])
def test_intervals_contain_the_chance_of_the_fits(fits: int) -> None:
    rng = np.random.default_rng(3)
    pairs = [(person, prompt) for person in range(12) for _ in range(fits) for prompt in range(PROMPTS)]
    covered = 0
    for _ in range(400):
        run = simulated(rng, 12, fits, 0.5)
        run -= np.array([-1.0, 0.0, 1.0, 3.0])
        found = estimate(run.ravel(), pairs)
        covered += found.low < 0 < found.high  # type: ignore[operator]
    # Two standard errors of the simulation, .022, around .925 to .975.
    assert 0.90 <= covered / 400 <= 0.997


def test_a_run_with_several_fits_reports_them() -> None:
    values = simulated(np.random.default_rng(4), 6, 2, FIT_SD)
    cells, rows = [], []
    for number, person in enumerate(values):
        for fit in (1, 2):
            for i in range(PROMPTS):
                cells.append(replace(cell("tuned", f"p{number}", f"p{i}", fit=fit), sample=fit))
            made = scores(IDENTITY, "tuned", f"p{number}", list(map(float, person[fit - 1])))
            rows += [replace(row, sample=fit) for row in made]
    run = finished_run([IDENTITY], cells, rows)
    found, expected = fit_variance(run, "tuned", IDENTITY), components(list(values))
    assert found == expected
    section = fit_variance_section(compare(run))
    assert f"6 x 2         | {expected.between_people:.4f}" in section
    assert '"fit_variance": [\n  {' in as_json(compare(run))
    assert "fitted once" not in "".join(notes(run))


def test_a_run_with_one_fit_says_so() -> None:
    people = [f"p{i}" for i in range(6)]
    cells = [cell("tuned", who, f"p{i}") for who in people for i in range(3)]
    run = finished_run(
        [IDENTITY], cells, [r for who in people for r in scores(IDENTITY, "tuned", who, [0.1, 0.2, 0.3])]
    )
    assert fit_variance_section(compare(run)) == ""
    assert "Each person was fitted once" in "".join(notes(run))
