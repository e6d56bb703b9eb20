import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from bench.cli.main import main

FAKES = Path(__file__).parent / "fakes"
# The tests import the fakes from here, as a run does for `package.module:Class`.
sys.path.append(str(FAKES))
from celeba_files import celeba as celeba  # noqa: E402  # isort: skip
from celeba_files import settings as settings  # noqa: E402  # isort: skip

PEOPLE = ("ada", "bob", "cleo")
SUITE = """
name = "fake"
samples = 2
metrics = ["fake_metrics:Likeness", "fake_metrics:Length", "fake_metrics:Gap"]

[dataset]
kind = "folder"
path = "people"
references = 2
held_out = 3
noun = "woman"

[prompts]
set = "portrait"
ids = ["blue-background", "red-shirt"]
recaptions = 1

[backbone]
path = "none"
batch = 4
"""


def write_person(folder: Path, name: str, photos: int = 5) -> Path:
    """A directory of captioned photographs."""
    person = folder / name
    person.mkdir(parents=True)
    for i in range(photos):
        shade = 20 + 30 * i + 7 * PEOPLE.index(name)
        Image.new("RGB", (64, 64), (shade, 200 - shade, 180)).save(person / f"{i:02d}.png")
        (person / f"{i:02d}.txt").write_text(f"a photo of {{subject}}, shade {i}")
    return person


@pytest.fixture
def people(tmp_path: Path) -> Path:
    """A folder with ada, bob and cleo."""
    folder = tmp_path / "people"
    for name in PEOPLE:
        write_person(folder, name)
    return folder


@pytest.fixture
def suite(people: Path) -> Path:
    """A suite for the fake method, with the fake metrics."""
    path = people.parent / "fake.toml"
    path.write_text(SUITE)
    return path


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., int]:
    """Run the command line in `tmp_path`, with the fakes importable; return its exit status.

    Images are generated in this process, unless the arguments give a number of workers.
    """
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(FAKES)

    def call(*arguments: object) -> int:
        words = ["bench", *map(str, arguments)]
        if words[1] == "run" and not {"--workers", "--executor", "--help"} & set(words):
            words += ["--workers", "1"]
        monkeypatch.setattr("sys.argv", words)
        with pytest.raises(SystemExit) as ended:
            main()
        return int(ended.value.code or 0)

    return call


@pytest.fixture
def run_folder(bench: Callable[..., int], suite: Path) -> Path:
    """A finished run of the fake method over three people."""
    out = suite.parent / "run"
    assert bench("run", "--suite", suite, "--methods", "fake_method:FakeMethod", "--out", out) == 0
    return out
