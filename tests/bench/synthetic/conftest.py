from functools import cache

import pytest

from bench.synthetic.parameters.persona import sample_persona
from bench.synthetic.renderer.person_mesh import Person, make_person


@cache
def _person(seed: int) -> Person:
    return make_person(sample_persona(seed))


@pytest.fixture
def person() -> Person:
    return _person(2)


@pytest.fixture
def other_person() -> Person:
    return _person(6)
