"""The pages in results/world equal their numbers, and the statistics behind them are correct."""

import hashlib
import importlib
import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from scipy.stats import binomtest

from metrics.training.model_card import face_quality

ROOT = Path(__file__).parents[2]
sys.path.append(str(ROOT / "results" / "scripts"))
WORLD = ROOT / "results" / "world"
BUILTIN_PEOPLE = ROOT / "bench" / "synthetic" / "assets" / "test"


def script(name: str) -> ModuleType:
    """Import a module of results/scripts, which is not a package."""
    return importlib.import_module(name)


page, statistics = script("world.page"), script("world.statistics")


@pytest.fixture
def numbers() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((WORLD / "numbers.json").read_text(encoding="utf-8"))
    return found


def faces(people: int, each: int, spread: float) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Vectors around one direction per person, and the person of each."""
    rng = np.random.default_rng(3)
    person = np.repeat(np.arange(people), each)
    return np.eye(64)[person] + spread * rng.standard_normal((len(person), 64)), person


def test_page_equals_what_its_numbers_give(numbers: dict[str, Any]) -> None:
    assert (WORLD / "README.md").read_text(encoding="utf-8") == page.render(numbers)


def test_measured_weights_are_the_builtin_ones(numbers: dict[str, Any]) -> None:
    files = {name: ROOT / name for name in numbers["digests"] if name.startswith(("methods/", "metrics/"))}
    found = {name: hashlib.sha256(path.read_bytes()).hexdigest()[:16] for name, path in files.items()}
    assert len(found) >= 6
    assert found == {name: numbers["digests"][name] for name in files}


def test_measured_run_used_the_builtin_weights(numbers: dict[str, Any]) -> None:
    run = numbers["run"]["backbone"]
    assert len(run) >= 6
    assert all(numbers["digests"][f"methods/weights/embedded/{name}"] == found for name, found in run.items())


def test_page_covers_100_people_500_captions_and_every_requirement(numbers: dict[str, Any]) -> None:
    assert (numbers["people"], numbers["captions"]) == (100, 500)
    assert all(requirement.name in numbers["measured"] for requirement in page.REQUIREMENTS)


@pytest.mark.parametrize(("name", "size"), [("sheet", (840, 840)), ("renders", (768, 768))])
def test_image_sheet_has_its_size_and_a_small_file(name: str, size: tuple[int, int]) -> None:
    path = WORLD / f"{name}.webp"
    with Image.open(path) as sheet:
        assert sheet.size == size
    assert path.stat().st_size < 250_000


@pytest.mark.parametrize(("value", "result"), [(31.9, "not met"), (32.1, "met")])
def test_requirement_is_met_or_not_depending_on_the_value(
    numbers: dict[str, Any], value: float, result: str
) -> None:
    numbers["measured"]["psnr"] |= {"value": value, "low": value - 0.2, "high": value + 0.2}
    line = next(line for line in page.render(numbers).splitlines() if line.startswith("| PSNR"))
    assert [cell.strip() for cell in line.split("|")[4:6]] == [result, "no"]


@pytest.mark.parametrize(("load", "result"), [(0.1, "not met"), (3.0, "open")])
def test_slow_generation_on_a_busy_machine_is_open(numbers: dict[str, Any], load: float, result: str) -> None:
    numbers["measured"]["seconds"] |= {"value": 0.9, "low": 0.8, "high": 1.0}
    numbers["load"] = load
    line = next(line for line in page.render(numbers).splitlines() if line.startswith("| seconds"))
    assert line.split("|")[4].strip() == result


def test_auc_of_separated_people_is_one() -> None:
    found = statistics.area(*faces(12, 5, 0.01), seed=0, replicates=100)
    assert (found.value, found.low, found.high, found.n, found.people) == (1.0, 1.0, 1.0, 60, 12)


def test_auc_of_uninformative_vectors_is_one_half() -> None:
    found = statistics.area(*faces(30, 5, 100.0), seed=0, replicates=500)
    assert found.low < 0.5 < found.high
    assert 0.02 < found.high - found.low < 0.2


def test_auc_equals_that_of_the_model_card_and_is_inside_its_interval() -> None:
    vectors, people = faces(20, 5, 0.3)
    vectors[7] = np.nan
    found = statistics.area(vectors, people, seed=0, replicates=300)
    assert found.value == face_quality("made up", vectors, people).area
    assert found.n == 99
    assert found.low < found.value < found.high < 1


def test_resampled_copies_form_neither_new_people_nor_pairs_with_themselves() -> None:
    vectors, people = faces(6, 4, 0.3)
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    cosines, counts = unit @ unit.T, np.array([2, 0, 1, 3, 0, 1])
    copies = [(i, copy) for i in range(len(people)) for copy in range(counts[people[i]])]
    same, different = [], []
    for a, (i, one) in enumerate(copies):
        for j, other in copies[:a]:
            if people[i] != people[j]:
                different.append(cosines[i, j])
            elif one == other:
                same.append(cosines[i, j])
    expected = np.mean([np.mean(s > np.array(different)) for s in same])
    assert statistics.Pairs.of(cosines, people).area(counts.astype(float)) == pytest.approx(expected)


def test_share_of_independent_images_has_wilsons_interval() -> None:
    correct = np.arange(200) % 10 != 0
    found = statistics.share(correct, np.arange(200))
    expected = binomtest(180, 200).proportion_ci(method="wilson")
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=1e-3)


def test_share_has_a_wider_interval_if_images_of_one_person_agree() -> None:
    correct = np.arange(200) >= 20
    independent, clustered = (statistics.share(correct, np.arange(200) // each) for each in (1, 10))
    assert independent.value == clustered.value == 0.9
    assert clustered.low < independent.low - 0.02
    assert clustered.people == 20


def test_share_of_one_has_a_nonzero_interval() -> None:
    found = statistics.share([True] * 50, np.arange(50))
    assert found.high == found.value == 1.0
    assert 0.9 < found.low < 0.95


def test_distance_of_equal_sets_is_zero_with_a_jackknife_interval() -> None:
    vectors, people = faces(8, 4, 1.0)
    calls: list[int] = []

    def metric(x: NDArray[np.float64], y: NDArray[np.float64]) -> float:
        calls.append(len(x))
        return float(np.abs(x.mean(0) - y.mean(0)).sum())

    found = statistics.distance(metric, vectors, vectors, people)
    assert calls == [32, *[28] * 8]
    assert found.value == 0
    assert found.low < 0 < found.high


def test_ratio_of_sums_has_a_jackknife_interval(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ratio = script("world.methods").ratio
    pairs = [(person, prompt) for person in "abcde" for prompt in "xy"]
    denominator = dict.fromkeys(pairs, 2.0)
    equal = ratio(dict.fromkeys(pairs, 0.5), denominator)
    assert (equal.value, equal.low, equal.high, equal.n, equal.people) == (0.25, 0.25, 0.25, 10, 5)
    unequal = ratio({pair: float(pair[0] == "a") for pair in pairs}, denominator)
    assert unequal.value == pytest.approx(2 / 20)
    assert unequal.low < 0 < unequal.high


@pytest.fixture
def builtin_photos(tmp_path: Path) -> Path:
    """Four of the built-in people in the layout that `bench train people` writes."""
    records = [json.loads(line) for line in (BUILTIN_PEOPLE / "people.jsonl").read_text().splitlines()]
    names = list(dict.fromkeys(record["identity"] for record in records))[:4]
    pixels, lines = [], []
    for record in records:
        if record["identity"] in names and record["view"] < 8:
            name, view, template = (record.pop(key) for key in ("identity", "view", "caption"))
            pixels.append(np.asarray(Image.open(BUILTIN_PEOPLE / name / f"{view:02d}.webp").convert("RGB")))
            photo = {"identity": names.index(name), "view": view, "attributes": record, "template": template}
            lines.append(json.dumps(photo))
    folder = tmp_path / "people" / "test"
    folder.mkdir(parents=True)
    np.save(folder / "photos.npy", np.stack(pixels))
    (folder / "photos.jsonl").write_text("\n".join(lines) + "\n")
    return folder.parent


@pytest.fixture
def _same_threads() -> Iterator[None]:
    """Restore the number of torch threads, which the script sets."""
    import torch

    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def test_run_with_other_weights_is_refused(
    builtin_photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    shutil.copytree(ROOT / "results" / "personalisation", run)
    text = (run / "run.json").read_text(encoding="utf-8")
    manifest = json.loads(text)
    unet = "backbone unet/diffusion_pytorch_model.safetensors"
    digest = next(found[unet] for found in manifest["fingerprints"].values() if unet in found)
    (run / "run.json").write_text(text.replace(digest, "0" * 16), encoding="utf-8")
    arguments = [
        "--data",
        builtin_photos,
        "--people",
        4,
        "--captions",
        16,
        "--run",
        run,
        "--out",
        tmp_path / "out",
    ]
    with pytest.raises(SystemExit):
        script("measure_world").main([str(argument) for argument in arguments])
    assert "generated with another unet/diffusion_pytorch_model.safetensors" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
@pytest.mark.usefixtures("_same_threads")
def test_script_measures_everything_on_the_page(
    builtin_photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "world"
    arguments = ["--data", builtin_photos, "--people", 4, "--captions", 16, "--threads", 1, "--out", out]
    script("measure_world").main([str(argument) for argument in arguments])
    numbers = json.loads((out / "numbers.json").read_text(encoding="utf-8"))
    assert (out / "README.md").read_text(encoding="utf-8") == page.render(numbers)
    assert numbers["measured"]["auc@sface, renders"]["n"] == 32
    assert numbers["measured"]["background, drawn"]["n"] == 16
    assert 20 < numbers["measured"]["psnr"]["value"] < 60
    assert sorted(path.name for path in out.iterdir()) == [
        *("README.md", "numbers.json", "renders.webp", "sheet.webp")
    ]


@pytest.fixture
def shapes(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    return script("measure_shapes")


def test_shapes_page_equals_what_its_numbers_give(shapes: ModuleType) -> None:
    numbers = json.loads((WORLD / "shapes.json").read_text(encoding="utf-8"))
    assert (WORLD / "shapes.md").read_text(encoding="utf-8") == shapes.render(numbers)
    assert numbers["digests"] == shapes.digests(), (
        "run results/scripts/measure_shapes.py again: the built-in weights changed"
    )


def test_only_parameters_encoded_in_the_vectors_are_explained(shapes: ModuleType) -> None:
    rng = np.random.default_rng(5)
    x, y = rng.standard_normal((400, 30)), rng.standard_normal((400, 3))
    x[:, :3] += 3 * y
    encoded = shapes.explained(x[:300], y[:300], x[300:], y[300:])
    other = shapes.explained(x[:300], rng.standard_normal((300, 3)), x[300:], rng.standard_normal((100, 3)))
    assert 0.85 < encoded.value < 0.95, "y causes nine tenths of the variance of x"
    assert encoded.low < encoded.value < encoded.high
    assert other.low < 0.02


def test_too_few_people_for_the_regression_are_refused(
    shapes: ModuleType, builtin_photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (builtin_photos / "train").symlink_to(builtin_photos / "test")
    with pytest.raises(SystemExit):
        shapes.main(["--data", str(builtin_photos), "--fitted", "99"])
    assert "--fitted 99: expected 4 to 4, the number of people in the folder" in capsys.readouterr().err
