"""Renders results/world/README.md from numbers.json, the output of `measure_world.py`."""

import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from bench.markdown import dash, table

Numbers = Mapping[str, Any]
SECONDS: Final = "seconds"
BUSY: Final = 1.0
"""System load above which a slow time is inconclusive, because other processes used the cores."""


@dataclass(frozen=True)
class Requirement:
    """A lower or upper bound for a measured value."""

    name: str
    """Key in `measured` of numbers.json."""
    label: str
    side: Literal["at least", "at most"]
    value: float
    decimals: int = 3

    def met(self, number: float) -> bool:
        """True if the number satisfies the bound."""
        return number >= self.value if self.side == "at least" else number <= self.value


REQUIREMENTS: Final = (
    Requirement("auc@sface, renders", "AUC of sface on renders", "at least", 0.97, 4),
    Requirement("auc@face-rendered, renders", "AUC of face-rendered on renders", "at least", 0.99, 4),
    Requirement("auc@sface, restored", "AUC of sface after the autoencoder", "at least", 0.95, 4),
    Requirement("psnr", "PSNR of the autoencoder, dB", "at least", 32.0, 2),
    Requirement("background, drawn", "generated background matches the caption", "at least", 0.95),
    Requirement("shirt, drawn", "generated shirt matches the caption", "at least", 0.85),
    Requirement("glasses, drawn", "generated glasses match the caption", "at least", 0.85),
    Requirement("hat, drawn", "generated hat matches the caption", "at least", 0.85),
    Requirement("background, real", "classifier accuracy, background of renders", "at least", 0.97),
    Requirement("shirt, real", "classifier accuracy, shirt of renders", "at least", 0.97),
    Requirement("glasses, real", "classifier accuracy, glasses of renders", "at least", 0.97),
    Requirement("hat, real", "classifier accuracy, hat of renders", "at least", 0.97),
    Requirement(SECONDS, "seconds per image, in batches", "at most", 0.3),
)
"""Requirements on the weights; `_method_requirements` has those on the methods."""
IDENTITY_SHARE: Final = 0.3
"""Required identity of a method, as a share of the range from `text-only` to `photo-copy`."""
PROMPT_SHARE: Final = 0.85
"""Required prompt match of a method, as a share of that of `text-only`."""
NETWORKS: Final = ("sface", "face-rendered")
ATTRIBUTES: Final = ("background", "shirt", "glasses", "hat", "expression", "pose", "no glasses", "no hat")
SIDES: Final = {"renders": "renders", "same, before": "original", "restored": "reconstructed"}
"""Labels of the image sets in numbers.json."""
WIDTH: Final = 110


def render(numbers: Numbers) -> str:
    """Render the page; every number in it comes from `numbers`, the content of numbers.json."""
    parts = (_head, _renders, _autoencoder, _backbone, _methods, _speed, _requirements, _provenance)
    return "\n\n".join(part(numbers) for part in parts) + "\n"


def _head(numbers: Numbers) -> str:
    opening = _wrap(
        f"""Quality of the built-in rendered people, autoencoder and tiny Stable Diffusion. All values are
        measured on {numbers["people"]} test people and their {numbers["photographs"]:,} renders, on which no
        network was trained. Brackets contain 95 % intervals, clustered by person. To repeat the
        measurement:"""
    )
    closing = _wrap(
        """The last command measures the installed weights and writes this page. [numbers.json](numbers.json)
        contains every number."""
    )
    commands = (
        "bench train people --data DIR\n"
        f"bench run --suite {numbers['run']['suite']} --methods all --out results/{numbers['run']['suite']}\n"
        "python results/scripts/measure_world.py --data DIR"
    )
    return (
        f"# Quality of the built-in synthetic benchmark\n\n{opening}\n\n```sh\n{commands}\n```\n\n{closing}"
    )


def _renders(numbers: Numbers) -> str:
    text = _wrap(
        """Can face networks distinguish the people? AUC is the probability that two renders of one person are
        more similar than renders of two people, over all pairs. sface was trained on photographs of real
        people and on no render. face-rendered was trained on renders of other people. The interval is a
        bootstrap over people."""
    )
    return f"## Renders\n\n{text}\n\n{_areas(numbers, 'renders')}\n\n![Different people](renders.webp)"


def _autoencoder(numbers: Numbers) -> str:
    text = _wrap(
        f"""{_count(numbers, "psnr")} renders, the first {numbers["restored of each"]} of each person, are
        encoded (the posterior's mode) and decoded. The mean PSNR is {_interval(numbers, "psnr", 2)} dB. The
        table compares face verification on the original and the reconstructed renders:"""
    )
    return f"## Autoencoder\n\n{text}\n\n{_areas(numbers, 'same, before', 'restored')}"


def _backbone(numbers: Numbers) -> str:
    sampling = numbers["drawn by"]
    captions = _wrap(
        f"""Images for {numbers["captions"]:,} captions of test renders, with the settings of suite
        `{sampling["suite"]}`: {sampling["scheduler"]}, {sampling["steps"]} steps, guidance
        {sampling["guidance"]}, batches of {sampling["batch"]}, {sampling["resolution"]} pixels. An attribute
        classifier predicts what an image shows; its accuracy on renders, whose attributes are known, is given
        for comparison. An attribute is evaluated if the caption names it. Captions do not mention absent
        glasses and hats; the rows "no glasses" and "no hat" contain how often they are absent as they should
        be. "By chance" is the probability that two captions which name the attribute name the same value.
        Intervals are Wilson's, widened for the correlation of images of one person."""
    )
    faces = _wrap(
        f"""yunet detects a face in {_interval(numbers, "face found, drawn", 3)} of the generated images. This
        is weak evidence, because it also detects faces in smeared images. The first 36 images, without
        selection, allow a visual check of eyes, nose and mouth:"""
    )
    distances = _wrap(
        f"""Distance to {_count(numbers, "fid, real")} renders of one half of the people, by features of
        efficientnet-lite0. The rows are the generated images, and as many renders of the other half of the
        people, whose captions were used for generation. FID decreases with the number of images, so both rows
        have the same number. Intervals are a jackknife over the people of a row."""
    )
    sheet = "![Images generated from captions](sheet.webp)"
    tables = (captions, _shares(numbers), faces, sheet, distances, _distances(numbers))
    return "\n\n".join(["## Backbone", *tables])


def _shares(numbers: Numbers) -> str:
    header = ["attribute", "matches the caption", "captions", "by chance", "accuracy on renders", "renders"]
    lines = []
    for name in ATTRIBUTES:
        keys = [f"{name}, {side}" for side in ("drawn", "real")]
        if all(key in numbers["measured"] for key in keys):
            generated, real = ([_interval(numbers, key, 3), _count(numbers, key)] for key in keys)
            lines.append([name, *generated, _by_chance(numbers, name), *real])
    return table(header, lines)


def _by_chance(numbers: Numbers, name: str) -> str:
    key = f"{name}, chance"
    return _interval(numbers, key, 3) if key in numbers["measured"] else dash()


def _distances(numbers: Numbers) -> str:
    lines = []
    for label, side in (("generated", "drawn"), ("renders of other people", "real")):
        fid, kid = f"fid, {side}", f"kid, {side}"
        values = [_interval(numbers, fid, 1), _interval(numbers, kid, 4)]
        lines.append([label, *values, _count(numbers, fid), _people(numbers, fid)])
    return table(["images", "FID", "KID", "number", "people"], lines)


def _methods(numbers: Numbers) -> str:
    run = numbers["run"]
    text = _wrap(
        f"""Suite `{run["suite"]}`: {run["people"]} built-in people, 4 photographs of each,
        {run["pictures"]:,} images. "Identity share" is a method's mean identity, scaled so that `text-only`
        is 0 and `photo-copy` is 1. "Prompt share" is its prompt match divided by that of `text-only`.
        Intervals are a jackknife over people; prompts are treated as fixed."""
    )
    keys = (*(f"way@{network}" for network in NETWORKS), "prompt kept")
    lines = [
        [method, *(_interval(numbers, f"{key}, {method}", 3) for key in keys)] for method in run["methods"]
    ]
    header = ["method", *(f"identity share ({network})" for network in NETWORKS), "prompt share"]
    return f"## Personalisation\n\n{text}\n\n{table(header, lines)}"


def _method_requirements(numbers: Numbers) -> list[Requirement]:
    requirements = []
    for method in numbers["run"]["methods"]:
        for network in NETWORKS:
            name, label = f"way@{network}, {method}", f"identity share of {method} ({network})"
            requirements.append(Requirement(name, label, "at least", IDENTITY_SHARE))
        name, label = f"prompt kept, {method}", f"prompt share of {method}"
        requirements.append(Requirement(name, label, "at least", PROMPT_SHARE))
    return requirements


def _speed(numbers: Numbers) -> str:
    machine = numbers["machine"]
    text = _wrap(
        f"""{_interval(numbers, SECONDS, 3)} seconds per image, including guidance and decoding, over
        {_count(numbers, SECONDS)} full batches. Measured with {machine["threads"]} torch threads on
        {numbers["cores"]} cores of {machine["processor"]}. The CPU time is
        {_interval(numbers, "processor seconds", 3)} seconds per image. The system load before the measurement
        was {numbers["load"]}; above {BUSY:g}, other processes shared the cores, and an idle machine is
        faster."""
    )
    return f"## Speed\n\n{text}"


def _requirements(numbers: Numbers) -> str:
    text = _wrap(
        """Requirements on the built-in benchmark, and whether the measured values meet them. "Sure" is "yes"
        if the whole interval is on the same side of the bound. "Open" is a time above the bound on a machine
        that ran other processes."""
    )
    lines = [
        _checked(numbers, requirement) for requirement in (*REQUIREMENTS, *_method_requirements(numbers))
    ]
    return f"## Requirements\n\n{text}\n\n{table(['value', 'required', 'measured', 'result', 'sure'], lines)}"


def _checked(numbers: Numbers, requirement: Requirement) -> list[str]:
    found, bound = numbers["measured"].get(requirement.name), f"{requirement.side} {requirement.value}"
    if found is None:
        return [requirement.label, bound, dash(), "not measured", dash()]
    measured = _interval(numbers, requirement.name, requirement.decimals)
    met = requirement.met(found["value"])
    if requirement.name == SECONDS and not met and numbers["load"] > BUSY:
        return [requirement.label, bound, measured, "open", dash()]
    sure = all(end is not None and requirement.met(end) == met for end in (found["low"], found["high"]))
    return [requirement.label, bound, measured, "met" if met else "not met", "yes" if sure else "no"]


def _provenance(numbers: Numbers) -> str:
    libraries = ", ".join(f"{name} {version}" for name, version in numbers["versions"].items())
    text = _wrap(
        f"""Commit {numbers["commit"]}, seed {numbers["seed"]}, {numbers["replicates"]:,} bootstrap
        replicates; {libraries}, Python {numbers["machine"]["python"]}. Digests of the weights and
        photographs:"""
    )
    files = table(["file", "SHA-256 begins"], [[name, f"`{d}`"] for name, d in numbers["digests"].items()])
    return f"## Measured files and versions\n\n{text}\n\n{files}"


def _areas(numbers: Numbers, *sides: str) -> str:
    lines = []
    for side in sides:
        for network in NETWORKS:
            key = f"auc@{network}, {side}"
            area = _interval(numbers, key, 4)
            lines.append([network, SIDES[side], area, _count(numbers, key), _people(numbers, key)])
    return table(["network", "images", "AUC", "with a face", "people"], lines)


def _interval(numbers: Numbers, key: str, decimals: int) -> str:
    found = numbers["measured"][key]
    value, *ends = (found["value"], found["low"], found["high"])
    text = f"{value:.{decimals}f}"
    if None in ends:
        return text
    return f"{text} [{ends[0]:.{decimals}f}, {ends[1]:.{decimals}f}]"


def _count(numbers: Numbers, key: str) -> str:
    return f"{numbers['measured'][key]['n']:,}"


def _people(numbers: Numbers, key: str) -> str:
    return str(numbers["measured"][key]["people"])


def _wrap(text: str) -> str:
    return textwrap.fill(" ".join(text.split()), WIDTH, break_long_words=False, break_on_hyphens=False)
