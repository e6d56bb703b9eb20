"""The commands of `bench`, one module per group; `bench.cli.main` lists them."""
