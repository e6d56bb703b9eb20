"""The page of `measure_world.py`: results/world/README.md, made from numbers.json alone."""

import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from bench.markdown import dash, table

Numbers = Mapping[str, Any]
SECONDS: Final = "seconds"
BUSY: Final = 1.0
"""The load above which other work shares the cores: a clock can then prove a speed, but not a slowness."""


@dataclass(frozen=True)
class Bar:
    """What a measured number should be."""

    name: str
    """Its key among the measured."""
    words: str
    side: Literal["at least", "at most"]
    value: float
    decimals: int = 3

    def met(self, number: float) -> bool:
        """Whether the number is on the right side."""
        return number >= self.value if self.side == "at least" else number <= self.value


BARS: Final = (
    Bar("auc@sface, renders", "AUC of sface on renders", "at least", 0.97, 4),
    Bar("auc@face-rendered, renders", "AUC of face-rendered on renders", "at least", 0.99, 4),
    Bar("auc@sface, restored", "AUC of sface after the autoencoder", "at least", 0.95, 4),
    Bar("psnr", "PSNR of the autoencoder, dB", "at least", 32.0, 2),
    Bar("background, drawn", "drawn background as the caption says", "at least", 0.95),
    Bar("shirt, drawn", "drawn shirt as the caption says", "at least", 0.85),
    Bar("glasses, drawn", "drawn glasses as the caption says", "at least", 0.85),
    Bar("hat, drawn", "drawn hat as the caption says", "at least", 0.85),
    Bar("background, real", "the classifier on a render's background", "at least", 0.97),
    Bar("shirt, real", "the classifier on a render's shirt", "at least", 0.97),
    Bar("glasses, real", "the classifier on a render's glasses", "at least", 0.97),
    Bar("hat, real", "the classifier on a render's hat", "at least", 0.97),
    Bar(SECONDS, "seconds a picture, in batches", "at most", 0.3),
)
"""Of issue 3, those that a network or a clock can judge; those of methods follow."""
WAY: Final = 0.3
"""Share of the way from `text-only` to `photo-copy` that a method should come by either face network."""
KEPT: Final = 0.85
"""Share of `text-only`'s prompt match that it should keep."""
NETWORKS: Final = ("sface", "face-rendered")
ASKED: Final = ("background", "shirt", "glasses", "hat", "expression", "pose", "no glasses", "no hat")
WIDTH: Final = 110


def render(numbers: Numbers) -> str:
    """The page; every number in it comes from `numbers`, what `measure_world.py` wrote as JSON."""
    parts = (_head, _renders, _autoencoder, _backbone, _methods, _speed, _bars, _made_of)
    return "\n\n".join(part(numbers) for part in parts) + "\n"


def _head(numbers: Numbers) -> str:
    opening = _words(
        f"""How good the rendered people, the autoencoder and the tiny Stable Diffusion are that ship with the
        package. Everything is measured on {numbers["people"]} test people and their
        {numbers["photographs"]:,} renders, which no network was trained on. In brackets stand 95 % intervals;
        they know that pictures of one person are alike. Anyone can repeat it:"""
    )
    closing = _words(
        """The last command measures what is installed and writes this page; [numbers.json](numbers.json)
        holds every number in it."""
    )
    commands = (
        "bench train people --data DIR\n"
        f"bench run --suite {numbers['run']['suite']} --methods all --out results/{numbers['run']['suite']}\n"
        "python results/scripts/measure_world.py --data DIR"
    )
    return f"# The embedded world, measured\n\n{opening}\n\n```sh\n{commands}\n```\n\n{closing}"


def _renders(numbers: Numbers) -> str:
    words = _words(
        """Can face networks tell the people apart? AUC is the chance that two renders of one person are more
        alike than renders of two people, over all pairs. sface was trained on photographs of real people and
        has never seen a render; face-rendered was trained on renders of other people. The interval is that of
        a bootstrap over people."""
    )
    return f"## Renders\n\n{words}\n\n{_areas(numbers, 'renders')}\n\n![Different people](renders.webp)"


def _autoencoder(numbers: Numbers) -> str:
    words = _words(
        f"""{_count(numbers, "psnr")} renders, the first {numbers["restored of each"]} of each person, encoded
        (the posterior's mode) and decoded: PSNR {_shown(numbers, "psnr", 2)} dB, the mean over pictures. What
        the face networks make of them, and of the same renders before:"""
    )
    return f"## Autoencoder\n\n{words}\n\n{_areas(numbers, 'same, before', 'restored')}"


def _backbone(numbers: Numbers) -> str:
    drawn = numbers["drawn by"]
    captions = _words(
        f"""{numbers["captions"]:,} captions of test renders, drawn as suite `{drawn["suite"]}` draws:
        {drawn["scheduler"]}, {drawn["steps"]} steps, guidance {drawn["guidance"]}, batches of
        {drawn["batch"]}, {drawn["resolution"]} pixels. The attribute classifier says what a picture shows;
        how often it reads a render rightly, whose attributes are known, says how far it can be believed. An
        attribute is judged where the caption names it. A caption says nothing of glasses or a hat that are
        not there; the lines with "no" say how often they stay away. "By chance" is how often two captions
        that name it name the same. Intervals are Wilson's, widened where pictures of one person go
        together."""
    )
    faces = _words(
        f"""yunet finds a face in {_shown(numbers, "face found, drawn", 3)} of the pictures drawn. This proves
        little, for it finds smears too. The first 36 pictures, none chosen; whether eyes, nose and mouth are
        where they belong is for the eye to judge:"""
    )
    clouds = _words(
        f"""How far pictures lie from {_count(numbers, "fid, real")} renders of one half of the people, by
        features of efficientnet-lite0: those that were drawn, and as many renders of the other half, whose
        captions the drawn ones have. FID falls with the number of pictures, so both rows have the same.
        Intervals are a jackknife over the people of a row: those in the pictures, or behind the captions."""
    )
    sheet = "![Pictures drawn by captions](sheet.webp)"
    tables = (captions, _shares(numbers), faces, sheet, clouds, _distances(numbers))
    return "\n\n".join(["## Backbone", *tables])


def _shares(numbers: Numbers) -> str:
    header = ["attribute", "drawn as asked", "captions", "by chance", "renders read rightly", "renders"]
    lines = []
    for asked in ASKED:
        keys = [f"{asked}, {side}" for side in ("drawn", "real")]
        if all(key in numbers["measured"] for key in keys):
            drawn, real = ([_shown(numbers, key, 3), _count(numbers, key)] for key in keys)
            lines.append([asked, *drawn, _by_chance(numbers, asked), *real])
    return table(header, lines)


def _by_chance(numbers: Numbers, asked: str) -> str:
    key = f"{asked}, chance"
    return _shown(numbers, key, 3) if key in numbers["measured"] else dash()


def _distances(numbers: Numbers) -> str:
    lines = []
    for words, side in (("drawn", "drawn"), ("renders of other people", "real")):
        fid, kid = f"fid, {side}", f"kid, {side}"
        shown = [_shown(numbers, fid, 1), _shown(numbers, kid, 4)]
        lines.append([words, *shown, _count(numbers, fid), _people(numbers, fid)])
    return table(["pictures", "FID", "KID", "number", "people"], lines)


def _methods(numbers: Numbers) -> str:
    run = numbers["run"]
    words = _words(
        f"""Suite `{run["suite"]}`: {run["people"]} people who ship with the package, 4 photographs of each,
        {run["pictures"]:,} pictures. The way of a method is what share of the distance from `text-only` to
        `photo-copy` its identity covers; the prompt kept is its prompt match as a share of `text-only`'s.
        Intervals leave one person out at a time and take the prompts as they are."""
    )
    keys = (*(f"way@{network}" for network in NETWORKS), "prompt kept")
    lines = [[method, *(_shown(numbers, f"{key}, {method}", 3) for key in keys)] for method in run["methods"]]
    header = ["method", *(f"way by {network}" for network in NETWORKS), "prompt kept"]
    return f"## Personalisation\n\n{words}\n\n{table(header, lines)}"


def _bars_of_methods(numbers: Numbers) -> list[Bar]:
    bars = []
    for method in numbers["run"]["methods"]:
        for network in NETWORKS:
            bars.append(Bar(f"way@{network}, {method}", f"way of {method} by {network}", "at least", WAY))
        bars.append(Bar(f"prompt kept, {method}", f"prompt kept by {method}", "at least", KEPT))
    return bars


def _speed(numbers: Numbers) -> str:
    there = numbers["machine"]
    words = _words(
        f"""{_shown(numbers, SECONDS, 3)} seconds a picture, guidance and decoding included, over
        {_count(numbers, SECONDS)} full batches with {there["threads"]} of torch's threads on
        {numbers["cores"]} cores of {there["processor"]}; of the cores' own time
        {_shown(numbers, "processor seconds", 3)} seconds. The load of the machine before this began was
        {numbers["load"]}; where that is above {BUSY:g}, other work shared the cores, and a machine that does
        nothing else is faster."""
    )
    return f"## Speed\n\n{words}"


def _bars(numbers: Numbers) -> str:
    words = _words(
        """What this world was wanted to reach, and whether the number measured reaches it. "Sure" says
        whether its whole interval lies on that side. "Open" is a time above the bar on a machine that had
        other work."""
    )
    lines = [_judged(numbers, bar) for bar in (*BARS, *_bars_of_methods(numbers))]
    return f"## The bars\n\n{words}\n\n{table(['what', 'wanted', 'measured', 'bar', 'sure'], lines)}"


def _judged(numbers: Numbers, bar: Bar) -> list[str]:
    found, wanted = numbers["measured"].get(bar.name), f"{bar.side} {bar.value}"
    if found is None:
        return [bar.words, wanted, dash(), "not measured", dash()]
    shown = _shown(numbers, bar.name, bar.decimals)
    met = bar.met(found["value"])
    if bar.name == SECONDS and not met and numbers["load"] > BUSY:
        return [bar.words, wanted, shown, "open", dash()]
    sure = all(end is not None and bar.met(end) == met for end in (found["low"], found["high"]))
    return [bar.words, wanted, shown, "met" if met else "not met", "yes" if sure else "no"]


def _made_of(numbers: Numbers) -> str:
    libraries = ", ".join(f"{name} {found}" for name, found in numbers["versions"].items())
    words = _words(
        f"""Commit {numbers["commit"]}, seed {numbers["seed"]}, {numbers["replicates"]:,} bootstrap
        replicates; {libraries}, Python {numbers["machine"]["python"]}. Weights and photographs by their
        digests:"""
    )
    files = table(["file", "SHA-256 begins"], [[name, f"`{d}`"] for name, d in numbers["digests"].items()])
    return f"## What was measured\n\n{words}\n\n{files}"


def _areas(numbers: Numbers, *sides: str) -> str:
    lines = []
    for side in sides:
        for network in NETWORKS:
            key = f"auc@{network}, {side}"
            lines.append(
                [network, side, _shown(numbers, key, 4), _count(numbers, key), _people(numbers, key)]
            )
    return table(["network", "pictures", "AUC", "with a face", "people"], lines)


def _shown(numbers: Numbers, key: str, decimals: int) -> str:
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


def _words(text: str) -> str:
    return textwrap.fill(" ".join(text.split()), WIDTH, break_long_words=False, break_on_hyphens=False)
