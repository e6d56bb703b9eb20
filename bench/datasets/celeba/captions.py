"""CelebA's forty attributes as a sentence: what is seen of this photograph, and nothing that cannot be true.

Said are hair, beard, make-up, what is worn, expression and, from the landmarks, which way the head is turned.
Not said are the shapes of face, nose, eyes, lips and brows, age and attractiveness: the first belong to the
person, whose place is the slot, and labellers disagree about all of them. Where two labels exclude each other
(no beard and a goatee, two colours of hair) neither is said.
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
FACING: Final = 0.12
TURNED: Final = 0.3
"""Of the distance between the eyes: how far the nose may lie from the middle of a face that looks at the
camera, and how far it must for one that is turned. In between nothing is said."""


def caption(labels: Set[str], turn: float | None = None) -> str:
    """A template with the slot; `labels` are the attributes that hold, `turn` as `head_turn` gives it."""
    kind = "a blurry photo" if "Blurry" in labels else "a photo"
    features = [*_hair(labels), *_face(labels)]
    subject = f"{kind} of {SUBJECT}" + (f" with {_listed(features)}" if features else "")
    return ", ".join([subject, *_clauses(labels, turn)])


def head_turn(left_eye: int, right_eye: int, nose: int) -> float | None:
    """Where the nose lies between the eyes, by their horizontal positions: 0 in the middle, -1..1 and beyond.

    Below 0 the head is turned to the viewer's left. None where the eyes lie on each other.
    """
    apart = right_eye - left_eye
    return (nose - (left_eye + right_eye) / 2) / apart if apart > 0 else None


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
        yield f"wearing {_listed(worn)}"
    if turn is not None and abs(turn) <= FACING:
        yield "facing the camera"
    elif turn is not None and abs(turn) >= TURNED:
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
    """A women's beard is a slip of the labeller, so only men are asked."""
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
    """The one that holds; nothing where several exclude each other."""
    held = [word for label, word in words.items() if label in labels]
    return held[0] if len(held) == 1 else ""


def _listed(things: list[str]) -> str:
    *first, last = things
    return f"{', '.join(first)} and {last}" if first else last
