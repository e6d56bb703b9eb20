"""Set metrics at matched numbers."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import pytest
from fake_metrics import Gap
from numpy.typing import NDArray
from PIL import Image

from bench.runs.records.tables import REAL_SET, REAL_SET_SAME, REAL_SETS, SetRow
from bench.scoring.set_scores import MAX_OPEN, RealPhotos, SetImage, SetSubject, match_sets, set_rows
from metrics.interface import Features, Score


def shade(value: int) -> Image.Image:
    return Image.new("RGB", (4, 4), (value, value, value))


def subject(
    label: str,
    people: int,
    each: int,
    value: int,
    planned: int | None = None,
    lost: Sequence[tuple[int, int]] = (),
) -> SetSubject:
    """`each` images of every person, without those (person, sample) that are lost."""
    images = tuple(
        SetImage((f"p{person}", "hat", i), partial(shade, value + person + i))
        for person in range(people)
        for i in range(each)
        if (person, i) not in lost
    )
    return SetSubject(label, planned or people * each, images)


def photos(people: int = 4, references: int = 2, held_out: int = 6, others: int = 8) -> RealPhotos:
    """Photographs as bright as images of value 100; every photograph is another object."""

    def some(count: int, base: int) -> list[partial[Image.Image]]:
        return [partial(shade, 100 + (base + i) % 20) for i in range(count)]

    return RealPhotos(
        {f"p{i}": some(references, i) for i in range(people)},
        {f"p{i}": some(held_out, i + 2) for i in range(people)},
        some(others, 7),
    )


def rows(subjects: list[SetSubject], real: RealPhotos | None = None, metric: object = None) -> list[SetRow]:
    real = real or photos()
    return list(set_rows(metric or Gap(), subjects, real, fingerprint="f", seed=3))  # type: ignore[arg-type]


def whole(found: list[SetRow]) -> dict[str, SetRow]:
    return {row.method: row for row in found if not row.left_out}


def test_every_row_is_measured_by_equally_many_images_against_the_same_photos() -> None:
    found = whole(rows([subject("a", 4, 4, 100), subject("b", 4, 3, 100)]))
    assert {row.n for row in found.values()} == {12}
    # Per person the row has 2 references and 1 held-out photograph; 5 held-out ones remain.
    assert {row.against for row in found.values()} == {4 * 5 + 8}
    assert set(found) == {"a", "b", REAL_SET_SAME}


def test_the_real_row_has_as_many_photos_of_each_person_as_a_method() -> None:
    real = photos()
    matched = match_sets([subject("a", 4, 4, 100)], real, seed=3)
    methods = Counter(cell[0] for cell in matched.cells)
    assert methods == Counter(person for person, _ in matched.row) == dict.fromkeys(real.held_out, 4)
    own = {id(load): who for who in real.held_out for load in (*real.references[who], *real.held_out[who])}
    assert all(own[id(load)] == person for person, load in matched.row)


def test_no_photo_of_the_row_and_no_reference_is_among_those_to_compare_with() -> None:
    real = photos()
    matched = match_sets([subject("a", 4, 1, 100)], real, seed=3)
    against = {id(load) for load in matched.against}
    assert not against & {id(load) for _, load in matched.row}
    assert not against & {id(load) for loads in real.references.values() for load in loads}
    assert len(against) == 4 * 6 + 8


def test_few_photos_of_the_people_bound_the_number() -> None:
    found = whole(rows([subject("a", 4, 10, 100)], photos(others=30)))
    assert {(row.n, row.against) for row in found.values()} == {(31, 31)}


def test_far_too_few_photos_of_the_people_leave_the_real_row_empty() -> None:
    found = whole(rows([subject("a", 4, 20, 100)], photos(references=1, held_out=2, others=200)))
    assert (found["a"].n, found["a"].against) == (80, 208)
    assert found[REAL_SET_SAME].value is None
    assert found[REAL_SET_SAME].reason == "12 photographs of the run's people for 80 images of each method"


def test_a_perfect_method_of_the_same_people_has_the_value_of_the_real_row() -> None:
    """Photographs of a person are alike: a row of everybody would be closer to the others than any method."""

    def photo(person: int, view: int) -> Image.Image:
        return shade(20 * person + view)

    def of(people: range, views: range) -> dict[str, list[partial[Image.Image]]]:
        return {f"p{i:02}": [partial(photo, i, view) for view in views] for i in people}

    chosen, others = range(0, 4), of(range(4, 12), range(8))
    real = RealPhotos(
        of(chosen, range(2)), of(chosen, range(2, 8)), [p for own in others.values() for p in own]
    )
    perfect = tuple(
        SetImage((f"p{i:02}", "hat", view), partial(photo, i, view)) for i in chosen for view in range(8, 14)
    )
    found = whole(rows([SetSubject("perfect", len(perfect), perfect)], real))
    assert found["perfect"].value == pytest.approx(found[REAL_SET_SAME].value or 0, rel=0.15)


def test_a_method_that_lost_many_images_is_refused_and_lowers_nobodys_number() -> None:
    found = whole(rows([subject("a", 4, 4, 100), subject("lost", 1, 3, 100, planned=16)]))
    assert found["a"].n == 16
    assert found["lost"].value is None
    assert "3 of 16 images" in found["lost"].reason


def test_one_person_at_a_time_is_left_out() -> None:
    found = [row for row in rows([subject("a", 4, 4, 100)]) if row.left_out]
    for label in ("a", REAL_SET_SAME):
        own = [row for row in found if row.method == label]
        assert [row.left_out for row in own] == ["p0", "p1", "p2", "p3"]
        assert {row.n for row in own} == {12}


@dataclass(frozen=True)
class AtLeast(Gap):
    """Gives no score for sets of fewer than 12 images, or with any number of the person p3 left out."""

    min_images: int = 12

    def measure(self, generated: Features, real: Features) -> Score:
        if len(generated) < self.min_images:
            return Score(None, f"{len(generated)} images, expected {self.min_images}")
        return super().measure(generated, real)


def test_a_refused_set_leaves_no_interval_of_the_others() -> None:
    unequal = SetSubject("a", 17, (*subject("a", 4, 4, 100).images, *subject("a", 1, 9, 100).images[4:]))
    real = photos(references=4, held_out=20, others=60)
    found = [row for row in rows([unequal], real, AtLeast(min_images=13)) if row.method == "a"]
    assert (found[0].n, found[0].value is None) == (21, False)
    without = {row.left_out: row for row in found[1:]}
    assert [row.n for row in without.values()] == [12, 17, 17, 17]
    for row in without.values():
        assert row.value is None
        assert row.reason == "no interval: without p0, 12 images, expected 13"


@dataclass(frozen=True)
class WithRest(Gap):
    """A metric with random choices: notes that it is asked for the rest of a whole set."""

    def measure_rest(self, generated: Features, real: Features, rest: NDArray[np.bool_]) -> Score:
        return Score(1000.0 * len(generated) + rest.sum())


def test_a_metric_with_random_choices_gets_the_whole_set_with_the_rows_that_remain() -> None:
    found = [row.value for row in rows([subject("a", 4, 4, 100)], metric=WithRest()) if row.left_out]
    assert set(found) == {16_012.0}


def test_real_photos_are_nearer_to_each_other_than_pictures_of_another_world() -> None:
    found = whole(rows([subject("near", 4, 4, 100), subject("far", 4, 4, 200)]))
    assert found[REAL_SET_SAME].value < found["far"].value
    assert found["near"].value < found["far"].value


def test_many_photos_are_never_open_together() -> None:
    opened: list[int] = []

    @dataclass(frozen=True)
    class Counts(Gap):
        def features(self, images: list[Image.Image]) -> Features:
            opened.append(len(images))
            return np.zeros((len(images), 1))

    rows([subject("a", 4, 4, 100)], photos(others=3 * MAX_OPEN), Counts())
    assert max(opened) == MAX_OPEN
    against = 4 * 4 + 3 * MAX_OPEN
    assert sum(opened) == against + 2 * 16


@pytest.mark.parametrize("seed", [0, 1])
def test_only_cells_of_which_every_method_has_an_image_are_measured(seed: int) -> None:
    """Chosen by position, the cells after a lost one would be compared with their neighbours."""
    complete = subject("a", 4, 10, 0)
    gaps = subject("b", 4, 10, 0, lost=[(0, 0), (1, 3), (3, 9)])
    found = list(set_rows(Gap(), [complete, gaps], photos(), fingerprint="f", seed=seed))  # type: ignore[arg-type]
    values = {row.method: row.value for row in found if not row.left_out}
    assert values["a"] == values["b"]
    matched = match_sets([complete, gaps], photos(references=6, others=80), seed)
    lost = {("p0", "hat", 0), ("p1", "hat", 3), ("p3", "hat", 9)}
    assert len(matched.cells) == 37
    assert not lost & set(matched.cells)


def test_reports_of_old_runs_find_the_row_of_anybody() -> None:
    assert REAL_SETS == (REAL_SET_SAME, REAL_SET)
    assert REAL_SET == "real (disjoint half)"
