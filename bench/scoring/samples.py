"""Pictures to be judged: what methods drew, and real photographs put in their place."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from PIL import Image

from bench.runs.plan import Cell
from bench.runs.run_folder import RunFolder
from bench.runs.work import Work
from bench.subjects.identity import Identity
from bench.suite.prompts import PRIOR
from metrics.interface import RealPhoto, Sample

Pictures = tuple[Image.Image, ...]
OwnPictures = Mapping[tuple[str, str, int], Path]
"""By person, prompt and sample."""


@dataclass(frozen=True)
class Album:
    """One person's photographs, opened once."""

    who: Identity
    references: Pictures
    held_out: Pictures


@dataclass(frozen=True)
class Judged:
    """A picture to be judged, and where its score belongs."""

    sample: Sample
    category: str
    number: str


def open_albums(people: Sequence[Identity]) -> dict[str, Album]:
    """Everybody's photographs, by id."""
    return {
        who.id: Album(
            who,
            tuple(photo.load() for photo in who.references),
            tuple(photo.load() for photo in who.held_out),
        )
        for who in people
    }


def drawn(works: Sequence[Work], albums: Mapping[str, Album], folder: RunFolder) -> Iterator[Judged]:
    """The stored pictures of the subject by one method; the plain noun stands in the prompt."""
    for work, cell in _stored(works, folder):
        if cell.prompt.category != PRIOR:
            yield Judged(_sample(work, cell, albums, folder), cell.prompt.category, str(cell.sample))


def drawn_priors(
    works: Sequence[Work], albums: Mapping[str, Album], folder: RunFolder, own: OwnPictures
) -> Iterator[Judged]:
    """The stored pictures of somebody else by one method, each beside the backbone's own of the same seed."""
    for work, cell in _stored(works, folder):
        if cell.prompt.category == PRIOR:
            path = own.get(_place(cell))
            sample = _sample(work, cell, albums, folder)
            sample = replace(sample, own=load_picture(path) if path else None)
            yield Judged(sample, cell.prompt.category, str(cell.sample))


def own_pictures(works: Sequence[Work], folder: RunFolder) -> OwnPictures:
    """Where the pictures of somebody else by the backbone alone lie."""
    return {
        _place(cell): folder.image(cell)
        for work, cell in _stored(works, folder)
        if cell.prompt.category == PRIOR
    }


def _place(cell: Cell) -> tuple[str, str, int]:
    return cell.identity, cell.prompt.id, cell.sample


def _stored(works: Sequence[Work], folder: RunFolder) -> Iterator[tuple[Work, Cell]]:
    for work in works:
        for cell in work.group.cells:
            if folder.has(cell, work.recipe.fingerprint(cell)):
                yield work, cell


def _sample(work: Work, cell: Cell, albums: Mapping[str, Album], folder: RunFolder) -> Sample:
    album = albums[work.who.id]
    seen = work.who.references
    as_all = seen == album.who.references
    return Sample(
        id=cell.id,
        identity=cell.identity,
        prompt_id=cell.prompt.id,
        image=load_picture(folder.image(cell)),
        prompt=cell.prompt.text(work.who.phrase),
        asks=cell.prompt.asks,
        held_out=album.held_out,
        references=album.references if as_all else tuple(photo.load() for photo in seen),
        person=work.who.person,
    )


def load_picture(path: Path) -> Image.Image:
    """A stored picture, RGB."""
    with Image.open(path) as picture:
        return picture.convert("RGB")


def real_same(albums: Mapping[str, Album]) -> Iterator[Judged]:
    """Each held-out photograph as a picture of its own caption, judged by the other held-out ones."""
    for album in albums.values():
        for i, image in enumerate(album.held_out):
            others = album.held_out[:i] + album.held_out[i + 1 :]
            yield _real("same", album, i, image, others)


def real_other(albums: Mapping[str, Album]) -> Iterator[Judged]:
    """The next person's photographs as if they were this one's, under this one's captions."""
    everybody = list(albums.values())
    if len(everybody) < 2:
        return
    for place, album in enumerate(everybody):
        stranger = everybody[(place + 1) % len(everybody)]
        for i, image in enumerate(stranger.held_out[: len(album.held_out)]):
            yield _real("other", album, i, image, album.held_out)


def _real(kind: str, album: Album, i: int, image: Image.Image, held_out: Pictures) -> Judged:
    photo, who = album.who.held_out[i], album.who
    sample = Sample(
        id=f"real-{kind}/{who.id}/photo-{i + 1}/s1",
        identity=who.id,
        prompt_id=f"photo-{i + 1}",
        image=image,
        prompt=photo.caption.replace("{subject}", who.phrase),
        asks=photo.attributes,
        held_out=held_out,
        references=album.references,
        person=who.person,
    )
    return Judged(sample, "real", "1")


def calibration(albums: Mapping[str, Album]) -> list[RealPhoto]:
    """Everybody's held-out photographs."""
    return [RealPhoto(album.who.id, image) for album in albums.values() for image in album.held_out]
