"""Measures what face networks and the image encoder know of a rendered face: its shape, brows, skin and hair.

    python results/scripts/measure_shapes.py --data DIR

DIR is what `bench train people --data DIR` wrote. The renderer knows each person's parameters. A linear map
(ridge regression) from a network's mean vector of four photographs to them is fitted on training people and
judged on test people, whom no network was trained on.
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from bench.torchvision_compat import ensure_torchvision_imports

# The imports below load torchvision.
ensure_torchvision_imports()

import numpy as np
import torch
from world.people import SEED, Pictures, World
from world.statistics import REPLICATES, Floats, Measured

from bench.analysis.statistics import LEVEL
from bench.atomic_io import write_text
from bench.errors import BenchError
from bench.markdown import table
from bench.synthetic.parameters.persona import HairColour, Persona, Style, sample_persona
from bench.synthetic.parameters.persona_vector import local_shapes, one_hot
from bench.training.workspace import ENCODERS, PACKAGE, ROOT, TrainingPaths
from methods.encoders.clip_vision import EMBEDDED_CLIP, open_encoder
from metrics.encoders.runtime.weight_files import sha256

PHOTOS: Final = 4
"""Of each person."""
AT_ONCE: Final = 200
PENALTIES: Final = 10.0 ** np.arange(0, 7)
KINDS: Final = ("nose", "eye", "mouth", "chin", "cheek", "head")
"""The local shape targets by the first word of their names; the few others are not judged."""
GROUPS: Final = (*KINDS, "brows", "body", "skin tone", "hair colour", "hairstyle")
Numbers = Mapping[str, Any]


def main(words: Sequence[str] | None = None) -> None:
    """Measure and write `shapes.json` and `shapes.md`."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data", type=Path, default=ROOT / "people", help="what `bench train people` wrote")
    parser.add_argument("--fitted", type=int, default=800, help="training people, the first so many")
    parser.add_argument("--people", type=int, default=100, help="test people, the first so many")
    parser.add_argument("--out", type=Path, default=Path(__file__).parents[1] / "world")
    given = parser.parse_args(words)
    place = TrainingPaths(given.data, checkpoints=given.data, out=given.out)
    try:
        fitted = World.open(place.photos("train"), given.fitted, "--fitted")
        judged = World.open(place.photos("test"), given.people)
    except BenchError as error:
        parser.error(str(error))
    numbers = {
        "fitted": given.fitted,
        "judged": given.people,
        "photos": PHOTOS,
        "seed": SEED,
        "replicates": REPLICATES,
        "digests": digests(),
        "explained": measure(fitted, judged),
    }
    given.out.mkdir(parents=True, exist_ok=True)
    write_text(given.out / "shapes.json", json.dumps(numbers, indent=1) + "\n")
    write_text(given.out / "shapes.md", render(numbers))


def measure(fitted: World, judged: World) -> dict[str, dict[str, dict[str, Any]]]:
    """What each network explains of each group of parameters."""
    known, unseen = mean_vectors(fitted), mean_vectors(judged)
    people, strangers = personas(fitted), personas(judged)
    truth = [(group, traits(people, group), traits(strangers, group)) for group in GROUPS]
    return {
        group: {name: asdict(explained(known[name], y, unseen[name], y_unseen)) for name in known}
        for group, y, y_unseen in truth
    }


def digests() -> dict[str, str]:
    """Of the shipped weights that were looked through."""
    files = (EMBEDDED_CLIP / "model.safetensors", ENCODERS / "face-rendered.safetensors")
    return {path.relative_to(PACKAGE).as_posix(): sha256(path)[:16] for path in files}


def mean_vectors(world: World) -> dict[str, Floats]:
    """Each network's mean vector of each person, people x D; a picture without a face does not count."""
    clip = open_encoder(EMBEDDED_CLIP, torch.device("cpu"))

    def tokens(images: Pictures) -> Floats:
        return clip.patches(images).flatten(1).numpy().astype(np.float64)

    rows = world.first_of_each(PHOTOS)
    images, whose = world.pictures(rows), world.people(rows)
    means = {}
    for name, see in (*((face.name, face.encode) for face in world.faces), (clip.name, tokens)):
        vectors = np.concatenate([see(images[i : i + AT_ONCE]) for i in range(0, len(images), AT_ONCE)])
        means[name] = np.stack([np.nanmean(vectors[whose == who], axis=0) for who in np.unique(whose)])
    return means


def personas(world: World) -> list[Persona]:
    """The people that are measured; a record's identity is its person's seed."""
    records = world.photos.photos.records
    return [sample_persona(records[row].identity) for row in world.first_of_each(1)]


def traits(people: Sequence[Persona], group: str) -> Floats:
    """People x the group's parameters; classes as zeros and ones."""
    return np.array([_traits(who, group) for who in people], np.float64)


def _traits(who: Persona, group: str) -> list[float]:
    match group:
        case "brows":
            return list(asdict(who.brows).values())
        case "body":
            body = who.phenotype
            return [body.femininity, body.ageing, body.weight, *body.ancestry]
        case "skin tone":
            return [who.skin_tone]
        case "hair colour":
            return one_hot(who.hair, HairColour)
        case "hairstyle":
            return one_hot(who.style, Style)
        case _:
            return local_shapes(who, f"{group}-")


def explained(x: Floats, y: Floats, x_unseen: Floats, y_unseen: Floats) -> Measured:
    """R^2 on the unseen, the mean over y's columns, with its 95 % interval by a bootstrap over people.

    0 is what the mean of the fitted people gives; the penalty is the one with the least leave-one-out error
    among the fitted (Allen 1974, PRESS), so the unseen choose nothing. Columns that do not vary are left out.
    """
    varied = (y.std(0) > 0) & (y_unseen.std(0) > 0)
    y, y_unseen = y[:, varied], y_unseen[:, varied]
    centre, spread = x.mean(0), x.std(0) + 1e-6
    x, x_unseen = (x - centre) / spread, (x_unseen - centre) / spread
    mean = y.mean(0)
    values, basis = np.linalg.eigh(x @ x.T)
    within = basis.T @ (y - mean)

    def left_out(penalty: float) -> float:
        shrunk = values / (values + penalty)
        leverage = (basis**2) @ shrunk + 1 / len(y)
        error = (y - mean - basis @ (shrunk[:, None] * within)) / (1 - leverage)[:, None]
        return float(np.square(error / y.std(0)).mean())

    penalty = min(PENALTIES, key=left_out)
    weights = basis @ (within / (values + penalty)[:, None])
    wrong = np.square(y_unseen - mean - x_unseen @ (x.T @ weights))
    blind = np.square(y_unseen - mean)

    def score(people: Floats) -> float:
        return float((1 - people @ wrong / np.maximum(people @ blind, 1e-12)).mean())

    size = len(wrong)
    drawn = np.random.default_rng(SEED).multinomial(size, np.full(size, 1 / size), REPLICATES)
    low, high = np.quantile([score(people) for people in drawn], [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Measured(score(np.ones(size)), float(low), float(high), PHOTOS * size, size)


def render(numbers: Numbers) -> str:
    """The page; every number in it comes from `numbers`."""
    found = numbers["explained"]
    networks = list(next(iter(found.values())))
    rows = [
        [group, *(f"{r['value']:.2f} [{r['low']:.2f}, {r['high']:.2f}]" for r in by_network.values())]
        for group, by_network in found.items()
    ]
    return f"""# What the networks know of a face

How much of a rendered person's parameters a linear map reads out of each network's mean vector of
{numbers["photos"]} photographs: R², the mean over a group's parameters, with its 95 % interval over people.
1 is everything, 0 what one would guess of a stranger. Fitted on {numbers["fitted"]} training people,
judged on {numbers["judged"]} test people. `python results/scripts/measure_shapes.py` made this page.

{table(["parameters", *networks], rows)}

`nose` to `head` are local shapes, `body` is sex, age, weight and ancestry. `clip-embedded` is the image
encoder that ip-adapter and the leave-one-out methods see through. Where it and `face-rendered` know nothing
and `sface` does, a method can be good by one face network and poor by the other: read both.
"""


if __name__ == "__main__":
    main()
