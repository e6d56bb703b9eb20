"""Captions of rendered photographs, from their attributes."""

from collections.abc import Iterator, Mapping

import numpy as np

from methods.subject import with_article

Attributes = Mapping[str, str]

SUBJECT = "{subject}"
HIDDEN_BY_HAT = frozenset({"bald", "buzz", "short", "curly", "bun"})
POSES = {"front": "facing the camera", "left": "turned left", "right": "turned right"}
MIRRORED = {"left": "right", "right": "left"}


def caption_template(attributes: Attributes) -> str:
    """A complete description of the shot, with `{subject}` in place of the person."""
    clauses = [
        _expression(attributes),
        _wearing([_glasses(attributes), _hat(attributes), _shirt(attributes)]),
        POSES[attributes["pose"]],
        f"{attributes['background']} background",
    ]
    return ", ".join([f"a photo of {SUBJECT}", *clauses])


def noun_phrase(attributes: Attributes) -> str:
    """`a man` or `a woman`."""
    return with_article(attributes["noun"])


def subject_phrase(attributes: Attributes, rng: np.random.Generator) -> str:
    """A description of the person by a random subset of age, skin, hair and beard."""
    noun = attributes["noun"] if rng.random() >= 0.12 else "person"
    aged = f"{attributes['age']} {noun}" if rng.random() >= 0.5 else noun
    traits = list(_traits(attributes, rng))
    return with_article(aged) + (f" with {_enumerated(traits)}" if traits else "")


def random_caption(attributes: Attributes, rng: np.random.Generator) -> str:
    """A caption that mentions a random subset of the attributes, like captions written by people."""
    if rng.random() < 0.06:
        return f"a photo of {noun_phrase(attributes)}"
    worn = [
        _glasses(attributes, coloured=bool(rng.random() >= 0.20)) if rng.random() >= 0.06 else "",
        _hat(attributes, coloured=bool(rng.random() >= 0.15)) if rng.random() >= 0.06 else "",
        _shirt(attributes) if rng.random() >= 0.2 else "",
    ]
    clauses = [
        _expression(attributes) if rng.random() >= 0.2 else "",
        _wearing(worn),
        POSES[attributes["pose"]] if rng.random() >= 0.3 else "",
        f"{attributes['background']} background" if rng.random() >= 0.15 else "",
    ]
    return ", ".join([f"a photo of {subject_phrase(attributes, rng)}", *filter(None, clauses)])


def hair_phrase(attributes: Attributes) -> str:
    """The hairstyle, or an empty string if a hat hides it."""
    style, colour = attributes["style"], attributes["hair"]
    if attributes["hat"] != "none" and style in HIDDEN_BY_HAT:
        return ""
    match style:
        case "bald":
            return "a bald head"
        case "buzz":
            return f"buzzed {colour} hair"
        case "bob":
            return f"a {colour} bob"
        case "bun":
            return f"{colour} hair in a bun"
        case _:
            return f"{style} {colour} hair"


def mirrored(attributes: Attributes) -> dict[str, str]:
    """The attributes of the same image flipped left to right."""
    pose = attributes["pose"]
    return {**attributes, "pose": MIRRORED.get(pose, pose)}


def _traits(attributes: Attributes, rng: np.random.Generator) -> Iterator[str]:
    if rng.random() >= 0.4:
        yield f"{attributes['skin']} skin"
    hair = hair_phrase(attributes)
    if rng.random() >= 0.35 and hair:
        plain = attributes["style"] != "bald" and rng.random() < 0.3
        yield f"{attributes['hair']} hair" if plain else hair
    beard = _beard(attributes)
    if rng.random() >= 0.3 and beard:
        yield beard


def _beard(attributes: Attributes) -> str:
    phrases = {"none": "", "stubble": "stubble", "moustache": "a moustache", "full": "a full beard"}
    return phrases[attributes["beard"]]


def _expression(attributes: Attributes) -> str:
    expression = attributes["expression"]
    return "neutral expression" if expression == "neutral" else expression


def _glasses(attributes: Attributes, coloured: bool = True) -> str:
    colour = attributes["glasses"]
    if colour == "none":
        return ""
    return f"{colour} glasses" if coloured else "glasses"


def _hat(attributes: Attributes, coloured: bool = True) -> str:
    colour = attributes["hat"]
    if colour == "none":
        return ""
    return f"a {colour} hat" if coloured else "a hat"


def _shirt(attributes: Attributes) -> str:
    return f"a {attributes['shirt']} shirt"


def _wearing(items: list[str]) -> str:
    worn = [item for item in items if item]
    return f"wearing {_enumerated(worn)}" if worn else ""


def _enumerated(items: list[str]) -> str:
    *first, last = items
    return f"{', '.join(first)} and {last}" if first else last
