"""Features kept between runs: only what is new is encoded, and no number differs from a run from nothing."""

import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from bench.errors import ExitStatus
from bench.runs.finished_run import read_run
from bench.scoring.feature_cache import VARIABLE, cache_folder
from metrics.encoders.runtime.feature_shard import FeatureShard

Bench = Callable[..., int]
FAKE = "fake_method:FakeMethod"
OTHER = "other"
TABLES = ("scores.csv", "sets.csv", "metrics.json")
LITE = "efficientnet-lite0"


@pytest.fixture
def suite_with_encoders(suite: Path) -> Path:
    """The fake suite with metrics of two encoders, a researcher's own metric, and a second row."""
    text = suite.read_text().replace(
        '"fake_metrics:Gap"]',
        f'"identity@sface", "diversity@{LITE}", "is-uniform@{LITE}", "fake_metrics:Contrast@{LITE}"]',
    )
    suite.write_text(f'{text}\n[methods.{OTHER}]\nbase = "{FAKE}"\nmark = "other"\n')
    return suite


def encoded(cache: Path) -> Counter[str]:
    """How many images each encoder has encoded: what is encoded is stored, repetitions included."""
    counts: Counter[str] = Counter()
    for path in cache.glob("features/*/*.safetensors"):
        counts[path.parent.name.rpartition("-")[0]] += len(FeatureShard(path).keys)
    return counts


def tables(run: Path) -> dict[str, bytes]:
    return {name: (run / name).read_bytes() for name in TABLES}


def test_only_what_is_new_is_encoded_and_the_numbers_are_those_of_a_run_from_nothing(
    bench: Bench, suite_with_encoders: Path, people: Path
) -> None:
    def run(out: str, methods: str, *options: object) -> dict[str, bytes]:
        arguments = ("run", "--suite", suite_with_encoders, "--out", out, "--methods", methods)
        assert bench(*arguments, *options) == ExitStatus.DONE
        return tables(Path(out))

    kept = ("--cache", "cache")
    (people / "cleo").rename(people.parent / "cleo")
    run("run", FAKE, *kept)
    generated, held_out = 2 * 6, 2 * 3
    # Efficientnet has two outputs: features for sets, which contain references too, and maps for distances.
    first = encoded(Path("cache"))
    faces = generated + held_out
    assert first == {"sface": faces, "yunet": faces, LITE: 2 * (generated + held_out) + 2 * 2}

    run("run", f"{FAKE},{OTHER}", *kept)
    method = encoded(Path("cache"))
    assert method - first == {"sface": generated, "yunet": generated, LITE: 2 * generated}

    (people.parent / "cleo").rename(people / "cleo")
    run("run", f"{FAKE},{OTHER}", *kept)
    person = encoded(Path("cache"))
    images = 2 * 6 + 3
    assert person - method == {"sface": images, "yunet": images, LITE: 2 * images + 2}

    text = suite_with_encoders.read_text()
    suite_with_encoders.write_text(text.replace('"identity@sface"', '"identity@sface", "copying@sface"'))
    again = run("run", f"{FAKE},{OTHER}", *kept)
    references = 3 * 2
    assert encoded(Path("cache")) - person == {"sface": references, "yunet": references}

    assert run("fresh", f"{FAKE},{OTHER}", "--no-cache") == again
    before = encoded(Path("cache"))
    assert run("elsewhere", f"{FAKE},{OTHER}", *kept) == again
    assert encoded(Path("cache")) == before


def test_an_image_with_other_pixels_is_scored_again(bench: Bench, suite: Path, run_folder: Path) -> None:
    path = sorted((run_folder / "images").rglob("*.png"))[0]
    before = [row.value for row in read_run(run_folder).scores if row.metric == "identity"]
    info = PngInfo()
    with Image.open(path) as image:
        for key, value in image.info.items():
            info.add_text(key, value)
    Image.new("RGB", (32, 32), (10, 200, 30)).save(path, pnginfo=info)
    assert bench("run", "--suite", suite, "--methods", FAKE, "--out", run_folder) == ExitStatus.DONE
    after = [row.value for row in read_run(run_folder).scores if row.metric == "identity"]
    assert sum(a != b for a, b in zip(before, after, strict=True)) == 1


def test_a_second_run_reads_no_file_again_for_its_digest(
    bench: Bench, suite: Path, run_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[Path] = []
    monkeypatch.setattr("bench.scoring.image_digests._file_digest", read.append)
    before = tables(run_folder)
    assert bench("run", "--suite", suite, "--methods", FAKE, "--out", run_folder) == ExitStatus.DONE
    assert read == []
    assert tables(run_folder) == before


def test_an_unwritable_cache_costs_one_line(
    bench: Bench, suite_with_encoders: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("cache").write_text("in the way")
    arguments = ("run", "--suite", suite_with_encoders, "--methods", FAKE, "--out", "run", "--cache", "cache")
    assert bench(*arguments) == ExitStatus.DONE
    assert capsys.readouterr().err.count("features are not kept: cache/features cannot be written") == 1


def test_the_cache_is_the_chosen_one_or_that_of_the_environment_or_the_users(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert cache_folder(tmp_path) == tmp_path
    assert cache_folder(None) is None
    monkeypatch.setenv(VARIABLE, str(tmp_path / "v"))
    assert cache_folder(None) == tmp_path / "v"
    monkeypatch.delenv(VARIABLE)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "x"))
    if sys.platform == "linux":
        assert cache_folder(None) == tmp_path / "x" / "personabench"
