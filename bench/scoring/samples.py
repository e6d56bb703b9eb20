"""Evaluation samples: the stored images of a run, and real photographs in their place."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from PIL import Image

from bench.errors import ReportError
from bench.runs.row_settings import row_settings_of
from bench.runs.run_folder import RunFolder
from bench.runs.tables import CellRow
from bench.subjects.identity import Identity
from bench.suite.prompts import PRIOR, SLOT, Prompt
from bench.suite.suite import Suite
from metrics.interface import RealPhoto, Sample

Images = tuple[Image.Image, ...]
BackboneImages = Mapping[tuple[str, str, int], Path]
"""Class images of the backbone alone, by identity, prompt and sample."""


@dataclass(frozen=True)
class IdentityImages:
    """One identity's photographs, opened once."""

    who: Identity
    references: Images
    held_out: Images
    prompts: Mapping[str, Prompt]
    """The identity's prompts, by id."""


@dataclass(frozen=True)
class EvaluationSample:
    """An image to score, and the place of its score in scores.csv."""

    sample: Sample
    category: str
    sample_number: int


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
    """All prompts of an identity: shared ones, its own, recaptions, and the class prompt."""
    recaptions = who.recaptions(suite.prompts.recaptions)
    return (*suite.shared_prompts, *who.own_prompts, *recaptions, who.prior)


class StoredImages:
    """Reads the stored images of one run as evaluation samples."""

    def __init__(self, folder: RunFolder, suite: Suite, identities: Mapping[str, IdentityImages]) -> None:
        self._folder = folder
        self._suite = suite
        self._identities = identities

    def of_subject(self, cells: Sequence[CellRow]) -> Iterator[EvaluationSample]:
        """Images of the subject that show something; their prompt contains the plain noun phrase."""
        for cell in cells:
            if cell.category != PRIOR and cell.has_content:
                yield EvaluationSample(self._sample(cell), cell.category, cell.sample)

    def of_class(self, cells: Sequence[CellRow], backbone: BackboneImages) -> Iterator[EvaluationSample]:
        """Class images that show something, each with the backbone's own image of the same seed."""
        for cell in cells:
            if cell.category == PRIOR and cell.has_content:
                path = backbone.get(_place(cell))
                sample = replace(self._sample(cell), backbone_image=load_image(path) if path else None)
                yield EvaluationSample(sample, cell.category, cell.sample)

    def of_backbone(self, cells: Sequence[CellRow]) -> BackboneImages:
        """Paths of the class images among `cells` that show something."""
        return {
            _place(cell): self._folder.image_of(cell)
            for cell in cells
            if cell.category == PRIOR and cell.has_content
        }

    def _sample(self, cell: CellRow) -> Sample:
        images = self._identities.get(cell.identity)
        if images is None or cell.prompt not in images.prompts:
            raise ReportError(
                f"{self._folder.path}: identity {cell.identity!r} has no prompt {cell.prompt!r} in suite "
                f"{self._suite.name!r}; score the run with the suite that it was made with"
            )
        return Sample(
            id=cell.cell,
            identity=cell.identity,
            prompt_id=cell.prompt,
            image=load_image(self._folder.image_of(cell)),
            prompt=cell.template.replace(SLOT, images.who.phrase),
            expected_attributes=images.prompts[cell.prompt].expected_attributes,
            held_out=images.held_out,
            references=self._references(cell.method, images),
            person=images.who.person,
        )

    def _references(self, method: str, images: IdentityImages) -> Images:
        """The references that this row showed to its method."""
        row = row_settings_of(method, self._suite.settings.get(method, {}))
        people = [other.who for other in self._identities.values()]
        seen = row.shown.of(images.who, people).references
        return images.references if seen == images.who.references else tuple(photo.load() for photo in seen)


def _place(cell: CellRow) -> tuple[str, str, int]:
    return cell.identity, cell.prompt, cell.sample


def load_image(path: Path) -> Image.Image:
    """A stored image, RGB."""
    with Image.open(path) as image:
        return image.convert("RGB")


def real_same(identities: Mapping[str, IdentityImages]) -> Iterator[EvaluationSample]:
    """Each held-out photograph as an image of its own caption, compared with the other held-out ones."""
    for images in identities.values():
        for i, image in enumerate(images.held_out):
            others = images.held_out[:i] + images.held_out[i + 1 :]
            yield _real("same", images, i, image, others)


def real_other(identities: Mapping[str, IdentityImages]) -> Iterator[EvaluationSample]:
    """The next identity's photographs in place of this one's, under this one's captions."""
    everybody = list(identities.values())
    if len(everybody) < 2:
        return
    for place, images in enumerate(everybody):
        stranger = everybody[(place + 1) % len(everybody)]
        for i, image in enumerate(stranger.held_out[: len(images.held_out)]):
            yield _real("other", images, i, image, images.held_out)


def _real(
    kind: str, images: IdentityImages, i: int, image: Image.Image, held_out: Images
) -> EvaluationSample:
    photo, who = images.who.held_out[i], images.who
    sample = Sample(
        id=f"real-{kind}/{who.id}/photo-{i + 1}/s1",
        identity=who.id,
        prompt_id=f"photo-{i + 1}",
        image=image,
        prompt=photo.caption.replace(SLOT, who.phrase),
        expected_attributes=photo.attributes,
        held_out=held_out,
        references=images.references,
        person=who.person,
    )
    return EvaluationSample(sample, "real", 1)


def calibration_photos(identities: Mapping[str, IdentityImages]) -> list[RealPhoto]:
    """Held-out photographs of every identity."""
    return [RealPhoto(images.who.id, image) for images in identities.values() for image in images.held_out]
