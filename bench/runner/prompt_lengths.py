"""Prompts and captions that are longer than the text encoder reads: reported, or refused, before the run."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from bench.errors import SuiteError
from bench.runs.task import GroupTask
from bench.suite.prompts import SLOT
from methods.errors import MethodError
from methods.interface import wording

Excess = Callable[[Sequence[str]], Sequence[Mapping[str, int]]]
"""For each text, the number of its tokens that each text encoder cuts off, by the encoder's name
(`BackboneSource.excess_tokens`)."""


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

    Raises SuiteError if every text encoder cuts off the subject itself: such an image cannot show it, and
    such a fit cannot learn it.
    """
    used = list(dict.fromkeys(text for task in tasks for text in _encoded_texts(task)))
    lost = _counted([text.text for text in used], excess)
    too_long = [text for text in used if any(lost[text.text].values())]
    subject_lost = _counted([text.up_to_subject for text in too_long], excess)
    by_kind: dict[str, list[EncodedText]] = defaultdict(list)
    for text in too_long:
        counts = subject_lost[text.up_to_subject].values()
        if all(counts):
            cut = "the text encoder cuts" if len(counts) == 1 else "all text encoders cut"
            raise SuiteError(
                f"{text.place}: row {text.row}: {cut} off the subject, {min(counts)} tokens too late in "
                f"{text.text!r}; move it to the front"
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


def _counted(texts: Sequence[str], excess: Excess) -> Mapping[str, Mapping[str, int]]:
    """The tokens that are cut off from each of the texts, by encoder."""
    distinct = list(dict.fromkeys(texts))
    return dict(zip(distinct, excess(distinct), strict=True)) if distinct else {}


def _remark(kind: str, texts: Sequence[EncodedText], lost: Mapping[str, Mapping[str, int]]) -> str:
    most = {name: max(lost[text.text][name] for text in texts) for name in lost[texts[0].text]}
    places = list(dict.fromkeys(text.place for text in texts))
    more = f" and {len(places) - 1} other {kind}" if len(places) > 1 else ""
    rows = ", ".join(dict.fromkeys(text.row for text in texts))
    return f"{places[0]}{more}: {_cut(most)}; rows: {rows}"


def _cut(most: Mapping[str, int]) -> str:
    """Which encoders cut off at most how many tokens, and which read them."""
    names = dict.fromkeys(most, "the text encoder") if len(most) == 1 else {name: name for name in most}
    cut = [f"{names[name]} cuts off the end, at most {count} tokens" for name, count in most.items() if count]
    whole = [name for name, count in most.items() if not count]
    effect = f"{' and '.join(whole)} reads" if whole else "have no effect"
    return f"{' and '.join(cut)}, which {effect}"
