"""Prompts and captions that are longer than the text encoder reads: reported, or refused, before the run."""

from collections.abc import Callable, Iterator, Mapping, Sequence

from bench.errors import DatasetError, SuiteError
from bench.runs.plan import Cell
from bench.subjects.identity import Identity
from bench.suite.prompts import SLOT
from methods.subject import with_article

Excess = Callable[[Sequence[str]], Sequence[int]]
"""For each text, the number of its tokens that the text encoder cuts off (`BackboneSource.excess_tokens`)."""


def check_lengths(cells: Sequence[Cell], people: Sequence[Identity], excess: Excess) -> list[str]:
    """Return a line for each prompt whose end has no effect, and one for all such captions.

    The slot contains the plain noun phrase; a method's own phrase may be longer. Raises SuiteError or
    DatasetError if the subject itself is cut off, because such an image cannot show it.
    """
    return [*_prompts(cells, {who.id: who for who in people}, excess), *_captions(people, excess)]


def _prompts(cells: Sequence[Cell], people: Mapping[str, Identity], excess: Excess) -> Iterator[str]:
    used = {(cell.prompt.id, cell.prompt.template, people[cell.identity].noun) for cell in cells}
    for (id, template, _), (whole, subject) in _too_long(sorted(used), excess):
        if subject:
            raise SuiteError(
                f"prompt {id!r}: the text encoder cuts off the subject, {subject} tokens too late in "
                f"{template!r}; move it to the front"
            )
        yield f"prompt {id!r}: the text encoder cuts off the last {whole} tokens, which have no effect"


def _captions(people: Sequence[Identity], excess: Excess) -> Iterator[str]:
    used = [(photo.name, photo.caption, who.noun) for who in people for photo in who.references]
    found = list(_too_long(used, excess))
    for (name, caption, _), (_, subject) in found:
        if subject:
            raise DatasetError(
                f"{name}: the text encoder cuts off the subject, {subject} tokens too late in the "
                f"caption {caption!r}; move it to the front"
            )
    if found:
        (name, _, _), (whole, _) = found[0]
        yield (
            f"the text encoder cuts off the end of {len(found)} captions of references, first {name} "
            f"({whole} tokens)"
        )


def _too_long(
    used: Sequence[tuple[str, str, str]], excess: Excess
) -> Iterator[tuple[tuple[str, str, str], tuple[int, int]]]:
    """Names, templates and nouns of too long texts, with the tokens cut off from text and subject."""
    if not used:
        return
    texts = [template.replace(SLOT, with_article(noun)) for _, template, noun in used]
    # A prior prompt has no slot: its subject is the empty text.
    starts = [_up_to_subject(template, with_article(noun)) for _, template, noun in used]
    for entry, whole, subject in zip(used, excess(texts), excess(starts), strict=True):
        if whole > 0:
            yield entry, (whole, subject)


def _up_to_subject(template: str, phrase: str) -> str:
    before, slot, _ = template.partition(SLOT)
    return before + phrase if slot else ""
