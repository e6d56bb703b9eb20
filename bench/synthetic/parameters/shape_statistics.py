"""Means and standard deviations of the weights of local shape targets."""

from collections.abc import Mapping, Sequence
from functools import cache

from bench.synthetic.geometry.head_model import load_head

# Standard deviations of the local targets, by the first matching prefix. They are large, because a face
# network trained on photographs separates rendered people less well than real ones.
SPREADS: Sequence[tuple[str, float]] = (
    ("mouth-scale-horiz", 0.36),
    ("mouth-trans-up", 0.36),
    ("mouth-scale-vert", 0.28),
    ("mouth-laugh", 0.08),
    ("mouth-angles", 0.10),
    ("mouth", 0.27),
    ("neck", 0.14),
    ("measure-neck", 0.14),
    ("head-age", 0.05),
    ("head", 0.18),
    ("forehead", 0.21),
    ("eyebrows-angle", 0.20),
    ("eyebrows-trans-forward", 0.20),
    ("eyebrows", 0.36),
    ("eye-push", 0.12),
    ("eye-bag", 0.10),
    ("eye-corner", 0.58),
    ("eye-trans", 0.35),
    ("eye", 0.38),
    ("chin-cleft", 0.17),
    ("chin-height", 0.22),
    ("chin", 0.32),
    ("cheek", 0.32),
    ("nose-compression", 0.21),
    ("nose-septum", 0.28),
    ("nose", 0.42),
    ("ear", 0.35),
)
MEANS: Mapping[str, float] = {
    "eye-scale-incr": 0.45,
    "eye-trans-out": 0.30,
    "chin-height-incr": -0.20,
    "eye-height2-incr": 0.25,
    "eye-height1-incr": 0.15,
    "eye-height3-incr": 0.15,
    "eyebrows-trans-forward": -0.20,
    "mouth-angles-up": 0.15,
    "ear-wing-incr": -0.20,
}
FEMININE_MEANS: Mapping[str, float] = {
    "chin-width-incr": -0.35,
    "chin-prominent-incr": -0.15,
    "chin-bones-incr": -0.25,
    "chin-height-incr": -0.15,
    "head-scale-horiz-incr": -0.10,
    "head-age-incr": -0.30,
    "nose-scale-horiz-incr": -0.25,
    "nose-volume-incr": -0.20,
    "nose-scale-vert-incr": -0.15,
    "nose-hump-incr": -0.15,
    "eye-scale-incr": 0.30,
    "eyebrows-trans-up": 0.15,
    "neck-scale-horiz-incr": -0.35,
    "mouth-lowerlip-volume-incr": 0.20,
    "mouth-upperlip-volume-incr": 0.20,
    "mouth-upperlip-height-incr": 0.20,
    "forehead-nubian-incr": 0.05,
}


@cache
def amount_odds(feminine: bool) -> tuple[list[str], list[float], list[float]]:
    """Names of the targets, means and standard deviations of their weights."""
    names = [name[:-1] for name in load_head().shapes.names if name.endswith("+")]
    spreads = [next(spread for prefix, spread in SPREADS if name.startswith(prefix)) for name in names]
    if not feminine:
        return names, [MEANS.get(name, 0.0) for name in names], spreads
    means = [MEANS.get(name, 0.0) + FEMININE_MEANS.get(name, 0.0) for name in names]
    return names, means, [0.85 * spread for spread in spreads]
