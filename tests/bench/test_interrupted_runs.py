"""Runs that end badly: killed, crowded, without room."""

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
    words = ["run", "--suite", str(suite), "--methods", FAKE, "--out", str(out)]
    return [sys.executable, "-m", "bench.cli", *words]


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


def pictures(run: Path) -> dict[str, bytes]:
    return {str(p.relative_to(run)): p.read_bytes() for p in sorted((run / "images").rglob("*.png"))}


def killed_after(suite: Path, out: Path, count: int) -> None:
    """Start a run and kill it as soon as `count` pictures are there."""
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


def test_a_run_killed_and_begun_again_makes_the_same_pictures(suite: Path, tmp_path: Path) -> None:
    slow = suite.read_text() + f'\n[methods."{FAKE}"]\npause = 0.03\n'
    suite.write_text(slow)
    undisturbed, killed = tmp_path / "undisturbed", tmp_path / "killed"
    assert bench(suite, undisturbed).returncode == 0
    for count in (1, 6, 11):
        killed_after(suite, killed, count)
        assert len(pictures(killed)) < 18
    # Half a file of a run before, which no reader may take for a picture.
    half = sorted((killed / "images").rglob("*.png"))[0]
    half.write_bytes(half.read_bytes()[:40])
    done = bench(suite, killed)
    assert done.returncode == 0, done.stderr
    assert pictures(killed) == pictures(undisturbed)
    assert not list(killed.rglob("*.partial"))


def test_a_killed_runs_lock_is_taken_over_and_a_living_ones_is_not(suite: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    with locked(out):
        refused = bench(suite, out)
    assert refused.returncode == 2
    assert len(refused.stderr.splitlines()) == 1
    assert f"process {os.getpid()}" in refused.stderr
    assert "is writing here" in refused.stderr
    assert (out / ".lock").exists()
    assert bench(suite, out).returncode == 0


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs a place where not even root may write")
def test_an_unwritable_folder_is_one_line(suite: Path) -> None:
    refused = bench(suite, Path("/proc/self/run"))
    assert refused.returncode == 2
    assert len(refused.stderr.splitlines()) == 1
    assert "give --out another folder" in refused.stderr


def test_a_file_in_the_folders_place_is_one_line(suite: Path, tmp_path: Path) -> None:
    (tmp_path / "run").write_text("a file")
    refused = bench(suite, tmp_path / "run")
    assert refused.returncode == 2
    assert len(refused.stderr.splitlines()) == 1
    assert "give --out another folder" in refused.stderr


def test_a_full_disk_ends_the_run_in_one_line_and_keeps_what_is_there(suite: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"

    # Files may grow to 2.5 kB: the pictures of 3 kB do not fit, the small files before them do.
    def no_room() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (2500, 2500))

    assert bench(suite, tmp_path / "whole").returncode == 0
    kept = out / "images" / FAKE.replace(":", "+") / "ada" / "blue-background.s1.png"
    kept.parent.mkdir(parents=True)
    kept.write_bytes((tmp_path / "whole" / kept.relative_to(out)).read_bytes())
    refused = bench(suite, out, preexec_fn=no_room)
    assert refused.returncode == 2, refused.stderr
    assert "run again; existing files are kept" in refused.stderr.splitlines()[-1]
    assert pictures(out) == {
        k: v
        for k, v in pictures(tmp_path / "whole").items()
        if k.endswith("blue-background.s1.png") and "ada" in k
    }
    assert not list(out.rglob("*.partial"))
    assert bench(suite, out).returncode == 0
    assert pictures(out) == pictures(tmp_path / "whole")


def test_two_methods_names_never_share_a_folder(tmp_path: Path) -> None:
    assert RunFolder(tmp_path).fit("a:b", "ada") != RunFolder(tmp_path).fit("a.b", "ada")
