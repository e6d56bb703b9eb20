"""Rendered people as evaluation samples."""

import json
from dataclasses import dataclass
from pathlib import Path

import pytest
from PIL import Image

from metrics.interface import RealPhoto, Sample

PEOPLE = Path(__file__).parents[2] / "bench" / "synthetic" / "assets" / "test"


@dataclass(frozen=True)
class Person:
    """One rendered person that ships with the package."""

    name: str
    photos: tuple[Image.Image, ...]
    records: tuple[dict[str, str], ...]


@pytest.fixture(scope="session")
def people() -> list[Person]:
    """Six rendered people with eight photographs each."""
    lines = [json.loads(line) for line in (PEOPLE / "people.jsonl").read_text().splitlines()]
    names = sorted({line["identity"] for line in lines})[:6]
    return [_person(name, [line for line in lines if line["identity"] == name][:8]) for name in names]


def _person(name: str, records: list[dict[str, str]]) -> Person:
    photos = []
    for record in records:
        with Image.open(PEOPLE / name / f"{int(record['view']):02d}.webp") as image:
            photos.append(image.convert("RGB"))
    return Person(name, tuple(photos), tuple(records))


@pytest.fixture(scope="session")
def portraits(people: list[Person]) -> list[Sample]:
    """Three photographs of each person as generated images, two as references, three as held-out.

    The backbone's own image is a photograph of the next person.
    """
    samples = []
    for person, other in zip(people, [*people[1:], people[0]], strict=True):
        for number, photo in enumerate(person.photos[:3]):
            record = person.records[number]
            expected_attributes = {key: record[key] for key in ("glasses", "hat", "shirt", "background")}
            samples.append(
                Sample(
                    id=f"{person.name}/{number}",
                    identity=person.name,
                    prompt_id="any",
                    image=photo,
                    prompt="a photo of a person",
                    expected_attributes=expected_attributes,
                    held_out=person.photos[5:],
                    references=person.photos[3:5],
                    backbone_image=other.photos[number],
                )
            )
    return samples


@pytest.fixture(scope="session")
def real_photos(people: list[Person]) -> list[RealPhoto]:
    """The last five photographs of each person."""
    return [RealPhoto(person.name, photo) for person in people for photo in person.photos[3:]]
