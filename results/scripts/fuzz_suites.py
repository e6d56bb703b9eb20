"""Change suites, settings, tables of runs and weight files at random, and check that each is read or refused.

    python results/scripts/fuzz_suites.py --inputs 10000

An input is accepted, or refused by an error of the benchmark with one line. Anything else is a fault: another
exception, more than 10 seconds, a number that is not finite, or a changed table that is accepted. Prints the
counts, and ends with status 1 after a fault.
"""

import argparse
import dataclasses
import json
import math
import random
import shutil
import signal
import sys
import tempfile
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

sys.path.append(str(Path(__file__).parent))

from storm_suite import write_inputs

from bench.analysis.comparison_table import compare
from bench.cli.main import main as command_line
from bench.errors import BenchError
from bench.report.formats.export import as_csv, as_json
from bench.report.markdown_report import markdown
from bench.runner.session import RunOptions, plan_run
from bench.runs.finished_run import read_run
from bench.runs.row_methods import method_labels
from bench.suite.suite import BUILT_IN, SuiteFile, read_suite
from methods.catalog import METHODS, make
from methods.errors import MethodError
from metrics.interface import MetricError

EXPECTED: Final = (BenchError, MethodError, MetricError)
SECONDS: Final = 10
VALUES: Final = ("nan", "inf", "-inf", "-1", "0", "1e300", f"{10**20}", "true", '""', '"x"', "[]", "[nan]")
"""Values in TOML."""
SETTINGS: Final = (math.nan, math.inf, -1, 0, 1, 1e30, 10**30, True, None, "", "x", "\0", [], [math.nan], {})
"""Values of a method's setting."""
TABLES: Final = ("cells.csv", "fits.csv", "scores.csv", "sets.csv", "metrics.json", "run.json")


class TooLong(Exception):
    """An input took more than `SECONDS`."""


@contextmanager
def time_limit() -> Iterator[None]:
    """Raise TooLong in a block that takes more than `SECONDS`."""

    def stop(*_: object) -> None:
        raise TooLong(f"more than {SECONDS} s")

    signal.signal(signal.SIGALRM, stop)
    signal.alarm(SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)


@dataclass
class Fuzzer:
    """Makes inputs and counts what became of them."""

    work: Path
    random: random.Random
    counts: Counter[str] = field(default_factory=Counter)
    faults: dict[str, str] = field(default_factory=dict)
    """One input by place of the fault."""

    def feed(self, kind: str, given: str, read: Callable[[], str]) -> None:
        """Read an input; `read` returns what is wrong with an accepted one, or nothing."""
        try:
            with time_limit():
                wrong = read()
        except EXPECTED as error:
            self.counts[f"{kind} refused"] += 1
            if len(str(error).splitlines()) != 1 or len(str(error)) > 2000:
                self.faults.setdefault(f"{kind}: no single line: {str(error)[:200]}", given)
        except Exception as error:
            place = traceback.extract_tb(error.__traceback__)[-1]
            self.faults.setdefault(
                f"{kind}: {type(error).__name__} at {place.filename}:{place.lineno}", given
            )
        else:
            self.counts[f"{kind} accepted"] += 1
            if wrong:
                self.faults.setdefault(f"{kind}: {wrong}", given)

    def changed_bytes(self, content: bytes) -> bytes:
        """The content with a few bytes, or a piece, changed, removed or repeated."""
        changed = bytearray(content)
        for _ in range(self.random.randint(1, 4)):
            start = self.random.randrange(len(changed) + 1)
            end = start + self.random.choice((1, 1, 4, 40, len(changed)))
            repeated = bytes(changed[start:end]) * 2
            pieces = (b"", b"\0", b"\xff", b"-", b",", b'"', b"\n", self.random.randbytes(4), repeated)
            piece = self.random.choice(pieces)
            changed[start:end] = piece
        return bytes(changed)

    def changed_suite(self, text: str) -> str:
        """The suite with the value or key of a few lines changed, or with changed bytes."""
        if self.random.random() < 0.2:
            return self.changed_bytes(text.encode()).decode(errors="replace")
        lines = text.splitlines()
        for _ in range(self.random.randint(1, 3)):
            number = self.random.randrange(len(lines))
            key, equals, _ = lines[number].partition("=")
            if equals and self.random.random() < 0.7:
                lines[number] = f"{key}= {self.random.choice(VALUES)}"
            else:
                lines[number] = self.random.choice(lines)
        return "\n".join(lines)


def suites(fuzzer: Fuzzer, count: int) -> None:
    """Changed built-in suites, read and planned."""
    texts = [path.read_text(encoding="utf-8") for path in sorted(BUILT_IN.glob("*.toml"))]
    texts.append((fuzzer.work / "suite.toml").read_text(encoding="utf-8"))

    def read(text: str) -> str:
        path = fuzzer.work / "suite.toml"
        suite = read_suite(text, path)
        file = SuiteFile(suite, path, text)
        plan_run(RunOptions(file, method_labels(["all"], suite), suite.seed, "cpu", None, False), ())
        numbers = [json.dumps(dataclasses.asdict(suite), default=str)]
        return "a number is not finite" if any("NaN" in n or "Infinity" in n for n in numbers) else ""

    for _ in range(count):
        text = fuzzer.changed_suite(fuzzer.random.choice(texts))
        fuzzer.feed("suites", text, partial(read, text))


def settings(fuzzer: Fuzzer, count: int) -> None:
    """Settings of every method with values of every type."""
    built: list[Any] = [make(name) for name, entry in METHODS.items() if not entry.requires]
    pairs = [(method.name, f.name) for method in built for f in dataclasses.fields(method)]

    def read(name: str, setting: str, value: object) -> str:
        found = getattr(make(name, {setting: value}), setting)
        return "a number is not finite" if isinstance(found, float) and not math.isfinite(found) else ""

    for _ in range(count):
        (name, setting), value = fuzzer.random.choice(pairs), fuzzer.random.choice(SETTINGS)
        given = f"{name}: {setting} = {value!r}"
        fuzzer.feed("settings", given, partial(read, name, setting, value))


def tables(fuzzer: Fuzzer, count: int) -> None:
    """A changed file of a finished run, reported in every format."""
    run, changed = fuzzer.work / "run", fuzzer.work / "changed"

    def read(name: str) -> str:
        table = compare(read_run(changed))
        json.loads(as_json(table), parse_constant=lambda number: sys.exit(number))
        if not (markdown(table) and as_csv(table)):
            return "an empty report"
        return "" if name == "run.json" else "a changed table is accepted"

    shutil.copytree(run, changed, ignore=shutil.ignore_patterns("images", "fits"))
    for _ in range(count):
        name = fuzzer.random.choice(TABLES)
        content = (run / name).read_bytes()
        given = fuzzer.changed_bytes(content)
        if given != content:
            (changed / name).write_bytes(given)
            fuzzer.feed("tables", f"{name}: {given!r}", partial(read, name))
            (changed / name).write_bytes(content)


def weights(fuzzer: Fuzzer, count: int) -> None:
    """Changed LoRA files, copied as by the method `lora-folder`."""
    import torch
    from safetensors.torch import load_file, save_file

    from methods.lora.published_file import copy_published

    file, copied = fuzzer.work / "lora.safetensors", fuzzer.work / "copied"
    layer = {"lora_down.weight": torch.ones(4, 8), "lora_up.weight": torch.ones(8, 4), "alpha": torch.ones(1)}
    save_file(
        {f"lora_unet_{i}.{name}": value.clone() for i in range(3) for name, value in layer.items()}, file
    )
    whole = file.read_bytes()

    def read() -> str:
        copy_published(file, copied)
        load_file(copied)
        return ""

    for _ in range(count):
        given = fuzzer.changed_bytes(whole)
        file.write_bytes(given)
        fuzzer.feed("weights", repr(given), read)


def main() -> None:
    """Parse the options and print the counts."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--inputs", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        fuzzer = Fuzzer(Path(folder), random.Random(options.seed))
        write_inputs(fuzzer.work)
        out = str(fuzzer.work / "run")
        sys.argv = ["bench", "run", "--suite", f"{folder}/suite.toml", "--out", out, "--workers", "1"]
        try:
            with redirect_stdout(sys.stderr):
                command_line()
        except SystemExit as ended:
            if ended.code:
                raise
        for part in (suites, settings, tables, weights):
            part(fuzzer, options.inputs // 4)
    sys.stdout.write(f"{', '.join(f'{count} {name}' for name, count in sorted(fuzzer.counts.items()))}\n")
    for fault, given in fuzzer.faults.items():
        sys.stdout.write(f"{fault}\n    {given[:300]!r}\n")
    sys.exit(1 if fuzzer.faults else 0)


if __name__ == "__main__":
    main()
