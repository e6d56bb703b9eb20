"""Prompts and captions that are longer than the text encoder reads: reported, or refused, before the run."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from bench.errors import SuiteError
from bench.runs.task import GroupTask
from bench.suite.prompts import SLOT
from methods.errors import MethodError
from methods.interface import wording

Excess = Callable[[Sequence[str]], Sequence[int]]
"""For each text, the number of its tokens that the text encoder cuts off (`BackboneSource.excess_tokens`)."""


@dataclass(frozen=True)
class EncodedText:
    """A text that one row of the table gives to the text encoder."""

    row: str
    kind: str
    """Texts of one kind share a remark."""
    place: str
    template: str
    phrase: str
    """What the row puts into the slot."""

    @property
    def text(self) -> str:
        """The whole text."""
        return self.template.replace(SLOT, self.phrase)

    @property
    def up_to_subject(self) -> str:
        """The text up to the end of the subject; empty for a text without the subject."""
        before, slot, _ = self.template.partition(SLOT)
        return before + self.phrase if slot else ""


def check_lengths(tasks: Sequence[GroupTask], excess: Excess) -> list[str]:
    """Return a line for each kind of text whose end the text encoder cuts off, with each row's own wording.

    Raises SuiteError if the subject itself is cut off: such an image cannot show it, and such a fit cannot
    learn it.
    """
    used = list(dict.fromkeys(text for task in tasks for text in _encoded_texts(task)))
    lost = _counted([text.text for text in used], excess)
    too_long = [text for text in used if lost[text.text] > 0]
    subject_lost = _counted([text.up_to_subject for text in too_long], excess)
    by_kind: dict[str, list[EncodedText]] = defaultdict(list)
    for text in too_long:
        if count := subject_lost[text.up_to_subject]:
            raise SuiteError(
                f"{text.place}: row {text.row}: the text encoder cuts off the subject, {count} tokens too "
                f"late in {text.text!r}; move it to the front"
            )
        by_kind[text.kind].append(text)
    return [_remark(kind, texts, lost) for kind, texts in by_kind.items()]


def _encoded_texts(task: GroupTask) -> Iterator[EncodedText]:
    row, who = task.group.method, task.who
    try:
        own = wording(task.method, who.described)
    except MethodError:  # which the fit reports as the reason of its failure
        return
    if own is None:
        return
    for prompt in {cell.prompt.id: cell.prompt for cell in task.group.cells}.values():
        kind = f"prompt {prompt.id!r}"
        place = f"{kind} of {who.id}" if prompt.category == "recaption" else kind
        yield EncodedText(row, kind, place, prompt.template, own.phrase)
    files = {photo.caption: photo.name for photo in who.references}
    for template in own.training_texts:
        place = files.get(template, f"training text {template!r}")
        yield EncodedText(row, "training texts", place, template, own.phrase)


def _counted(texts: Sequence[str], excess: Excess) -> Mapping[str, int]:
    """The tokens that are cut off from each of the texts."""
    distinct = list(dict.fromkeys(texts))
    return dict(zip(distinct, excess(distinct), strict=True)) if distinct else {}


def _remark(kind: str, texts: Sequence[EncodedText], lost: Mapping[str, int]) -> str:
    most = max(lost[text.text] for text in texts)
    places = list(dict.fromkeys(text.place for text in texts))
    more = f" and {len(places) - 1} other {kind}" if len(places) > 1 else ""
    rows = ", ".join(dict.fromkeys(text.row for text in texts))
    return (
        f"{places[0]}{more}: the text encoder cuts off the end, at most {most} tokens, which have no effect; "
        f"rows: {rows}"
    )
