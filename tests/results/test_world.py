"""The page on the embedded world says what its numbers say, and their intervals are what they claim."""

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
SHIPPED = ROOT / "bench" / "synthetic" / "assets" / "test"


def script(name: str) -> ModuleType:
    """A module of results/scripts, which is no package."""
    return importlib.import_module(name)


page, statistics = script("world.page"), script("world.statistics")


@pytest.fixture
def numbers() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((WORLD / "numbers.json").read_text(encoding="utf-8"))
    return found


def faces(people: int, each: int, spread: float) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Vectors around a direction for each person, and whose they are."""
    rng = np.random.default_rng(3)
    who = np.repeat(np.arange(people), each)
    return np.eye(64)[who] + spread * rng.standard_normal((len(who), 64)), who


def test_the_page_is_what_its_numbers_give(numbers: dict[str, Any]) -> None:
    assert (WORLD / "README.md").read_text(encoding="utf-8") == page.render(numbers)


def test_the_weights_that_were_measured_are_those_that_ship(numbers: dict[str, Any]) -> None:
    files = {name: ROOT / name for name in numbers["digests"] if name.startswith(("methods/", "metrics/"))}
    found = {name: hashlib.sha256(path.read_bytes()).hexdigest()[:16] for name, path in files.items()}
    assert len(found) >= 6
    assert found == {name: numbers["digests"][name] for name in files}


def test_the_run_that_was_read_was_drawn_with_the_weights_that_ship(numbers: dict[str, Any]) -> None:
    run = numbers["run"]["backbone"]
    assert len(run) >= 6
    assert all(numbers["digests"][f"methods/weights/embedded/{name}"] == found for name, found in run.items())


def test_the_page_is_of_as_many_people_and_captions_as_was_wanted(numbers: dict[str, Any]) -> None:
    assert (numbers["people"], numbers["captions"]) == (100, 500)
    assert all(bar.name in numbers["measured"] for bar in page.BARS)


@pytest.mark.parametrize(("name", "size"), [("sheet", (840, 840)), ("renders", (768, 768))])
def test_a_sheet_is_whole_and_small(name: str, size: tuple[int, int]) -> None:
    path = WORLD / f"{name}.webp"
    with Image.open(path) as sheet:
        assert sheet.size == size
    assert path.stat().st_size < 250_000


@pytest.mark.parametrize(("value", "word"), [(31.9, "not met"), (32.1, "met")])
def test_whether_a_bar_is_met_follows_from_the_number(
    numbers: dict[str, Any], value: float, word: str
) -> None:
    numbers["measured"]["psnr"] |= {"value": value, "low": value - 0.2, "high": value + 0.2}
    line = next(line for line in page.render(numbers).splitlines() if line.startswith("| PSNR"))
    assert [cell.strip() for cell in line.split("|")[4:6]] == [word, "no"]


@pytest.mark.parametrize(("load", "word"), [(0.1, "not met"), (3.0, "open")])
def test_a_slow_picture_on_a_busy_machine_decides_nothing(
    numbers: dict[str, Any], load: float, word: str
) -> None:
    numbers["measured"]["seconds"] |= {"value": 0.9, "low": 0.8, "high": 1.0}
    numbers["load"] = load
    line = next(line for line in page.render(numbers).splitlines() if line.startswith("| seconds"))
    assert line.split("|")[4].strip() == word


def test_people_who_are_told_apart_have_an_area_of_one() -> None:
    found = statistics.area(*faces(12, 5, 0.01), seed=0, replicates=100)
    assert (found.value, found.low, found.high, found.n, found.people) == (1.0, 1.0, 1.0, 60, 12)


def test_vectors_that_say_nothing_have_an_area_of_a_half() -> None:
    found = statistics.area(*faces(30, 5, 100.0), seed=0, replicates=500)
    assert found.low < 0.5 < found.high
    assert 0.02 < found.high - found.low < 0.2


def test_the_area_is_that_of_the_card_and_its_interval_holds_it() -> None:
    vectors, who = faces(20, 5, 0.3)
    vectors[7] = np.nan
    found = statistics.area(vectors, who, seed=0, replicates=300)
    assert found.value == face_quality("made up", vectors, who).area
    assert found.n == 99
    assert found.low < found.value < found.high < 1


def test_a_person_drawn_twice_is_not_two_people_nor_a_picture_its_own_pair() -> None:
    vectors, who = faces(6, 4, 0.3)
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    cosines, times = unit @ unit.T, np.array([2, 0, 1, 3, 0, 1])
    copies = [(i, copy) for i in range(len(who)) for copy in range(times[who[i]])]
    same, different = [], []
    for a, (i, one) in enumerate(copies):
        for j, other in copies[:a]:
            if who[i] != who[j]:
                different.append(cosines[i, j])
            elif one == other:
                same.append(cosines[i, j])
    wanted = np.mean([np.mean(s > np.array(different)) for s in same])
    assert statistics.Pairs.of(cosines, who).area(times.astype(float)) == pytest.approx(wanted)


def test_a_share_of_unrelated_pictures_has_wilsons_interval() -> None:
    right = np.arange(200) % 10 != 0
    found = statistics.share(right, np.arange(200))
    wanted = binomtest(180, 200).proportion_ci(method="wilson")
    assert (found.low, found.high) == pytest.approx((wanted.low, wanted.high), abs=1e-3)


def test_a_share_is_less_sure_where_pictures_of_one_person_agree() -> None:
    right = np.arange(200) >= 20
    apart, together = (statistics.share(right, np.arange(200) // each) for each in (1, 10))
    assert apart.value == together.value == 0.9
    assert together.low < apart.low - 0.02
    assert together.people == 20


def test_a_share_of_all_is_not_certain() -> None:
    found = statistics.share([True] * 50, np.arange(50))
    assert found.high == found.value == 1.0
    assert 0.9 < found.low < 0.95


def test_a_distance_of_equals_is_none_and_its_interval_leaves_people_out() -> None:
    vectors, who = faces(8, 4, 1.0)
    calls: list[int] = []

    def kind(x: NDArray[np.float64], y: NDArray[np.float64]) -> float:
        calls.append(len(x))
        return float(np.abs(x.mean(0) - y.mean(0)).sum())

    found = statistics.distance(kind, vectors, vectors, who)
    assert calls == [32, *[28] * 8]
    assert found.value == 0
    assert found.low < 0 < found.high


def test_a_share_of_the_way_is_a_ratio_of_sums_and_its_interval_leaves_people_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ratio = script("world.methods").ratio
    pairs = [(person, prompt) for person in "abcd" for prompt in "xy"]
    rest = dict.fromkeys(pairs, 2.0)
    sure = ratio(dict.fromkeys(pairs, 0.5), rest)
    assert (sure.value, sure.low, sure.high, sure.n, sure.people) == (0.25, 0.25, 0.25, 8, 4)
    unsure = ratio({pair: float(pair[0] == "a") for pair in pairs}, rest)
    assert unsure.value == pytest.approx(2 / 16)
    assert unsure.low < 0 < unsure.high


@pytest.fixture
def shipped_photos(tmp_path: Path) -> Path:
    """Four of the people that ship, as `bench train people` would have written them."""
    records = [json.loads(line) for line in (SHIPPED / "people.jsonl").read_text().splitlines()]
    names = list(dict.fromkeys(record["identity"] for record in records))[:4]
    pixels, lines = [], []
    for record in records:
        if record["identity"] in names and record["view"] < 8:
            name, view, template = (record.pop(key) for key in ("identity", "view", "caption"))
            pixels.append(np.asarray(Image.open(SHIPPED / name / f"{view:02d}.webp").convert("RGB")))
            photo = {"identity": names.index(name), "view": view, "attributes": record, "template": template}
            lines.append(json.dumps(photo))
    folder = tmp_path / "people" / "test"
    folder.mkdir(parents=True)
    np.save(folder / "photos.npy", np.stack(pixels))
    (folder / "photos.jsonl").write_text("\n".join(lines) + "\n")
    return folder.parent


@pytest.fixture
def _same_threads() -> Iterator[None]:
    """The script sets torch's threads, for itself."""
    import torch

    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def test_a_run_by_other_weights_is_not_read(
    shipped_photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    shutil.copytree(ROOT / "results" / "personalisation", run)
    told = (run / "run.json").read_text(encoding="utf-8")
    account = json.loads(told)
    unet = "backbone unet/diffusion_pytorch_model.safetensors"
    digest = next(found[unet] for found in account["fingerprints"].values() if unet in found)
    (run / "run.json").write_text(told.replace(digest, "0" * 16), encoding="utf-8")
    words = [
        "--data",
        shipped_photos,
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
        script("measure_world").main([str(word) for word in words])
    assert "drawn with another unet/diffusion_pytorch_model.safetensors" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
@pytest.mark.usefixtures("_same_threads")
def test_the_script_measures_what_the_page_needs(
    shipped_photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "world"
    words = ["--data", shipped_photos, "--people", 4, "--captions", 16, "--threads", 1, "--out", out]
    script("measure_world").main([str(word) for word in words])
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


def test_the_page_of_shapes_is_what_its_numbers_give(shapes: ModuleType) -> None:
    numbers = json.loads((WORLD / "shapes.json").read_text(encoding="utf-8"))
    assert (WORLD / "shapes.md").read_text(encoding="utf-8") == shapes.render(numbers)
    assert numbers["digests"] == shapes.digests(), (
        "run results/scripts/measure_shapes.py again: other weights ship"
    )


def test_what_vectors_hold_is_explained_and_what_they_do_not_hold_is_not(shapes: ModuleType) -> None:
    rng = np.random.default_rng(5)
    x, y = rng.standard_normal((400, 30)), rng.standard_normal((400, 3))
    x[:, :3] += 3 * y
    held = shapes.explained(x[:300], y[:300], x[300:], y[300:])
    other = shapes.explained(x[:300], rng.standard_normal((300, 3)), x[300:], rng.standard_normal((100, 3)))
    assert 0.85 < held.value < 0.95, "nine tenths of the variance of what is seen is y's"
    assert held.low < held.value < held.high
    assert other.low < 0.02


def test_shapes_are_judged_on_enough_people(
    shapes: ModuleType, shipped_photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (shipped_photos / "train").symlink_to(shipped_photos / "test")
    with pytest.raises(SystemExit):
        shapes.main(["--data", str(shipped_photos), "--fitted", "99"])
    assert "--fitted 99: wanted 4 to 4, which is how many the folder has" in capsys.readouterr().err
