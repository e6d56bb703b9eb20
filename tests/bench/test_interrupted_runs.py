"""Interrupted runs: killed process, locked or unwritable folder, full disk."""

import os
import resource
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bench.runs.run_folder import RunFolder, locked

ROOT = Path(__file__).parents[2]
FAKES = Path(__file__).parent / "fakes"
FAKE = "fake_method:FakeMethod"


def command(suite: Path, out: Path) -> list[str]:
    arguments = ["run", "--suite", str(suite), "--methods", FAKE, "--out", str(out), "--workers", "1"]
    return [sys.executable, "-m", "bench.cli", *arguments]


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{FAKES}"}


def bench(suite: Path, out: Path, **options: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # type: ignore[call-overload,no-any-return]
        command(suite, out),
        env=environment(),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        **options,
    )


def images(run: Path) -> dict[str, bytes]:
    return {str(p.relative_to(run)): p.read_bytes() for p in sorted((run / "images").rglob("*.png"))}


def killed_after(suite: Path, out: Path, count: int) -> None:
    """Start a run and kill it as soon as `count` images exist."""
    running = subprocess.Popen(
        command(suite, out), env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 60
    while running.poll() is None and time.monotonic() < deadline:
        if len(list((out / "images").rglob("*.png"))) >= count:
            break
        time.sleep(0.005)
    running.kill()
    running.wait()


def test_killed_and_continued_run_generates_the_same_images(suite: Path, tmp_path: Path) -> None:
    slow = suite.read_text() + f'\n[methods."{FAKE}"]\npause = 0.03\n'
    suite.write_text(slow)
    uninterrupted, killed = tmp_path / "uninterrupted", tmp_path / "killed"
    assert bench(suite, uninterrupted).returncode == 0
    killed_after(suite, killed, 6)
    assert len(images(killed)) < 18
    # A partial file, which no reader may accept as an image.
    partial = sorted((killed / "images").rglob("*.png"))[0]
    partial.write_bytes(partial.read_bytes()[:40])
    done = bench(suite, killed)
    assert done.returncode == 0, done.stderr
    assert images(killed) == images(uninterrupted)
    assert not list(killed.rglob("*.partial"))


def test_lock_of_a_running_process_is_respected_and_that_of_an_ended_one_is_not(
    suite: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    with locked(out):
        refused = bench(suite, out)
    assert refused.returncode == 2
    assert len(refused.stderr.splitlines()) == 1
    assert f"process {os.getpid()}" in refused.stderr
    assert "is writing here" in refused.stderr
    assert (out / ".lock").exists()
    assert bench(suite, out).returncode == 0


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs a folder that not even root can write")
def test_unwritable_folder_is_refused_in_one_line(suite: Path) -> None:
    refused = bench(suite, Path("/proc/self/run"))
    assert refused.returncode == 2
    assert len(refused.stderr.splitlines()) == 1
    assert "choose another folder with --out" in refused.stderr


def test_file_instead_of_the_folder_is_refused_in_one_line(suite: Path, tmp_path: Path) -> None:
    (tmp_path / "run").write_text("a file")
    refused = bench(suite, tmp_path / "run")
    assert refused.returncode == 2
    assert len(refused.stderr.splitlines()) == 1
    assert "choose another folder with --out" in refused.stderr


def test_full_disk_ends_the_run_in_one_line_and_keeps_existing_files(suite: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"

    # The limit of 2.5 kB excludes images, which have 3 kB, but not the smaller files before them.
    def limit_file_size() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (2500, 2500))

    assert bench(suite, tmp_path / "whole").returncode == 0
    kept = out / "images" / FAKE.replace(":", "+") / "ada" / "blue-background.s1.png"
    kept.parent.mkdir(parents=True)
    kept.write_bytes((tmp_path / "whole" / kept.relative_to(out)).read_bytes())
    refused = bench(suite, out, preexec_fn=limit_file_size)
    assert refused.returncode == 2, refused.stderr
    assert "run again; existing files are kept" in refused.stderr.splitlines()[-1]
    assert images(out) == {
        k: v
        for k, v in images(tmp_path / "whole").items()
        if k.endswith("blue-background.s1.png") and "ada" in k
    }
    assert not list(out.rglob("*.partial"))
    assert bench(suite, out).returncode == 0
    assert images(out) == images(tmp_path / "whole")


def test_method_names_never_share_a_folder(tmp_path: Path) -> None:
    assert RunFolder(tmp_path).fit("a:b", "ada") != RunFolder(tmp_path).fit("a.b", "ada")
