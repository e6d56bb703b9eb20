"""First names used as ids of the shipped identities."""

import numpy as np

from bench.synthetic.parameters.persona import Noun

WOMEN = """
ada amy ann bea cleo dora edith ella emma eva fay flora gina grace hana ida ines iris ivy jane
june kate lena lily mia nora olga pia rosa ruth sara zoe
"""
MEN = """
abel adam bob carl dan david emil eric felix finn fred gus hugo ian ivan jack jon karl leo luis
marc max nico noah omar otto paul pete rob sam tom yuri
"""


def name_people(nouns: list[Noun], rng: np.random.Generator) -> list[str]:
    """Assign a different random name to each noun."""
    shuffled = {"woman": iter(rng.permutation(WOMEN.split())), "man": iter(rng.permutation(MEN.split()))}
    return [str(next(shuffled[noun])) for noun in nouns]
