"""Facial actions of each expression."""

from collections.abc import Mapping

from bench.synthetic.parameters.shot import Expression, Shot

# Nobody's face is blank: a resting mouth lifts a little.
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
    """What the face does in one photograph."""
    played = {name: shot.strength * amount for name, amount in ACTIONS[shot.expression].items()}
    played["eyeBlink"] = played.get("eyeBlink", 0.0) + shot.blink
    return played
