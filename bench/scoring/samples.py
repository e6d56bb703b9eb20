"""Evaluation samples of stored images, and of real photographs in their place."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Final

from PIL import Image

from bench.errors import ReportError, StoreError
from bench.runs.records.tables import CellRow
from bench.runs.row_settings import row_settings_of
from bench.runs.run_folder import RunFolder
from bench.subjects.identity import Identity, PhotoFile
from bench.suite.prompts import PRIOR, SLOT, Prompt
from bench.suite.suite import Suite
from metrics.interface import RealPhoto, Sample

Images = tuple[Image.Image, ...]
BackboneImages = Mapping[tuple[str, str, int], Path]
"""Images of the backbone alone, by identity, prompt and sample."""
MAX_OTHERS: Final = 4
"""Maximum number of photographs of other people per caption: bounds the work for datasets of many people."""


PART_BYTES: Final = 256 << 20
"""Bytes of decoded pixels above which the images of a row are scored in several parts."""


@dataclass(frozen=True)
class IdentityImages:
    """The loaded photographs of one identity."""

    who: Identity
    references: Images
    held_out: Images
    prompts: Mapping[str, Prompt]
    """The identity's prompts, by id."""


@dataclass(frozen=True)
class EvaluationSample:
    """An image to score, with the columns of its line in scores.csv."""

    sample: Sample
    category: str
    sample_number: int
    prompt: str
    """The prompt's id. `sample.prompt_id` differs for photographs of different people under one caption,
    and for images of different fits, which no metric of several images may compare."""


def load_identity_images(people: Sequence[Identity], suite: Suite) -> dict[str, IdentityImages]:
    """Every identity's photographs and prompts, by id."""
    return {
        who.id: IdentityImages(
            who,
            tuple(photo.load() for photo in who.references),
            tuple(photo.load() for photo in who.held_out),
            {prompt.id: prompt for prompt in prompts_of(who, suite)},
        )
        for who in people
    }


def prompts_of(who: Identity, suite: Suite) -> tuple[Prompt, ...]:
    """All prompts of an identity: shared ones, its own, recaptions, and class prompts."""
    recaptions = who.recaptions(suite.prompts.recaptions)
    return (*suite.shared_prompts, *who.own_prompts, *recaptions, *who.class_prompts)


def shown_references(
    method: str, who: Identity, people: Sequence[Identity], suite: Suite
) -> tuple[PhotoFile, ...]:
    """The references that a row's method received; `people` are those of the run."""
    row = row_settings_of(method, suite.settings.get(method, {}))
    return row.selection.of(who, people).references


class StoredImages:
    """Reads the stored images of one run as evaluation samples."""

    def __init__(self, folder: RunFolder, suite: Suite, identities: Mapping[str, IdentityImages]) -> None:
        self._folder = folder
        self._suite = suite
        self._identities = identities
        self._people = [images.who for images in identities.values()]
        self._shown: dict[tuple[str, str], Images] = {}

    def of_subject(
        self, cells: Sequence[CellRow], backbone: BackboneImages | None = None
    ) -> Iterator[EvaluationSample]:
        """Images of the subject that show something; their prompt contains the plain noun phrase.

        Each has the image of the same place in `backbone`, which starts from the same noise, if there is one.
        """
        for cell in cells:
            if cell.category != PRIOR and cell.has_content:
                yield self._evaluation_sample(cell, backbone or {})

    def of_class(self, cells: Sequence[CellRow], backbone: BackboneImages) -> Iterator[EvaluationSample]:
        """Class images that show something, each with the backbone's own image of the same seed."""
        for cell in cells:
            if cell.category == PRIOR and cell.has_content:
                yield self._evaluation_sample(cell, backbone)

    def of_backbone(self, cells: Sequence[CellRow]) -> BackboneImages:
        """Paths of the images of `cells`."""
        return {place_of(cell): self._folder.image_of(cell) for cell in cells if cell.has_content}

    def _evaluation_sample(self, cell: CellRow, backbone: BackboneImages) -> EvaluationSample:
        path = backbone.get(place_of(cell))
        sample = replace(self._sample(cell), backbone_image=load_image(path) if path else None)
        return EvaluationSample(sample, cell.category, cell.sample, cell.prompt)

    def _sample(self, cell: CellRow) -> Sample:
        images = self._identities.get(cell.identity)
        if images is None or cell.prompt not in images.prompts:
            raise ReportError(
                f"{self._folder.path}: identity {cell.identity!r} has no prompt {cell.prompt!r} in suite "
                f"{self._suite.name!r}; score the run with the suite that generated it"
            )
        return Sample(
            id=cell.cell,
            identity=cell.identity,
            # Images of different fits of one person are not to be compared with one another.
            prompt_id=cell.prompt if cell.fit == 1 else f"{cell.prompt}/fit-{cell.fit}",
            image=load_image(self._folder.image_of(cell)),
            prompt=cell.template.replace(SLOT, images.who.phrase),
            expected_attributes=images.prompts[cell.prompt].expected_attributes,
            held_out=images.held_out,
            references=self._references(cell.method, images),
            person=images.who.person,
        )

    def _references(self, method: str, images: IdentityImages) -> Images:
        place = method, images.who.id
        if place not in self._shown:
            photos = shown_references(method, images.who, self._people, self._suite)
            same = photos == images.who.references
            self._shown[place] = images.references if same else tuple(photo.load() for photo in photos)
        return self._shown[place]


def in_parts(samples: Iterable[EvaluationSample], most: int = PART_BYTES) -> Iterator[list[EvaluationSample]]:
    """The samples in lists of whole people, each of about `most` bytes: all may not fit into memory.

    Metrics compare images of one person only. The samples of a person must follow one another.
    """
    part: list[EvaluationSample] = []
    size = 0
    for one in samples:
        if size >= most and one.sample.identity != part[-1].sample.identity:
            yield part
            part, size = [], 0
        part.append(one)
        images = [one.sample.image, one.sample.backbone_image]
        size += sum(image.width * image.height * 3 for image in images if image is not None)
    if part:
        yield part


def place_of(cell: CellRow) -> tuple[str, str, int]:
    """Identity, prompt and sample: what images of different methods have in common."""
    return cell.identity, cell.prompt, cell.sample


def load_image(path: Path) -> Image.Image:
    """Load a stored image as RGB. Raises StoreError where it cannot be read."""
    try:
        with Image.open(path) as image:
            return image.convert("RGB")
    except (OSError, SyntaxError) as error:
        raise StoreError(
            f"{path}: the image cannot be read ({error}); generate it again with `bench run`"
        ) from error


def real_same(identities: Mapping[str, IdentityImages]) -> Iterator[EvaluationSample]:
    """Each held-out photograph as an image of its own caption, compared with the other held-out ones."""
    for images in identities.values():
        for i, image in enumerate(images.held_out):
            others = images.held_out[:i] + images.held_out[i + 1 :]
            sample = replace(_real_sample("same", images, i, image, 1), held_out=others)
            yield _real(i, sample, 1)


def real_other(identities: Mapping[str, IdentityImages]) -> Iterator[EvaluationSample]:
    """Photographs of other people in place of this one's, under this one's captions.

    The other people have the same noun, or any noun if nobody else has the same. Each caption has the same
    number of samples, at most MAX_OTHERS: photographs of one other person after another, each time the next
    one of that person. So all suitable pairs of people occur equally often, up to one, if there are enough
    captions, and each pair of person and caption has the same weight in a mean over samples.
    """
    suitable = {who: _suitable(images, identities) for who, images in identities.items()}
    count = min(MAX_OTHERS, max(map(len, suitable.values()), default=0))
    for who, others in suitable.items():
        images = identities[who]
        for i, number in product(range(len(images.held_out)), range(1, count + 1)):
            round_number, place = divmod(i * count + number - 1, len(others))
            photos = others[place].held_out
            sample = _real_sample("other", images, i, photos[round_number % len(photos)], number)
            yield _real(i, sample, number)


def _suitable(images: IdentityImages, identities: Mapping[str, IdentityImages]) -> list[IdentityImages]:
    """The other people with a photograph: those of the same noun, or all if there is none."""
    others = [other for other in identities.values() if other is not images and other.held_out]
    return [other for other in others if other.who.noun == images.who.noun] or others


def _real(i: int, sample: Sample, number: int) -> EvaluationSample:
    return EvaluationSample(sample, "real", number, f"photo-{i + 1}")


def _real_sample(kind: str, images: IdentityImages, i: int, image: Image.Image, number: int) -> Sample:
    """A photograph under the caption of the i-th held-out photograph."""
    photo, who = images.who.held_out[i], images.who
    return Sample(
        id=f"real-{kind}/{who.id}/photo-{i + 1}/s{number}",
        identity=who.id,
        prompt_id=f"photo-{i + 1}/s{number}",
        image=image,
        prompt=photo.caption.replace(SLOT, who.phrase),
        expected_attributes=photo.named_attributes,
        held_out=images.held_out,
        references=images.references,
        person=who.person,
    )


def calibration_photos(identities: Mapping[str, IdentityImages]) -> list[RealPhoto]:
    """Held-out photographs of every identity."""
    return [RealPhoto(images.who.id, image) for images in identities.values() for image in images.held_out]
