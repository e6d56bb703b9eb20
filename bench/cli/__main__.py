"""Entry point of `python -m bench.cli` and `accelerate launch -m bench.cli`."""

import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
# `-m` puts the working folder first, where a file such as numpy.py would shadow a library.
if sys.path and sys.path[0] != str(REPOSITORY):
    sys.path.pop(0)

from bench.cli.main import main  # noqa: E402

main()
