"""Render photographs of one identity with their records."""

from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from bench.synthetic.dataset.captions import caption_template
from bench.synthetic.dataset.photo_files import Photo
from bench.synthetic.parameters.persona import sample_persona
from bench.synthetic.parameters.shot import sample_shot
from bench.synthetic.renderer.person_mesh import make_person
from bench.synthetic.renderer.render import render


def photograph(seed: int, views: Iterable[int], size: int) -> Iterator[tuple[Photo, NDArray[np.uint8]]]:
    """Yield the numbered views of an identity; each depends only on its own number."""
    persona = sample_persona(seed)
    person = make_person(persona)
    for view in views:
        shot = sample_shot(persona, view)
        attributes = {**persona.attributes, **shot.attributes}
        yield Photo(seed, view, attributes, caption_template(attributes)), render(person, shot, size)
