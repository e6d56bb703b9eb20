"""Parameters of a synthetic person that are the same in all photographs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from bench.synthetic.geometry.head_model import Phenotype
from bench.synthetic.parameters.sampling import pick
from bench.synthetic.parameters.shape_statistics import amount_odds

Noun = Literal["man", "woman"]
Age = Literal["young", "middle-aged", "old"]
Skin = Literal["light", "tan", "dark"]
HairColour = Literal["black", "brown", "blond", "red", "grey"]
Style = Literal["bald", "buzz", "short", "curly", "bob", "long", "bun"]
Beard = Literal["none", "stubble", "moustache", "full"]
Eyes = Literal["brown", "green", "blue", "grey"]
Rgb = tuple[float, float, float]

HAIR_COLOURS: Mapping[HairColour, Rgb] = {
    "black": (0.13, 0.115, 0.11),
    "brown": (0.36, 0.21, 0.12),
    "blond": (0.85, 0.69, 0.38),
    "red": (0.70, 0.28, 0.08),
    "grey": (0.68, 0.67, 0.66),
}
EYE_COLOURS: Mapping[Eyes, Rgb] = {
    "brown": (0.28, 0.15, 0.07),
    "green": (0.25, 0.45, 0.22),
    "blue": (0.22, 0.42, 0.72),
    "grey": (0.44, 0.50, 0.55),
}
# From fair to very dark, in perceptually equal steps.
SKIN_TONES: Sequence[Rgb] = (
    (0.95, 0.78, 0.68),
    (0.91, 0.73, 0.61),
    (0.83, 0.64, 0.51),
    (0.75, 0.56, 0.42),
    (0.63, 0.45, 0.32),
    (0.49, 0.33, 0.23),
    (0.36, 0.24, 0.17),
)
SKIN_RANGES: Mapping[Skin, tuple[float, float]] = {
    "light": (0.0, 1.6),
    "tan": (2.7, 3.7),
    "dark": (4.8, 5.9),
}
AGEING: Mapping[Age, tuple[float, float]] = {
    "young": (0.0, 0.12),
    "middle-aged": (0.28, 0.48),
    "old": (0.70, 0.95),
}


@dataclass(frozen=True)
class Brows:
    """Eyebrows, in radians around the head and decimetres above the eyes."""

    height: float
    slope: float
    arch: float
    width: float
    start: float
    end: float
    strength: float


@dataclass(frozen=True)
class Persona:
    """One identity."""

    seed: int
    noun: Noun
    age: Age
    skin: Skin
    hair: HairColour
    style: Style
    beard: Beard
    eyes: Eyes
    phenotype: Phenotype
    amounts: Mapping[str, float]
    """Weight of each local shape target, between -1 and 1."""
    brows: Brows
    skin_tone: float
    """A position on `SKIN_TONES`."""
    skin_tint: Rgb
    hair_tint: float
    lip_redness: float
    lipstick: bool
    blush: float
    freckles: float
    wrinkles: float
    hairline: float
    volume: float
    length: float
    parting: Literal[-1, 1]
    """The side of the bun and the waves: 1 is the person's left, -1 the right."""

    @property
    def attributes(self) -> dict[str, str]:
        """The labels that a caption may contain."""
        labels = ("noun", "age", "skin", "hair", "style", "beard", "eyes")
        return {label: str(getattr(self, label)) for label in labels}


def sample_persona(seed: int) -> Persona:
    """Sample one identity; the same seed always gives the same person."""
    rng = np.random.default_rng(seed)
    noun: Noun = pick(rng, {"man": 0.5, "woman": 0.5})
    age: Age = pick(rng, {"young": 0.52, "middle-aged": 0.36, "old": 0.12})
    skin: Skin = pick(rng, {"light": 0.42, "tan": 0.32, "dark": 0.26})
    hair: HairColour = pick(rng, _hair_odds(age, skin))
    style: Style = pick(rng, STYLE_ODDS[noun])
    beard: Beard = pick(rng, BEARD_ODDS) if noun == "man" else "none"
    eyes: Eyes = pick(rng, EYE_ODDS[skin])
    phenotype = _sample_phenotype(rng, noun, age, skin)
    return Persona(
        seed=seed,
        noun=noun,
        age=age,
        skin=skin,
        hair=hair,
        style=style,
        beard=beard,
        eyes=eyes,
        phenotype=phenotype,
        amounts=_sample_amounts(rng, noun),
        brows=_sample_brows(rng, noun),
        skin_tone=float(rng.uniform(*SKIN_RANGES[skin])),
        skin_tint=_tint(rng),
        hair_tint=float(rng.uniform(0.85, 1.15)),
        lip_redness=float(rng.uniform(0.2, 0.8)),
        lipstick=noun == "woman" and bool(rng.random() < 0.35),
        blush=float(rng.uniform(0.2, 0.8)),
        freckles=float(rng.uniform(0.5, 1.0)) if skin == "light" and rng.random() < 0.2 else 0.0,
        wrinkles=float(rng.uniform(0.6, 1.0)) if age == "old" else 0.0,
        hairline=float(rng.normal(-0.02, 0.06)),
        volume=float(rng.uniform(0.75, 1.25)),
        length=float(rng.uniform(0.85, 1.15)),
        parting=1 if rng.random() < 0.5 else -1,
    )


STYLE_ODDS: Mapping[Noun, Mapping[Style, float]] = {
    "man": {
        "bald": 0.14,
        "buzz": 0.18,
        "short": 0.36,
        "curly": 0.16,
        "bob": 0.05,
        "long": 0.07,
        "bun": 0.04,
    },
    "woman": {
        "bald": 0.01,
        "buzz": 0.02,
        "short": 0.11,
        "curly": 0.17,
        "bob": 0.23,
        "long": 0.28,
        "bun": 0.18,
    },
}
BEARD_ODDS: Mapping[Beard, float] = {"none": 0.50, "stubble": 0.14, "moustache": 0.14, "full": 0.22}
EYE_ODDS: Mapping[Skin, Mapping[Eyes, float]] = {
    "light": {"brown": 0.34, "green": 0.18, "blue": 0.34, "grey": 0.14},
    "tan": {"brown": 0.74, "green": 0.16, "blue": 0.05, "grey": 0.05},
    "dark": {"brown": 0.94, "green": 0.04, "blue": 0.01, "grey": 0.01},
}


def _hair_odds(age: Age, skin: Skin) -> Mapping[HairColour, float]:
    odds: Mapping[Skin, tuple[float, float, float, float]] = {
        "light": (0.22, 0.30, 0.30, 0.18),
        "tan": (0.50, 0.34, 0.10, 0.06),
        "dark": (0.74, 0.24, 0.01, 0.01),
    }
    grey = {"young": 0.0, "middle-aged": 0.12, "old": 0.72}[age]
    black, brown, blond, red = (share * (1 - grey) for share in odds[skin])
    return {"black": black, "brown": brown, "blond": blond, "red": red, "grey": grey}


def _sample_phenotype(rng: np.random.Generator, noun: Noun, age: Age, skin: Skin) -> Phenotype:
    leaning = {"light": (0.3, 0.8, 1.6), "tan": (0.6, 1.3, 0.9), "dark": (2.0, 0.5, 0.4)}[skin]
    african, asian, caucasian = rng.dirichlet(leaning)
    femininity = abs(rng.normal(0, 0.05)) if noun == "man" else 1 - abs(rng.normal(0, 0.04))
    years = rng.uniform(*AGEING[age])
    return Phenotype(
        femininity=float(np.clip(femininity, 0, 1)),
        # The whole-body ageing target makes a female face heavy before it looks old.
        ageing=float(years * (0.75 if noun == "woman" else 0.9)),
        weight=float(np.clip(rng.normal(0.45, 0.18), 0.05, 0.95)),
        ancestry=(float(african), float(asian), float(caucasian)),
    )


def _sample_brows(rng: np.random.Generator, noun: Noun) -> Brows:
    man = noun == "man"
    return Brows(
        height=float(rng.normal(0.215 if man else 0.235, 0.032)),
        slope=float(rng.normal(0.02, 0.04)),
        arch=float(max(0, rng.normal(0.045 if man else 0.065, 0.04))),
        width=float(rng.uniform(0.043, 0.092) if man else rng.uniform(0.027, 0.061)),
        start=float(rng.uniform(0.09, 0.18)),
        end=float(rng.uniform(0.66, 0.78)),
        strength=float(rng.uniform(0.55, 1.0)),
    )


def _tint(rng: np.random.Generator) -> Rgb:
    red, green, blue = 1 + rng.normal(0, (0.015, 0.014, 0.025))
    return float(red), float(green), float(blue)


def _sample_amounts(rng: np.random.Generator, noun: Noun) -> dict[str, float]:
    names, means, spreads = amount_odds(noun == "woman")
    return dict(zip(names, np.clip(rng.normal(means, spreads), -1, 1).tolist(), strict=True))
