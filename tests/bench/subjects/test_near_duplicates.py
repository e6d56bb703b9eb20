"""Near copies: found after recompression, scaling, brightening or mirroring; other views are not copies."""

import io
from collections.abc import Callable
from itertools import combinations
from pathlib import Path

import pytest
from PIL import Image, ImageEnhance, ImageOps

from bench.datasets.registry import open_people
from bench.errors import DatasetError
from bench.subjects.near_duplicates import (
    MAX_DISTANCE,
    ImageSignature,
    hamming_distance,
    near_copies,
    signature_of,
)
from bench.suite.suite import DatasetSettings


@pytest.fixture(scope="module")
def people() -> list[list[Image.Image]]:
    """All shipped photographs, by person."""
    chosen = open_people(DatasetSettings("rendered"), Path()).chosen
    return [[photo.load() for photo in (*who.references, *who.held_out)] for who in chosen]


def signatures(photos: list[Image.Image]) -> list[ImageSignature]:
    return [signature_of(str(number), photo) for number, photo in enumerate(photos)]


def test_different_views_of_a_shipped_person_are_not_copies(people: list[list[Image.Image]]) -> None:
    nearest = min(
        min(hamming_distance(a.bits, b.bits) or 0, hamming_distance(a.bits, b.mirrored) or 0)
        for photos in people
        for a, b in combinations(signatures(photos), 2)
    )
    assert nearest > MAX_DISTANCE


def recompressed(photo: Image.Image) -> Image.Image:
    content = io.BytesIO()
    photo.save(content, "JPEG", quality=85)
    return Image.open(content).convert("RGB")


def half(photo: Image.Image) -> Image.Image:
    return photo.resize((photo.width // 2, photo.height // 2), Image.Resampling.LANCZOS)


def brighter(photo: Image.Image) -> Image.Image:
    return ImageEnhance.Brightness(photo).enhance(1.15)


@pytest.mark.parametrize("change", [recompressed, half, brighter, ImageOps.mirror])
def test_modified_copies_are_found(
    change: Callable[[Image.Image], Image.Image], people: list[list[Image.Image]]
) -> None:
    photos = [person[0] for person in people]
    found = sum(
        bool(near_copies("ada", [signature_of("a", photo)], [signature_of("b", change(photo))]))
        for photo in photos
    )
    assert found >= 0.9 * len(photos)


def test_message_names_the_identity_and_both_photographs(people: list[list[Image.Image]]) -> None:
    reference = signature_of("01.webp", people[0][0])
    held_out = signature_of("07.webp", ImageOps.mirror(people[0][0]))
    assert near_copies("ada", [reference], [held_out]) == [
        "ada: 07.webp is held out and a near copy of the reference 01.webp, mirrored (0 of 256 bits differ)"
    ]


def test_same_image_as_reference_and_held_out_is_refused(people: list[list[Image.Image]]) -> None:
    photo = people[0][0]
    with pytest.raises(DatasetError, match=r"a\.png and b\.webp are the same image"):
        near_copies("ada", [signature_of("a.png", photo)], [signature_of("b.webp", photo.copy())])


def test_images_without_contrast_are_not_copies() -> None:
    flat = [signature_of(str(shade), Image.new("RGB", (40, 40), (shade, shade, 9))) for shade in (80, 90)]
    assert near_copies("ada", flat[:1], flat[1:]) == []
