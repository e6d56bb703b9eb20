"""Captions from CelebA's 40 attributes, without contradictory labels.

A caption mentions hair, beard, make-up, accessories, expression and, from the landmarks, the direction of the
head. It omits the shapes of face, nose, eyes, lips and brows, age and attractiveness: most belong to the
person, who is the slot, and annotators disagree about all of them. If two labels contradict each other (no
beard and a goatee, two hair colours), neither is mentioned.
"""

from collections.abc import Iterator, Set
from typing import Final

SUBJECT: Final = "{subject}"
COLOURS: Final = {"Black_Hair": "black", "Blond_Hair": "blond", "Brown_Hair": "brown", "Gray_Hair": "grey"}
SHAPES: Final = {"Straight_Hair": "straight", "Wavy_Hair": "wavy"}
WORN: Final = {
    "Eyeglasses": "glasses",
    "Wearing_Hat": "a hat",
    "Wearing_Earrings": "earrings",
    "Wearing_Necklace": "a necklace",
    "Wearing_Necktie": "a necktie",
}
MAX_FRONTAL_TURN: Final = 0.12
MIN_SIDE_TURN: Final = 0.3
"""Maximum `head_turn` of a face towards the camera and minimum of a turned one; in between, the caption does
not mention the direction."""


def caption(labels: Set[str], turn: float | None = None) -> str:
    """A template with the slot; `labels` are the true attributes, `turn` is the value of `head_turn`."""
    kind = "a blurry photo" if "Blurry" in labels else "a photo"
    features = [*_hair(labels), *_face(labels)]
    subject = f"{kind} of {SUBJECT}" + (f" with {_enumerated(features)}" if features else "")
    return ", ".join([subject, *_clauses(labels, turn)])


def head_turn(left_eye: int, right_eye: int, nose: int) -> float | None:
    """Horizontal offset of the nose from the middle of the eyes, divided by the distance between the eyes.

    Negative if the head is turned to the viewer's left; None if the eyes coincide.
    """
    distance = right_eye - left_eye
    return (nose - (left_eye + right_eye) / 2) / distance if distance > 0 else None


def _clauses(labels: Set[str], turn: float | None) -> Iterator[str]:
    match "Smiling" in labels, "Mouth_Slightly_Open" in labels:
        case True, True:
            yield "smiling with the mouth open"
        case True, False:
            yield "smiling"
        case False, True:
            yield "with the mouth slightly open"
    worn = [*(words for label, words in WORN.items() if label in labels), *_makeup(labels)]
    if worn:
        yield f"wearing {_enumerated(worn)}"
    if turn is not None and abs(turn) <= MAX_FRONTAL_TURN:
        yield "facing the camera"
    elif turn is not None and abs(turn) >= MIN_SIDE_TURN:
        yield "turned left" if turn < 0 else "turned right"


def _hair(labels: Set[str]) -> Iterator[str]:
    hatted = "Wearing_Hat" in labels
    if "Bald" in labels:
        if not hatted:
            yield "a bald head"
        return
    colour, shape = _only(COLOURS, labels), _only(SHAPES, labels)
    if colour or shape:
        yield " ".join([*filter(None, (shape, colour)), "hair"])
    if "Receding_Hairline" in labels and "Bangs" not in labels and not hatted:
        yield "a receding hairline"
    if "Bangs" in labels and "Receding_Hairline" not in labels:
        yield "bangs"


def _face(labels: Set[str]) -> Iterator[str]:
    if "Male" in labels:
        yield from _beard(labels)
    if "Pale_Skin" in labels and "Rosy_Cheeks" not in labels:
        yield "pale skin"
    if "Rosy_Cheeks" in labels and "Pale_Skin" not in labels:
        yield "rosy cheeks"
    if "Bags_Under_Eyes" in labels:
        yield "bags under the eyes"


def _beard(labels: Set[str]) -> Iterator[str]:
    """Facial hair; called for men only, because such labels of women are annotation errors."""
    clean, goatee, stubble = "No_Beard" in labels, "Goatee" in labels, "5_o_Clock_Shadow" in labels
    if goatee and not clean:
        yield "a goatee"
    elif stubble and not goatee:
        yield "stubble"
    elif not clean:
        yield "a beard"
    if "Mustache" in labels:
        yield "a moustache"
    if "Sideburns" in labels:
        yield "sideburns"


def _makeup(labels: Set[str]) -> Iterator[str]:
    if "Heavy_Makeup" in labels:
        yield "heavy make-up"
    if "Wearing_Lipstick" in labels:
        yield "lipstick"


def _only(words: dict[str, str], labels: Set[str]) -> str:
    """The only matching word; empty if none or several match."""
    matching = [word for label, word in words.items() if label in labels]
    return matching[0] if len(matching) == 1 else ""


def _enumerated(items: list[str]) -> str:
    *first, last = items
    return f"{', '.join(first)} and {last}" if first else last
