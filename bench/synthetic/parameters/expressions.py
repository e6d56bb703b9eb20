"""Facial actions of each expression."""

from collections.abc import Mapping

from bench.synthetic.parameters.shot import Expression, Shot

# A neutral face is not blank: the corners of the mouth are slightly raised.
ACTIONS: Mapping[Expression, Mapping[str, float]] = {
    "neutral": {"mouthSmile": 0.15, "browInnerUp": 0.05},
    "smiling": {"mouthSmile": 1.05, "cheekSquint": 0.5, "eyeSquint": 0.2, "mouthDimple": 0.2},
    "laughing": {
        "mouthSmile": 1.1,
        "jawOpen": 0.42,
        "cheekSquint": 0.7,
        "eyeSquint": 0.45,
        "mouthUpperUp": 0.50,
    },
    "surprised": {
        "jawOpen": 0.58,
        "browInnerUp": 0.9,
        "browOuterUp": 0.9,
        "eyeWide": 0.9,
        "mouthFunnel": 0.3,
    },
    "sad": {"browInnerUp": 1.0, "mouthFrown": 1.1, "mouthShrugLower": 0.5, "eyeBlink": 0.15},
    "angry": {
        "browDown": 1.2,
        "noseSneer": 0.6,
        "mouthPress": 0.5,
        "eyeSquint": 0.4,
        "mouthFrown": 0.5,
    },
}


def actions(shot: Shot) -> dict[str, float]:
    """Amount of each facial action in one photograph."""
    amounts = {name: shot.strength * amount for name, amount in ACTIONS[shot.expression].items()}
    amounts["eyeBlink"] = amounts.get("eyeBlink", 0.0) + shot.blink
    return amounts
