"""Photographs of one identity, with what is known of them."""

from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from bench.people.caption import caption_template
from bench.people.identity import sample_persona
from bench.people.person import make_person
from bench.people.photos import Photo
from bench.people.render import render
from bench.people.shot import sample_shot


def photograph(seed: int, views: Iterable[int], size: int) -> Iterator[tuple[Photo, NDArray[np.uint8]]]:
    """The numbered views of an identity; each depends on its own number alone."""
    persona = sample_persona(seed)
    person = make_person(persona)
    for view in views:
        shot = sample_shot(persona, view)
        attributes = {**persona.attributes, **shot.attributes}
        yield Photo(seed, view, attributes, caption_template(attributes)), render(person, shot, size)
