"""Copies across the split: found when recompressed, scaled, brightened or mirrored; views are no copies."""

import io
from collections.abc import Callable
from itertools import combinations
from pathlib import Path

import pytest
from PIL import Image, ImageEnhance, ImageOps

from bench.datasets.registry import open_people
from bench.errors import DatasetError
from bench.subjects.near_duplicates import NEAR, ImageSignature, bits_apart, near_copies, signature_of
from bench.suite.suite import DatasetSettings


@pytest.fixture(scope="module")
def people() -> list[list[Image.Image]]:
    """Everybody's photographs that ship."""
    chosen = open_people(DatasetSettings("rendered"), Path()).chosen
    return [[photo.load() for photo in (*who.references, *who.held_out)] for who in chosen]


def looks(photos: list[Image.Image]) -> list[ImageSignature]:
    return [signature_of(str(number), photo) for number, photo in enumerate(photos)]


def test_no_two_views_of_a_shipped_person_are_taken_for_copies(people: list[list[Image.Image]]) -> None:
    nearest = min(
        min(bits_apart(a.bits, b.bits) or 0, bits_apart(a.bits, b.mirrored) or 0)
        for photos in people
        for a, b in combinations(looks(photos), 2)
    )
    assert nearest > NEAR


def recompressed(photo: Image.Image) -> Image.Image:
    content = io.BytesIO()
    photo.save(content, "JPEG", quality=85)
    return Image.open(content).convert("RGB")


def half(photo: Image.Image) -> Image.Image:
    return photo.resize((photo.width // 2, photo.height // 2), Image.Resampling.LANCZOS)


def brighter(photo: Image.Image) -> Image.Image:
    return ImageEnhance.Brightness(photo).enhance(1.15)


@pytest.mark.parametrize("change", [recompressed, half, brighter, ImageOps.mirror])
def test_a_changed_copy_is_found(
    change: Callable[[Image.Image], Image.Image], people: list[list[Image.Image]]
) -> None:
    photos = [person[0] for person in people]
    found = sum(
        bool(near_copies("ada", [signature_of("a", photo)], [signature_of("b", change(photo))]))
        for photo in photos
    )
    assert found >= 0.9 * len(photos)


def test_the_line_says_who_and_which(people: list[list[Image.Image]]) -> None:
    seen, held = signature_of("01.webp", people[0][0]), signature_of("07.webp", ImageOps.mirror(people[0][0]))
    assert near_copies("ada", [seen], [held]) == [
        "ada: 07.webp is held out and nearly the reference 01.webp, mirrored (0 of 256 bits apart)"
    ]


def test_one_picture_as_reference_and_held_out_is_refused(people: list[list[Image.Image]]) -> None:
    photo = people[0][0]
    with pytest.raises(DatasetError, match=r"a\.png and b\.webp are one picture"):
        near_copies("ada", [signature_of("a.png", photo)], [signature_of("b.webp", photo.copy())])


def test_flat_pictures_have_no_look_and_are_no_copies() -> None:
    flat = [signature_of(str(shade), Image.new("RGB", (40, 40), (shade, shade, 9))) for shade in (80, 90)]
    assert near_copies("ada", flat[:1], flat[1:]) == []
