"""The built-in prompt sets: portraits for the embedded world; persons, animals and objects for real ones.

The last three follow the manner of the published sets (DreamBooth's, Custom Diffusion's, PhotoMaker's) and
none of their words. Their prompts take turns by category, so that the first few already cover every category.
Beside its slot no template has an article, a possessive or a verb that would have to agree, so each reads
well with `a man`, `sks dog` or `the old glasses`.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, zip_longest
from typing import Final

from bench.errors import SuiteError, nearest
from bench.suite.prompts import SLOT, Prompt

Asks = Mapping[str, str]
Templates = Mapping[str, str | tuple[str, Asks]]
"""Templates by id; where one asks for what the attribute classifier knows, with that beside it."""


def _prompt(id: str, category: str, clauses: str, **expected_attributes: str) -> Prompt:
    return Prompt(
        id, f"a photo of {SLOT}" + (f", {clauses}" if clauses else ""), category, expected_attributes
    )


PORTRAIT: Final = (
    _prompt("blue-background", "background", "blue background", background="blue"),
    _prompt("red-shirt", "shirt", "wearing a red shirt", shirt="red"),
    _prompt("black-glasses", "glasses", "wearing black glasses", glasses="black"),
    _prompt("laughing", "expression", "laughing", expression="laughing"),
    _prompt("turned-left", "pose", "turned left", pose="left"),
    _prompt("yellow-hat", "hat", "wearing a yellow hat", hat="yellow"),
    _prompt(
        "smiling-pink",
        "joined",
        "smiling, facing the camera, pink background",
        expression="smiling",
        pose="front",
        background="pink",
    ),
    _prompt(
        "green-shirt-grey",
        "joined",
        "wearing a green shirt, grey background",
        shirt="green",
        background="grey",
    ),
    _prompt("surprised", "expression", "surprised", expression="surprised"),
    _prompt("red-hat-white", "joined", "wearing a red hat, white background", hat="red", background="white"),
    _prompt("turned-right", "pose", "turned right", pose="right"),
    _prompt(
        "glasses-yellow",
        "joined",
        "smiling, wearing red glasses, yellow background",
        expression="smiling",
        glasses="red",
        background="yellow",
    ),
)
"""Portraits in the words of the rendered people's captions; the first prompts cover every attribute."""

_PERSON: Final[Mapping[str, Templates]] = {
    "recontextualisation": {
        "harbour": "a photo of {subject} on a stone pier, fishing boats behind",
        "library": "a photo of {subject} between tall shelves in an old library",
        "night-market": "a photo of {subject} at a night market under paper lanterns",
        "greenhouse": "a photo of {subject} in a greenhouse full of ferns",
        "dunes": "a photo of {subject} among sand dunes at dusk",
        "train-window": "a photo of {subject} beside the window of a train, fields passing outside",
    },
    "accessory": {
        "straw-hat": "a photo of {subject} wearing a wide straw hat",
        "black-frames": ("a photo of {subject} wearing glasses with black frames", {"glasses": "black"}),
        "headphones": "a photo of {subject} wearing large white headphones",
        "knitted-hat": ("a photo of {subject} wearing a knitted blue hat", {"hat": "blue"}),
        "wool-scarf": "a photo of {subject} wearing a thick wool scarf",
        "daisies": "a photo of {subject} wearing a crown of daisies",
    },
    "style": {
        "oil-portrait": "an oil portrait of {subject}, visible brush strokes",
        "charcoal": "a charcoal drawing of {subject} on rough paper",
        "woodcut": "a woodcut of {subject} in two colours",
        "clay-figurine": "a small clay figurine of {subject}",
        "stained-glass": "a stained glass window showing {subject}, sunlight behind",
        "comic-panel": "a comic panel showing {subject}, inked outlines and flat colours",
    },
    "action": {
        "kneading": "a photo of {subject} kneading bread dough in a kitchen",
        "cycling": "a photo of {subject} riding a bicycle along a canal",
        "violin": "a photo of {subject} playing the violin on a small stage",
        "newspaper": "a photo of {subject} reading a newspaper on a park bench",
        "climbing": "a photo of {subject} climbing an indoor wall with a rope",
        "watering": "a photo of {subject} watering tomato plants on a balcony",
    },
    "expression": {
        "laughing": ("a close photo of {subject} laughing", {"expression": "laughing"}),
        "surprised": ("a close photo of {subject} looking surprised", {"expression": "surprised"}),
        "angry": ("a close photo of {subject} looking angry", {"expression": "angry"}),
        "sad": ("a close photo of {subject} looking sad", {"expression": "sad"}),
        "thoughtful": "a close photo of {subject} deep in thought, gaze lowered",
        "winking": "a close photo of {subject} winking at the camera",
    },
    "attribute": {
        "grey-hair": ("a photo of {subject} with grey hair", {"hair": "grey"}),
        "curly-hair": ("a photo of {subject} with curly hair", {"style": "curly"}),
        "old-age": ("a photo of {subject} in old age, deeply lined skin", {"age": "old"}),
        "short-hair": ("a photo of {subject} with short hair", {"style": "short"}),
        "freckles": "a photo of {subject} with many freckles",
        "blond-hair": ("a photo of {subject} with blond hair", {"hair": "blond"}),
    },
}

_LIVE: Final[Mapping[str, Templates]] = {
    "recontextualisation": {
        "attic": "a photo of {subject} in a dusty attic, light through a round window",
        "lavender": "a photo of {subject} between rows of lavender",
        "ferry-deck": "a photo of {subject} on the deck of a ferry",
        "bookshop": "a photo of {subject} in the doorway of a bookshop",
        "frozen-lake": "a photo of {subject} on a frozen lake at sunrise",
    },
    "accessory": {
        "bow-tie": "a photo of {subject} wearing a spotted bow tie",
        "rain-cape": "a photo of {subject} wearing a yellow rain cape",
        "backpack": "a photo of {subject} carrying a tiny backpack",
        "knitted-jumper": "a photo of {subject} wearing a striped knitted jumper",
        "pirate-hat": "a photo of {subject} wearing a pirate hat",
    },
    "style": {
        "ink-wash": "an ink wash painting of {subject}",
        "mosaic": "a mosaic of {subject} made of small stone tiles",
        "paper-cut": "a layered paper cut of {subject}",
        "pencil-sketch": "a quick pencil sketch of {subject}",
        "travel-poster": "a travel poster with {subject}, flat shapes and few colours",
    },
    "action": {
        "leaping": "a photo of {subject} leaping over a puddle",
        "asleep": "a photo of {subject} asleep in a wicker chair",
        "digging": "a photo of {subject} digging in wet sand",
        "peeking": "a photo of {subject} peeking out of a cardboard box",
        "running-leaves": "a photo of {subject} running through fallen leaves",
    },
    "attribute": {
        "bright-blue": "a photo of {subject} in bright blue all over",
        "very-young": "a photo of {subject} at a very young age",
        "dripping": "a photo of {subject} dripping with water",
        "golden": "a photo of {subject} turned into polished gold",
        "striped": "a photo of {subject} with zebra stripes",
    },
}

_OBJECT: Final[Mapping[str, Templates]] = {
    "recontextualisation": {
        "windowsill": "a photo of {subject} on a windowsill, rain on the glass",
        "forest-moss": "a photo of {subject} on a mossy log in a forest",
        "workbench": "a photo of {subject} on a workbench among tools",
        "tea-table": "a photo of {subject} on a low table beside a pot of tea",
        "rooftop": "a photo of {subject} on a rooftop, church towers behind",
        "pebbles": "a photo of {subject} on wet pebbles by a stream",
        "shop-shelf": "a photo of {subject} on a shelf in a toy shop",
        "piano": "a photo of {subject} on the lid of a grand piano",
        "hay-bale": "a photo of {subject} on a hay bale in a barn",
        "museum-case": "a photo of {subject} in a museum case under a spotlight",
    },
    "style": {
        "etching": "an etching of {subject} with fine hatching",
        "gouache": "a gouache painting of {subject}",
        "pixel-art": "a pixel art picture of {subject}",
        "blueprint": "a blueprint of {subject}, white lines on blue",
        "embroidery": "an embroidery of {subject} on linen",
    },
    "action": {
        "drifting": "a photo of {subject} drifting down a slow river",
        "in-basket": "a photo of {subject} being carried in a wicker basket",
        "unwrapped": "a photo of {subject} being lifted out of wrapping paper",
        "mid-air": "a photo of {subject} in mid-air, thrown high against a clear sky",
        "snowed-on": "a photo of {subject} half buried by falling snow",
    },
    "attribute": {
        "clear-glass": "a photo of {subject} made of clear glass",
        "orange": "a photo of {subject} in bright orange all over",
        "carved-wood": "a photo of {subject} carved from pale wood",
        "rusty": "a photo of {subject} covered with rust",
        "furry": "a photo of {subject} covered with soft fur",
    },
}


def _turns(categories: Mapping[str, Templates], suits: str = "") -> Iterator[Prompt]:
    """One prompt of each category, then the second of each, and so on."""
    rows = [[(category, *item) for item in prompts.items()] for category, prompts in categories.items()]
    for turn in zip_longest(*rows):
        for category, id, asked in filter(None, turn):
            template, expected_attributes = (asked, {}) if isinstance(asked, str) else asked
            yield Prompt(f"{suits}-{id}" if suits else id, template, category, expected_attributes, suits)


PROMPT_SETS: Final[Mapping[str, tuple[Prompt, ...]]] = {
    "portrait": PORTRAIT,
    "person": tuple(_turns(_PERSON)),
    "live": tuple(_turns(_LIVE)),
    "object": tuple(_turns(_OBJECT)),
    "live-or-object": tuple(chain(*zip(_turns(_LIVE, "live"), _turns(_OBJECT, "object"), strict=True))),
    "none": (),
}
"""`live-or-object` gives each subject one half of its prompts, by the subject's attribute `kind`."""


def choose_prompts(name: str, *, count: int | None, ids: Sequence[str]) -> tuple[Prompt, ...]:
    """The prompts of a built-in set: those named by `ids`, else the first `count`, else all."""
    if name not in PROMPT_SETS:
        raise SuiteError(f"unknown prompt set {name!r}; {nearest(name, PROMPT_SETS)}")
    prompts = {prompt.id: prompt for prompt in PROMPT_SETS[name]}
    for id in ids:
        if id not in prompts:
            raise SuiteError(f"unknown prompt {id!r} in the set {name!r}; {nearest(id, prompts)}")
    if ids:
        return tuple(prompts[id] for id in ids)
    if count is not None and not 0 <= count <= len(prompts):
        raise SuiteError(f"prompts: count = {count}, the set {name!r} holds {len(prompts)}")
    return tuple(prompts.values())[:count]
