"""Read thousands of damaged text files and photographs, and count how that ends.

    python results/scripts/fuzz_inputs.py --count 500

Every input is a small dataset with one damaged file, opened as by `bench data --check`. It must be read, or
refused in one line: not end with a traceback, not hang, and not be read as something else. Prints a table
and the first inputs of every wrong outcome; `--only captions --number 17` repeats one input.
"""

import argparse
import random
import shutil
import signal
import sys
import tempfile
import traceback
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from fuzz_texts_and_photographs import LONGEST, TARGETS, Misread, check_line

from bench.errors import BenchError
from bench.markdown import table

OUTCOMES: Final = ("read", "refused", "traceback", "hang", "misread")
SECONDS: Final = 20
"""Time limit of one input."""
EXAMPLES: Final = 5
"""Maximum number of inputs of one wrong outcome that are printed."""


class Hang(BaseException):
    """The time limit of one input was reached."""


def outcome(target: str, number: int, seed: int) -> tuple[str, str]:
    """How one input ends, and its message."""
    folder = Path(tempfile.mkdtemp(prefix="fuzz-"))
    try:
        check = TARGETS[target](folder / "input", random.Random(f"{seed}/{target}/{number}"))
        signal.alarm(SECONDS)
        try:
            check()
        except BenchError as error:
            check_line(str(error))
            return "refused", str(error)
    except Hang:
        return "hang", f"more than {SECONDS} s"
    except Misread as error:
        return "misread", str(error)[:LONGEST]
    except Exception as error:
        place = traceback.extract_tb(error.__traceback__)[-1]
        return "traceback", f"{error!r} at {place.filename}:{place.lineno}"
    else:
        return "read", ""
    finally:
        signal.alarm(0)
        shutil.rmtree(folder, ignore_errors=True)


def report(target: str, numbers: range, seed: int) -> Iterator[str]:
    """The cells of one line of the table; wrong outcomes are printed to stderr."""
    counts: Counter[str] = Counter()
    for number in numbers:
        end, message = outcome(target, number, seed)
        counts[end] += 1
        if end not in ("read", "refused") and counts[end] <= EXAMPLES:
            sys.stderr.write(f"{target} {number}: {end}: {message}\n")
    yield target
    yield f"{len(numbers):,}"
    yield from (f"{counts[end]:,}" for end in OUTCOMES)


def _hang(*_: object) -> None:
    raise Hang


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the options, run all inputs, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--count", type=int, default=500, help="inputs per kind")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", choices=TARGETS, help="one kind of inputs")
    parser.add_argument("--number", type=int, help="one input of the kind")
    options = parser.parse_args(arguments)
    signal.signal(signal.SIGALRM, _hang)
    numbers = range(options.count) if options.number is None else range(options.number, options.number + 1)
    rows = [list(report(name, numbers, options.seed)) for name in TARGETS if options.only in (None, name)]
    sys.stdout.write(table(["inputs", "count", *OUTCOMES], rows) + "\n")


if __name__ == "__main__":
    main()
