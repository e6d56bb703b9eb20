"""Entry point of `python -m bench.cli` and `accelerate launch -m bench.cli`."""

from bench.cli.main import main

main()
