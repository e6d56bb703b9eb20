"""Measures which parameters of a rendered face can be predicted from the features of each network.

    python results/scripts/measure_shapes.py --data DIR

DIR is the output of `bench train people --data DIR`, which contains each person's parameters (shape, brows,
skin, hair). A ridge regression predicts them from a network's mean vector of four photographs. It is fitted
on training people and evaluated on test people; no network was trained on the latter.
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
from world.people import SEED, Images, RenderedPeople
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
"""Photographs per person."""
BATCH_SIZE: Final = 200
PENALTIES: Final = 10.0 ** np.arange(0, 7)
SHAPES: Final = ("nose", "eye", "mouth", "chin", "cheek", "head")
"""First words of the names of local shape targets; the few other targets are not evaluated."""
GROUPS: Final = (*SHAPES, "brows", "body", "skin tone", "hair colour", "hairstyle")
Numbers = Mapping[str, Any]


def main(argv: Sequence[str] | None = None) -> None:
    """Measure, and write `shapes.json` and `shapes.md`."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "--data", type=Path, default=ROOT / "people", help="output folder of `bench train people`"
    )
    parser.add_argument("--fitted", type=int, default=800, help="number of training people")
    parser.add_argument("--people", type=int, default=100, help="number of test people")
    parser.add_argument("--out", type=Path, default=Path(__file__).parents[1] / "world")
    args = parser.parse_args(argv)
    paths = TrainingPaths(args.data, checkpoints=args.data, out=args.out)
    try:
        fitted = RenderedPeople.open(paths.photos("train"), args.fitted, "--fitted")
        test = RenderedPeople.open(paths.photos("test"), args.people)
    except BenchError as error:
        parser.error(str(error))
    numbers = {
        "fitted": args.fitted,
        "judged": args.people,
        "photos": PHOTOS,
        "seed": SEED,
        "replicates": REPLICATES,
        "digests": digests(),
        "explained": measure(fitted, test),
    }
    args.out.mkdir(parents=True, exist_ok=True)
    write_text(args.out / "shapes.json", json.dumps(numbers, indent=1) + "\n")
    write_text(args.out / "shapes.md", render(numbers))


def measure(fitted: RenderedPeople, test: RenderedPeople) -> dict[str, dict[str, dict[str, Any]]]:
    """R^2 of each group of parameters for each network."""
    x, x_test = mean_vectors(fitted), mean_vectors(test)
    people, test_people = personas(fitted), personas(test)
    targets = [(group, parameters(people, group), parameters(test_people, group)) for group in GROUPS]
    return {
        group: {name: asdict(explained(x[name], y, x_test[name], y_test)) for name in x}
        for group, y, y_test in targets
    }


def digests() -> dict[str, str]:
    """Digests of the built-in weights that were measured."""
    files = (EMBEDDED_CLIP / "model.safetensors", ENCODERS / "face-rendered.safetensors")
    return {path.relative_to(PACKAGE).as_posix(): sha256(path)[:16] for path in files}


def mean_vectors(sample: RenderedPeople) -> dict[str, Floats]:
    """Mean vector per person of each network, people x D; images without a face are ignored."""
    clip = open_encoder(EMBEDDED_CLIP, torch.device("cpu"))

    def tokens(images: Images) -> Floats:
        return clip.patches(images).flatten(1).numpy().astype(np.float64)

    rows = sample.first_of_each(PHOTOS)
    images, people = sample.images(rows), sample.people(rows)
    means = {}
    for name, encode in (*((face.name, face.encode) for face in sample.faces), (clip.name, tokens)):
        vectors = np.concatenate(
            [encode(images[i : i + BATCH_SIZE]) for i in range(0, len(images), BATCH_SIZE)]
        )
        means[name] = np.stack(
            [np.nanmean(vectors[people == person], axis=0) for person in np.unique(people)]
        )
    return means


def personas(sample: RenderedPeople) -> list[Persona]:
    """Parameters of the people; a record's identity is the person's seed."""
    records = sample.photos.photos.records
    return [sample_persona(records[row].identity) for row in sample.first_of_each(1)]


def parameters(people: Sequence[Persona], group: str) -> Floats:
    """Matrix of people x parameters of the group; classes are one-hot."""
    return np.array([_parameters(person, group) for person in people], np.float64)


def _parameters(person: Persona, group: str) -> list[float]:
    match group:
        case "brows":
            return list(asdict(person.brows).values())
        case "body":
            body = person.phenotype
            return [body.femininity, body.ageing, body.weight, *body.ancestry]
        case "skin tone":
            return [person.skin_tone]
        case "hair colour":
            return one_hot(person.hair, HairColour)
        case "hairstyle":
            return one_hot(person.style, Style)
        case _:
            return local_shapes(person, f"{group}-")


def explained(x: Floats, y: Floats, x_test: Floats, y_test: Floats) -> Measured:
    """Test R^2, averaged over y's columns, with a 95 % bootstrap interval over people.

    0 is the R^2 of predicting the mean of the fitted people. The penalty minimises the leave-one-out error of
    the fitted people (PRESS, Allen 1974), so the test people select nothing. Constant columns are ignored.
    """
    varied = (y.std(0) > 0) & (y_test.std(0) > 0)
    y, y_test = y[:, varied], y_test[:, varied]
    centre, spread = x.mean(0), x.std(0) + 1e-6
    x, x_test = (x - centre) / spread, (x_test - centre) / spread
    mean = y.mean(0)
    values, basis = np.linalg.eigh(x @ x.T)
    within = basis.T @ (y - mean)

    def press(penalty: float) -> float:
        shrunk = values / (values + penalty)
        leverage = (basis**2) @ shrunk + 1 / len(y)
        error = (y - mean - basis @ (shrunk[:, None] * within)) / (1 - leverage)[:, None]
        return float(np.square(error / y.std(0)).mean())

    penalty = min(PENALTIES, key=press)
    weights = basis @ (within / (values + penalty)[:, None])
    residual = np.square(y_test - mean - x_test @ (x.T @ weights))
    baseline = np.square(y_test - mean)

    def score(people: Floats) -> float:
        return float((1 - people @ residual / np.maximum(people @ baseline, 1e-12)).mean())

    size = len(residual)
    counts = np.random.default_rng(SEED).multinomial(size, np.full(size, 1 / size), REPLICATES)
    low, high = np.quantile([score(people) for people in counts], [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Measured(score(np.ones(size)), float(low), float(high), PHOTOS * size, size)


def render(numbers: Numbers) -> str:
    """Render the page from `numbers`, the content of shapes.json."""
    found = numbers["explained"]
    networks = list(next(iter(found.values())))
    rows = [
        [group, *(f"{r['value']:.2f} [{r['low']:.2f}, {r['high']:.2f}]" for r in by_network.values())]
        for group, by_network in found.items()
    ]
    return f"""# Which face parameters the networks encode

A linear map predicts a rendered person's parameters from each network's mean vector of
{numbers["photos"]} photographs. The table contains R², averaged over a group's parameters, with its 95 %
interval over people. 1 is a perfect prediction, 0 is as good as the mean person. The map is fitted on
{numbers["fitted"]} training people and evaluated on {numbers["judged"]} test people.
`python results/scripts/measure_shapes.py` writes this page.

{table(["parameters", *networks], rows)}

`nose` to `head` are local shapes; `body` is sex, age, weight and ancestry. `clip-embedded` is the image
encoder of ip-adapter and the leave-one-out methods. Some parameters are encoded by `sface`, but neither by
`clip-embedded` nor by `face-rendered`. So a method can score high with one face network and low with the
other: report both.
"""


if __name__ == "__main__":
    main()
