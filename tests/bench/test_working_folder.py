"""A command whose working folder was deleted does what needs none, and refuses the rest in one line."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from bench.errors import ExitStatus
from bench.working_folder import leave_deleted_folder, working_folder

PRODUCT = """
import os, pathlib, sys
pathlib.Path(os.getcwd()).rmdir()
from bench.working_folder import leave_deleted_folder
leave_deleted_folder()
import torch
sys.exit(0 if (torch.ones(9, 9) @ torch.ones(9, 9)).sum() == 729 else 1)
"""


@pytest.fixture
def deleted(bench: Callable[..., int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """Run a command in a deleted folder."""
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    return bench


def test_absolute_paths_need_no_working_folder(
    deleted: Callable[..., int], suite: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    run = ("run", "--suite", suite, "--methods", "fake_method:FakeMethod", "--workers", 2, "--no-cache")
    assert deleted(*run, "--out", out) == ExitStatus.DONE
    assert len(list(out.glob("images/*/*/*.png"))) == 18
    assert deleted("score", out, "--no-cache") == ExitStatus.DONE
    assert deleted("report", out) == ExitStatus.DONE
    assert deleted("list", "suites") == ExitStatus.DONE
    assert deleted("run", "--suite", "smoke", "--methods", "text-only", "--dry-run") == ExitStatus.DONE


@pytest.mark.parametrize(
    "arguments",
    [
        ("run", "--suite", "SUITE", "--methods", "fake_method:FakeMethod"),
        ("run", "--suite", "SUITE", "--methods", "fake_method:FakeMethod", "--out", "run"),
        ("run", "--suite", "fake.toml", "--methods", "fake_method:FakeMethod"),
        ("data", "folder", "--root", "people"),
        ("report",),
    ],
)
def test_relative_path_is_refused_in_one_line(
    deleted: Callable[..., int], suite: Path, arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    words = [str(suite) if word == "SUITE" else word for word in arguments]
    assert deleted(*words) == ExitStatus.WRONG_INPUT
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith(
        "the working folder does not exist any more: give absolute paths, or change into another folder"
    )


def test_libraries_compute_in_a_deleted_folder(tmp_path: Path) -> None:
    folder = tmp_path / "gone"
    folder.mkdir()
    # MKL ends a process that has no working folder at its first matrix product.
    done = subprocess.run([sys.executable, "-P", "-c", PRODUCT], cwd=folder, check=False, capture_output=True)
    assert done.returncode == 0, done.stderr


def test_existing_folder_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    leave_deleted_folder()
    assert working_folder() == Path.cwd() == tmp_path
