"""Pictures to be judged: what methods drew, and real photographs put in their place."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from PIL import Image

from bench.runs.plan import Cell
from bench.runs.run_folder import RunFolder
from bench.runs.task import GroupTask
from bench.subjects.identity import Identity
from bench.suite.prompts import PRIOR
from metrics.interface import RealPhoto, Sample

Pictures = tuple[Image.Image, ...]
OwnPictures = Mapping[tuple[str, str, int], Path]
"""By person, prompt and sample."""


@dataclass(frozen=True)
class IdentityImages:
    """One person's photographs, opened once."""

    who: Identity
    references: Pictures
    held_out: Pictures


@dataclass(frozen=True)
class EvaluationSample:
    """A picture to be judged, and where its score belongs."""

    sample: Sample
    category: str
    sample_number: int


def load_identity_images(people: Sequence[Identity]) -> dict[str, IdentityImages]:
    """Everybody's photographs, by id."""
    return {
        who.id: IdentityImages(
            who,
            tuple(photo.load() for photo in who.references),
            tuple(photo.load() for photo in who.held_out),
        )
        for who in people
    }


def drawn(
    tasks: Sequence[GroupTask], identity_images: Mapping[str, IdentityImages], folder: RunFolder
) -> Iterator[EvaluationSample]:
    """The stored pictures of the subject by one method; the plain noun stands in the prompt."""
    for task, cell in _stored(tasks, folder):
        if cell.prompt.category != PRIOR:
            yield EvaluationSample(
                _sample(task, cell, identity_images, folder), cell.prompt.category, cell.sample
            )


def prior_samples(
    tasks: Sequence[GroupTask],
    identity_images: Mapping[str, IdentityImages],
    folder: RunFolder,
    own: OwnPictures,
) -> Iterator[EvaluationSample]:
    """The stored pictures of somebody else by one method, each beside the backbone's own of the same seed."""
    for task, cell in _stored(tasks, folder):
        if cell.prompt.category == PRIOR:
            path = own.get(_place(cell))
            sample = _sample(task, cell, identity_images, folder)
            sample = replace(sample, own=load_picture(path) if path else None)
            yield EvaluationSample(sample, cell.prompt.category, cell.sample)


def backbone_images(tasks: Sequence[GroupTask], folder: RunFolder) -> OwnPictures:
    """Where the pictures of somebody else by the backbone alone lie."""
    return {
        _place(cell): folder.image(cell)
        for task, cell in _stored(tasks, folder)
        if cell.prompt.category == PRIOR
    }


def _place(cell: Cell) -> tuple[str, str, int]:
    return cell.identity, cell.prompt.id, cell.sample


def _stored(tasks: Sequence[GroupTask], folder: RunFolder) -> Iterator[tuple[GroupTask, Cell]]:
    for task in tasks:
        for cell in task.group.cells:
            if folder.has(cell, task.fingerprint_parts.fingerprint(cell)):
                yield task, cell


def _sample(
    task: GroupTask, cell: Cell, identity_images: Mapping[str, IdentityImages], folder: RunFolder
) -> Sample:
    album = identity_images[task.who.id]
    seen = task.who.references
    as_all = seen == album.who.references
    return Sample(
        id=cell.id,
        identity=cell.identity,
        prompt_id=cell.prompt.id,
        image=load_picture(folder.image(cell)),
        prompt=cell.prompt.text(task.who.phrase),
        expected_attributes=cell.prompt.expected_attributes,
        held_out=album.held_out,
        references=album.references if as_all else tuple(photo.load() for photo in seen),
        person=task.who.person,
    )


def load_picture(path: Path) -> Image.Image:
    """A stored picture, RGB."""
    with Image.open(path) as picture:
        return picture.convert("RGB")


def real_same(identity_images: Mapping[str, IdentityImages]) -> Iterator[EvaluationSample]:
    """Each held-out photograph as a picture of its own caption, judged by the other held-out ones."""
    for album in identity_images.values():
        for i, image in enumerate(album.held_out):
            others = album.held_out[:i] + album.held_out[i + 1 :]
            yield _real("same", album, i, image, others)


def real_other(identity_images: Mapping[str, IdentityImages]) -> Iterator[EvaluationSample]:
    """The next person's photographs as if they were this one's, under this one's captions."""
    everybody = list(identity_images.values())
    if len(everybody) < 2:
        return
    for place, album in enumerate(everybody):
        stranger = everybody[(place + 1) % len(everybody)]
        for i, image in enumerate(stranger.held_out[: len(album.held_out)]):
            yield _real("other", album, i, image, album.held_out)


def _real(
    kind: str, album: IdentityImages, i: int, image: Image.Image, held_out: Pictures
) -> EvaluationSample:
    photo, who = album.who.held_out[i], album.who
    sample = Sample(
        id=f"real-{kind}/{who.id}/photo-{i + 1}/s1",
        identity=who.id,
        prompt_id=f"photo-{i + 1}",
        image=image,
        prompt=photo.caption.replace("{subject}", who.phrase),
        expected_attributes=photo.attributes,
        held_out=held_out,
        references=album.references,
        person=who.person,
    )
    return EvaluationSample(sample, "real", 1)


def calibration(identity_images: Mapping[str, IdentityImages]) -> list[RealPhoto]:
    """Everybody's held-out photographs."""
    return [RealPhoto(album.who.id, image) for album in identity_images.values() for image in album.held_out]
