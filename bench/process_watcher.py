"""Ends processes when the process that started this script is gone: `python process_watcher.py PID...`.

The starter keeps the other end of this script's standard input open; it is closed however the starter ends.
"""

import sys
from contextlib import suppress

import psutil


def main() -> None:
    """Wait for the end of the standard input, then kill the processes that still run."""
    watched = []
    for pid in sys.argv[1:]:
        with suppress(psutil.NoSuchProcess):
            watched.append(psutil.Process(int(pid)))
    sys.stdin.read()
    for process in watched:
        # `kill` raises for another process that has received the same number.
        with suppress(psutil.NoSuchProcess):
            process.kill()


if __name__ == "__main__":
    main()
