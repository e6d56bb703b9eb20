"""Photographs that are a part of another one."""

import io
import random
from pathlib import Path

import pytest
from PIL import Image

from bench.datasets.registry import open_people
from bench.subjects.crops import crops_among
from bench.subjects.identity import Identity
from bench.subjects.near_duplicates import signature_of
from bench.subjects.photo_checks import crops_of_people, signatures_of
from bench.suite.suite import DatasetSettings


@pytest.fixture(scope="module")
def people() -> tuple[Identity, ...]:
    return open_people(DatasetSettings("rendered", identities=6, held_out=2), Path()).chosen


def thumbnail(photo: Image.Image) -> Image.Image:
    return signature_of("", photo).thumbnail


def cropped(photo: Image.Image, share: float, rng: random.Random, shape: float = 1.0) -> Image.Image:
    """A recompressed crop, 30 % larger; `shape` is the ratio of width and height, at most 1."""
    height = share * photo.height
    width = height * shape
    left, top = rng.uniform(0, photo.width - width), rng.uniform(0, photo.height - height)
    part = photo.crop((round(left), round(top), round(left + width), round(top + height)))
    content = io.BytesIO()
    part.resize((round(1.3 * part.width), round(1.3 * part.height))).save(content, "JPEG", quality=90)
    return Image.open(content).convert("RGB")


@pytest.mark.parametrize("shape", [1.0, 0.75])
@pytest.mark.parametrize("share", [0.9, 0.65])
def test_crops_under_another_identity_are_found(
    share: float, shape: float, people: tuple[Identity, ...]
) -> None:
    rng = random.Random(0)
    photos = [photo.load() for who in people for photo in who.references]
    # Larger than the shipped photographs, so that a crop has as many pixels as a real one.
    large = [photo.resize((192, 192), Image.Resampling.BICUBIC) for photo in photos]
    found = 0
    for photo in large:
        crops = crops_among([thumbnail(cropped(photo, share, rng, shape)), thumbnail(photo)], ["a", "b"])
        found += [(crop.part, crop.whole) for crop in crops] == [(0, 1)]
    assert found >= 0.8 * len(large)


def test_different_photographs_are_no_crops(people: tuple[Identity, ...]) -> None:
    assert list(crops_of_people([signatures_of(who) for who in people])) == []


def test_near_copies_are_no_crops(people: tuple[Identity, ...]) -> None:
    photos = [photo.load() for photo in people[0].references]
    for photo in photos:
        copy = photo.resize((90, 90), Image.Resampling.LANCZOS)
        assert crops_among([thumbnail(photo), thumbnail(copy)], ["a", "b"]) == []


def test_line_names_both_photographs(people: tuple[Identity, ...]) -> None:
    ada, bob = (signatures_of(who) for who in people[:2])
    photo = people[0].references[0].load().resize((192, 192), Image.Resampling.BICUBIC)
    copy = signature_of("copy.jpg", photo.crop((20, 10, 160, 150)))
    bob = type(bob)(bob.id, bob.references, (copy,))
    (line,) = crops_of_people([ada, bob])
    assert line.startswith(f"{bob.id} and {ada.id}: copy.jpg looks like a crop of {ada.references[0].name} (")
