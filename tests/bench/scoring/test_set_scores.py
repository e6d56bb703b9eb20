"""Set metrics on equally large sets."""

from dataclasses import dataclass
from functools import partial

import numpy as np
import pytest
from fake_metrics import Gap
from PIL import Image

from bench.runs.tables import REAL_SET, SetRow
from bench.scoring.set_scores import MAX_OPEN, SetImage, SetSubject, set_rows
from metrics.interface import Features, Score


def shade(value: int) -> Image.Image:
    return Image.new("RGB", (4, 4), (value, value, value))


def subject(label: str, people: int, each: int, value: int, planned: int | None = None) -> SetSubject:
    images = tuple(
        SetImage(f"{label}/p{person}/hat/s{i}", f"p{person}", partial(shade, value + person + i))
        for person in range(people)
        for i in range(each)
    )
    return SetSubject(label, planned or len(images), images)


def rows(subjects: list[SetSubject], real: int = 40, metric: object = None) -> list[SetRow]:
    photos = [partial(shade, 100 + i % 20) for i in range(real)]
    return list(set_rows(metric or Gap(), subjects, photos, fingerprint="f", seed=3))  # type: ignore[arg-type]


def whole(found: list[SetRow]) -> dict[str, SetRow]:
    return {row.method: row for row in found if not row.left_out}


def test_all_rows_have_equally_many_images_and_the_same_photos() -> None:
    found = whole(rows([subject("a", 4, 4, 100), subject("b", 4, 3, 100)]))
    assert {row.n for row in found.values()} == {12}
    assert {row.against for row in found.values()} == {28}
    assert set(found) == {"a", "b", REAL_SET}


def test_few_real_photos_limit_the_number_of_images() -> None:
    found = whole(rows([subject("a", 4, 4, 100)], real=20))
    assert {(row.n, row.against) for row in found.values()} == {(10, 10)}


def test_method_with_many_missing_images_is_refused_and_does_not_lower_the_common_number() -> None:
    found = whole(rows([subject("a", 4, 4, 100), subject("lost", 1, 3, 100, planned=16)]))
    assert found["a"].n == 16
    assert found["lost"].value is None
    assert "3 of 16 images" in found["lost"].reason


def test_each_person_is_left_out_once() -> None:
    found = [row for row in rows([subject("a", 4, 4, 100)]) if row.left_out]
    assert [row.left_out for row in found] == ["p0", "p1", "p2", "p3"]
    assert {row.n for row in found} == {12}


def test_real_photos_are_nearer_to_each_other_than_to_other_images() -> None:
    found = whole(rows([subject("near", 4, 4, 100), subject("far", 4, 4, 200)]))
    assert found[REAL_SET].value < found["far"].value
    assert found["near"].value < found["far"].value


@dataclass(frozen=True)
class CountShared(Gap):
    """Counts the images that both sets contain."""

    def features(self, images: list[Image.Image]) -> Features:
        return np.arange(len(images), dtype=float)[:, None]

    def measure(self, generated: Features, real: Features) -> Score:
        return Score(float(len({*generated.ravel()} & {*real.ravel()})))


def test_two_parts_of_the_real_photos_are_disjoint() -> None:
    assert whole(rows([subject("a", 4, 4, 100)], metric=CountShared()))[REAL_SET].value == 0.0


def test_number_of_open_images_is_limited() -> None:
    opened: list[int] = []

    @dataclass(frozen=True)
    class CountOpen(Gap):
        def features(self, images: list[Image.Image]) -> Features:
            opened.append(len(images))
            return np.zeros((len(images), 1))

    rows([subject("a", 4, 4, 100)], real=3 * MAX_OPEN + 1, metric=CountOpen())
    assert max(opened) == MAX_OPEN
    assert sum(opened) == 3 * MAX_OPEN + 1 + 16


@pytest.mark.parametrize("seed", [0, 1])
def test_same_cells_of_all_methods_are_used(seed: int) -> None:
    photos = [partial(shade, 100)] * 12
    subjects = [subject("a", 4, 4, 100), subject("b", 4, 4, 100)]
    found = whole(list(set_rows(Gap(), subjects, photos, fingerprint="f", seed=seed)))  # type: ignore[arg-type]
    assert found["a"].n == 6
    assert found["a"].value == found["b"].value
