"""Open the photographs of a run's people, and find photographs that occur twice.

Equal images are refused where a number would be wrong: a reference that is also held out (copying would look
like identity), a held-out photograph that occurs twice (the ceiling would be 1), and one image under two
identities (verification would count one person as two). Near copies are reported.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Final

from bench.errors import DatasetError
from bench.subjects.crops import crops_among
from bench.subjects.identity import Identity, PhotoFile
from bench.subjects.near_duplicates import (
    HASH_BITS,
    ImageSignature,
    NearPair,
    near_copies,
    near_pairs,
    signature_of,
)

MOST_CROPS: Final = 1000
"""Maximum number of photographs among which crops are searched across identities; takes about a minute."""


@dataclass(frozen=True)
class IdentitySignatures:
    """The signatures of one identity's photographs."""

    id: str
    references: tuple[ImageSignature, ...]
    held_out: tuple[ImageSignature, ...]


def check_people(people: Sequence[Identity]) -> list[str]:
    """Open every photograph, and return a line for each finding.

    Raises DatasetError if a photograph cannot be opened, or if equal images would make a number wrong.
    """
    opened = [signatures_of(who) for who in people]
    return [*(line for signatures in opened for line in copies_within(signatures)), *copies_across(opened)]


def unusable(photos: Iterable[PhotoFile]) -> Iterator[DatasetError]:
    """The errors of photographs that cannot be opened, such as those that only metrics of sets read."""
    for photo in photos:
        try:
            photo.load()
        except DatasetError as error:
            yield error


def check_others(photos: Iterable[PhotoFile]) -> None:
    """Raise DatasetError if one of the photographs cannot be opened."""
    for error in unusable(photos):
        raise error


def signatures_of(who: Identity) -> IdentitySignatures:
    """Open the photographs of one identity; raises DatasetError if one cannot be opened."""

    def signatures(photos: Sequence[PhotoFile]) -> tuple[ImageSignature, ...]:
        return tuple(signature_of(photo.name, photo.load()) for photo in photos)

    return IdentitySignatures(who.id, signatures(who.references), signatures(who.held_out))


def copies_within(who: IdentitySignatures) -> list[str]:
    """Copies among the photographs of one identity, and photographs that are nearly black.

    Raises DatasetError if two held-out photographs, or one of them and a reference, are the same image.
    """
    lines = near_copies(who.id, who.references, who.held_out)
    for first, second in combinations(who.held_out, 2):
        if first.exact == second.exact:
            raise DatasetError(
                f"{who.id}: {first.name} and {second.name} are the same image, both held out; remove one"
            )
    for side, photos in (("references", who.references), ("held-out photos", who.held_out)):
        pairs = near_pairs(photos)
        if pairs:
            lines.append(_line(f"{who.id}: among its {side}", photos, pairs))
    dark = [photo.name for photo in (*who.references, *who.held_out) if photo.is_dark]
    if dark:
        lines.append(f"{who.id}: {len(dark)} photographs are nearly black, first {dark[0]}")
    return lines


def copies_across(people: Sequence[IdentitySignatures]) -> list[str]:
    """Near copies under two identities. Raises DatasetError if one image is a photograph of both."""
    photos: list[ImageSignature] = []
    owners: list[str] = []
    first: dict[object, int] = {}
    for who in people:
        for photo in (*who.references, *who.held_out):
            same = first.setdefault(photo.exact, len(photos))
            if same < len(photos) and owners[same] != who.id:
                raise DatasetError(
                    f"{photos[same].name} of {owners[same]} and {photo.name} of {who.id} are the same image; "
                    "remove one, or join the two identities"
                )
            photos.append(photo)
            owners.append(who.id)
    found: dict[str, list[NearPair]] = defaultdict(list)
    for pair in near_pairs(photos):
        if owners[pair.first] != owners[pair.second]:
            found[f"{owners[pair.first]} and {owners[pair.second]}"].append(pair)
    return [_line(place, photos, pairs) for place, pairs in sorted(found.items())]


def crops_of_people(people: Sequence[IdentitySignatures]) -> Iterator[str]:
    """A line for each photograph that is a crop of another one.

    Above MOST_CROPS photographs, each identity is searched on its own.
    """
    total = sum(len(who.references) + len(who.held_out) for who in people)
    if total <= MOST_CROPS:
        yield from _crops(people)
        return
    yield f"crops are searched within each identity only: {total:,} photographs, more than {MOST_CROPS:,}"
    for who in people:
        yield from _crops([who])


def _crops(people: Sequence[IdentitySignatures]) -> Iterator[str]:
    photos = [(who.id, photo) for who in people for photo in (*who.references, *who.held_out)]
    for crop in crops_among([photo.thumbnail for _, photo in photos], [owner for owner, _ in photos]):
        (one, part), (other, whole) = photos[crop.part], photos[crop.whole]
        place = one if one == other else f"{one} and {other}"
        yield (
            f"{place}: {part.name} looks like a crop of {whole.name} "
            f"({crop.distance} of {HASH_BITS} bits differ)"
        )


def _line(place: str, photos: Sequence[ImageSignature], pairs: Sequence[NearPair]) -> str:
    nearest = min(pairs)
    first, second = photos[nearest.first].name, photos[nearest.second].name
    return (
        f"{place}: {len(pairs)} pairs of near copies, nearest {first} and {second}"
        f"{', mirrored' if nearest.mirrored else ''} ({nearest.distance} of {HASH_BITS} bits differ)"
    )
