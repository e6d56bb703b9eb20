"""Parameters of one photograph: pose, expression, accessories, background and light."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from bench.synthetic.parameters.persona import Persona, Rgb
from bench.synthetic.parameters.sampling import pick

Pose = Literal["front", "left", "right"]
"""Named from the viewer's side: with `left` the face is turned to the left edge of the image."""
Expression = Literal["neutral", "smiling", "laughing", "surprised", "sad", "angry"]
GlassesColour = Literal["none", "black", "red"]
HatColour = Literal["none", "red", "blue", "green", "black", "yellow"]
ShirtColour = Literal["white", "black", "grey", "red", "green", "blue", "yellow", "purple"]
BackgroundColour = Literal["white", "grey", "black", "red", "green", "blue", "yellow", "pink"]

POSE_ODDS: Mapping[Pose, float] = {"front": 0.5, "left": 0.25, "right": 0.25}
EXPRESSION_ODDS: Mapping[Expression, float] = {
    "neutral": 0.30,
    "smiling": 0.30,
    "laughing": 0.14,
    "surprised": 0.10,
    "sad": 0.08,
    "angry": 0.08,
}
GLASSES_ODDS: Mapping[GlassesColour, float] = {"none": 0.75, "black": 0.17, "red": 0.08}
HAT_SHARE = 0.20

# Exact sRGB values between 0 and 1. Cloth is darker than a wall of the same name, so that they differ.
CLOTH: Mapping[str, Rgb] = {
    "white": (0.93, 0.93, 0.93),
    "black": (0.10, 0.10, 0.11),
    "grey": (0.50, 0.51, 0.53),
    "red": (0.78, 0.10, 0.12),
    "green": (0.10, 0.50, 0.20),
    "blue": (0.14, 0.28, 0.76),
    "yellow": (0.95, 0.80, 0.12),
    "purple": (0.52, 0.20, 0.66),
}
WALL: Mapping[BackgroundColour, Rgb] = {
    "white": (0.95, 0.95, 0.95),
    "grey": (0.58, 0.60, 0.62),
    "black": (0.13, 0.13, 0.15),
    "red": (0.80, 0.24, 0.22),
    "green": (0.28, 0.62, 0.36),
    "blue": (0.26, 0.46, 0.84),
    "yellow": (0.96, 0.86, 0.36),
    "pink": (0.96, 0.66, 0.80),
}


@dataclass(frozen=True)
class Shot:
    """Angles are in radians; a positive yaw turns the face to the right edge of the image."""

    pose: Pose
    expression: Expression
    glasses: GlassesColour
    hat: HatColour
    shirt: ShirtColour
    background: BackgroundColour
    yaw: float
    pitch: float
    strength: float
    """Intensity of the expression, around 1."""
    blink: float
    gaze: tuple[float, float]
    light: tuple[float, float, float]
    """Direction towards the light."""
    exposure: float

    @property
    def attributes(self) -> dict[str, str]:
        """The labels that a caption may contain."""
        labels = ("expression", "pose", "glasses", "hat", "shirt", "background")
        return {label: str(getattr(self, label)) for label in labels}


def sample_shot(persona: Persona, seed: int) -> Shot:
    """Sample one photograph; it is determined by persona and seed."""
    rng = np.random.default_rng((persona.seed, seed))
    pose = pick(rng, POSE_ODDS)
    yaw = np.radians(rng.uniform(14, 25) if pose != "front" else rng.uniform(-6, 6))
    hats = [colour for colour in get_args(HatColour) if colour != "none"]
    return Shot(
        pose=pose,
        expression=pick(rng, EXPRESSION_ODDS),
        glasses=pick(rng, GLASSES_ODDS),
        hat=hats[rng.integers(len(hats))] if rng.random() < HAT_SHARE else "none",
        shirt=get_args(ShirtColour)[rng.integers(8)],
        background=get_args(BackgroundColour)[rng.integers(8)],
        yaw=float(-yaw if pose == "left" else yaw),
        pitch=float(np.clip(rng.normal(0, np.radians(2)), *np.radians((-5, 5)))),
        strength=float(rng.uniform(0.9, 1.1)),
        blink=float(rng.uniform(0, 0.08)),
        gaze=(float(rng.normal(0, 0.05)), float(rng.normal(0, 0.03))),
        light=(float(rng.normal(0, 0.12)), float(rng.normal(0.45, 0.05)), 0.9),
        exposure=float(rng.uniform(0.97, 1.03)),
    )
