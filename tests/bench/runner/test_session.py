"""What a run is prepared from."""

from dataclasses import replace
from pathlib import Path

from bench.runner.session import default_folder
from bench.suite.suite import open_suite


def test_another_seed_has_a_folder_of_its_own() -> None:
    file = open_suite("smoke")
    assert default_folder(file, file.suite.seed) == Path("results/smoke")
    assert default_folder(file, 7) == Path("results/smoke-seed7")
    assert default_folder(replace(file, suite=replace(file.suite, seed=7)), 7) == Path("results/smoke")
