"""Worker processes: the same files for every number of them, a lost worker, errors, a killed run."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import psutil
import pytest
from fake_method import FakeMethod

from bench.errors import ExitStatus
from bench.runner.backbone_source import BackboneSource, environment
from bench.runner.execution import worker_count, worker_pool
from bench.runner.execution.worker_count import cores, default_workers
from bench.runner.execution.worker_pool import WorkerPool
from bench.runs.run_folder import RunFolder
from methods.backbone.spec import BackboneSpec
from methods.errors import MethodError
from methods.interface import MethodBase

Bench = Callable[..., int]
ROOT = Path(__file__).parents[4]
FAKES = Path(__file__).parents[2] / "fakes"
FAKE = "fake_method:FakeMethod"
KILLER = "fake_method:KillsItsWorker"
SMALL = """
name = "small"
samples = 1
metrics = ["detected@yunet"]

[dataset]
kind = "rendered"
identities = 2
references = 2
held_out = 1

[prompts]
set = "portrait"
count = 1

[backbone]
path = "embedded"
scheduler = "ddim"
steps = 2
resolution = 64
batch = 2

[methods.dreambooth-lora]
steps = 2
batch = 2
learning_rate = 1e-3
"""


def files(run: Path, *endings: str) -> dict[str, bytes]:
    found = (path for path in sorted(run.rglob("*")) if path.name.endswith(endings))
    return {str(path.relative_to(run)): path.read_bytes() for path in found}


@pytest.mark.slow
def test_any_number_of_workers_gives_the_same_images_fits_and_scores(bench: Bench, tmp_path: Path) -> None:
    suite = tmp_path / "small.toml"
    suite.write_text(SMALL)
    methods = "text-only,dreambooth-lora"
    for count in (1, 3):
        words = ("run", "--suite", suite, "--methods", methods, "--out", f"run{count}", "--workers", count)
        assert bench(*words) == ExitStatus.DONE
    one, three = (files(Path(f"run{count}"), ".png", ".safetensors", "scores.csv") for count in (1, 3))
    assert [name for name in one if one[name] != three.get(name)] == []
    assert one.keys() == three.keys()
    assert sum(name.endswith(".safetensors") for name in one) >= 2


def test_lost_workers_fail_their_groups_alone_and_are_replaced(tmp_path: Path, suite: Path) -> None:
    killers = "\n".join(f'[methods.killer{i}]\nbase = "{KILLER}"' for i in range(3))
    suite.write_text(f"{suite.read_text()}\n{killers}\n")
    done = run_command(suite, tmp_path / "run", f"killer0,killer1,killer2,{FAKE}", "2")
    assert done.wait(timeout=120) == ExitStatus.SOME_FAILED
    assert len(files(tmp_path / "run" / "images", ".png")) == 4 * 18 - 3 * 6
    failed = {path.parent.name for path in (tmp_path / "run").rglob("*.failed.json")}
    assert failed == {"bob"}
    report = (tmp_path / "run" / "report.md").read_text()
    assert "the worker process was lost: killed, perhaps because memory ran out" in report


def run_command(suite: Path, out: Path, methods: str, workers: str) -> "subprocess.Popen[bytes]":
    arguments = ["run", "--suite", str(suite), "--methods", methods, "--out", str(out), "--workers", workers]
    return subprocess.Popen(
        [sys.executable, "-m", "bench.cli", *arguments],
        env={**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{FAKES}"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_workers_end_with_the_run(suite: Path, tmp_path: Path, number: signal.Signals) -> None:
    suite.write_text(suite.read_text() + f'\n[methods."{FAKE}"]\npause = 0.2\n')
    running = run_command(suite, tmp_path / "run", FAKE, "2")
    deadline = time.monotonic() + 60
    while not list(tmp_path.rglob("images/**/*.png")):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    workers = [
        child for child in psutil.Process(running.pid).children() if "spawn_main" in str(child.cmdline())
    ]
    assert len(workers) == 2
    running.send_signal(number)
    running.wait(timeout=30)
    _, alive = psutil.wait_procs(workers, timeout=20)
    assert not alive


def test_worker_sends_the_error_of_a_broken_backbone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def broken(source: BackboneSource) -> None:
        raise MethodError("unet: 3 weights are missing")

    monkeypatch.setattr(worker_pool, "opened", broken)
    monkeypatch.setattr("signal.signal", lambda *_: None)
    ours, theirs = worker_pool.CONTEXT.Pipe()
    worker_pool.serve(theirs, source("cpu", tmp_path), RunFolder(tmp_path))
    error = ours.recv()
    assert isinstance(error, MethodError)
    assert str(error) == "unet: 3 weights are missing"


def test_full_disk_of_a_worker_ends_the_run(
    bench: Bench, suite: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("run").mkdir()
    Path("run/images").write_text("a file where a folder should be")
    words = ("run", "--suite", suite, "--methods", FAKE, "--out", "run", "--workers", "2")
    assert bench(*words) == ExitStatus.WRONG_INPUT
    assert "cannot be written" in capsys.readouterr().err


def test_ray_refuses_a_number_of_workers(
    bench: Bench, suite: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("run", "--suite", suite, "--methods", FAKE, "--executor", "ray", "--workers", "2")
    assert bench(*words, "--out", "run") == ExitStatus.WRONG_INPUT
    assert "Ray chooses its number of workers; leave --workers out" in capsys.readouterr().err


def source(device: str, tmp_path: Path, size: int = 0) -> BackboneSource:
    weights = tmp_path / "weights"
    with weights.open("wb") as file:
        file.truncate(size)
    return BackboneSource(BackboneSpec(), device, tmp_path, (weights,), "", ())  # type: ignore[arg-type]


def test_default_number_of_workers(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert 1 <= default_workers(None) <= cores()
    monkeypatch.setattr(worker_count, "cores", lambda: 64)
    monkeypatch.setattr(worker_count, "gpu_count", lambda: 3)
    free = 20 * 2**30
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=free))
    assert default_workers(source("cpu", tmp_path, free // 5)) == 2
    assert default_workers(source("cuda", tmp_path)) == 3


@dataclass(frozen=True)
class WithNetworks(MethodBase):
    """A method with networks of its own, or with images made elsewhere."""

    name: ClassVar[str] = "with-networks"
    file: Path
    has_costs: bool = True  # type: ignore[misc]

    @property
    def weights(self) -> tuple[Path, ...]:
        return (self.file,)


def test_networks_of_a_method_count_by_default(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(worker_count, "cores", lambda: 64)
    monkeypatch.setattr(worker_count, "gpu_count", lambda: 0)
    free = 20 * 2**30
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=free))
    file = tmp_path / "networks"
    with file.open("wb") as stream:
        stream.truncate(free // 5)
    plain: Any = FakeMethod()
    networks, images = WithNetworks(file), WithNetworks(file, has_costs=False)
    assert default_workers(None, [plain, images]) == 13
    assert default_workers(None, [plain, networks]) == 2
    # The method, not the run, chooses the device: several workers would share one GPU.
    monkeypatch.setattr(worker_count, "gpu_count", lambda: 4)
    assert default_workers(None, [plain, networks]) == 1
    assert default_workers(None, [plain, images]) == 13
    assert default_workers(source("cuda", tmp_path), [networks]) == 4


def test_control_group_limits_the_cores(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(worker_count, "CPU_QUOTA", tmp_path / "cpu.max")
    (tmp_path / "cpu.max").write_text("100000 100000\n")
    assert cores() == 1
    (tmp_path / "cpu.max").write_text("max 100000\n")
    assert cores() >= 1


def test_each_gpu_has_one_worker(tmp_path: Path) -> None:
    pool = WorkerPool(source("cuda", tmp_path), RunFolder(tmp_path), 2)
    assert [pool._variables(slot) for slot in (0, 1)] == [
        {"CUDA_VISIBLE_DEVICES": "0"},
        {"CUDA_VISIBLE_DEVICES": "1"},
    ]
    with environment(CUDA_VISIBLE_DEVICES="4,7"):
        assert pool._variables(1) == {"CUDA_VISIBLE_DEVICES": "7"}
    assert "CUDA_VISIBLE_DEVICES" not in os.environ
    pool = WorkerPool(source("cpu", tmp_path), RunFolder(tmp_path), 2)
    assert pool._variables(1)["OMP_NUM_THREADS"] == "1"
