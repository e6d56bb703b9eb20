"""A command does its work and keeps it, whatever happens to its standard streams."""

import errno
import io
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bench.cli.streams import TolerantStream, tolerant_streams
from bench.errors import ExitStatus

ROOT = Path(__file__).parents[3]


class Failing(io.StringIO):
    """Every write raises this error, as on a full disk or a closed pipe."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number

    def write(self, text: str) -> int:
        raise OSError(self.number, os.strerror(self.number))


@pytest.fixture
def replaced(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Replace stdout and stderr for the command that follows."""

    def replace(stdout: io.TextIOBase, stderr: io.TextIOBase) -> None:
        monkeypatch.setattr(sys, "stdout", stdout)
        monkeypatch.setattr(sys, "stderr", stderr)

    return replace


def test_characters_that_the_terminal_lacks_are_replaced() -> None:
    file = io.BytesIO()
    stream = TolerantStream(io.TextIOWrapper(file, encoding="ascii"))
    stream.write("identity ↑\udcff")
    stream.flush()
    assert file.getvalue() == b"identity ??"
    assert stream.error is None


@pytest.mark.parametrize(
    ("number", "status"), [(errno.ENOSPC, ExitStatus.WRONG_INPUT), (errno.EPIPE, ExitStatus.DONE)]
)
def test_stdout_that_takes_nothing_is_reported_unless_its_reader_left(
    number: int, status: ExitStatus, bench: Callable[..., int], replaced: Callable[..., None]
) -> None:
    stderr = io.StringIO()
    replaced(Failing(number), stderr)
    assert bench("list", "suites") == status
    reported = stderr.getvalue()
    assert reported == ("bench: the output cannot be written (No space left on device)\n" if status else "")


def test_run_is_finished_where_stderr_takes_nothing(
    bench: Callable[..., int], suite: Path, replaced: Callable[..., None]
) -> None:
    stdout = io.StringIO()
    replaced(stdout, Failing(errno.ENOSPC))
    run = ("run", "--suite", suite, "--methods", "fake_method:FakeMethod", "--out", "run")
    assert bench(*run) == ExitStatus.DONE
    assert len(list(Path("run/images").rglob("*.png"))) == 18
    assert "identity (fake-eye)" in stdout.getvalue()


def test_missing_streams_are_replaced(replaced: Callable[..., None]) -> None:
    replaced(None, None)  # type: ignore[arg-type]  # as Python does for closed descriptors
    with tolerant_streams() as stdout:
        sys.stdout.write("nobody reads this")
        sys.stderr.write("nor this")
    assert stdout.error is None
    assert (sys.stdout, sys.stderr) == (None, None)


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs a shell and /proc")
def test_closed_descriptors_are_not_given_to_files(tmp_path: Path) -> None:
    code = (
        "import sys; from bench.cli.streams import tolerant_streams\n"
        "with tolerant_streams(): sys.exit(min(3, open('file', 'w').fileno()))"
    )
    command = ["sh", "-c", f'"{sys.executable}" -c "{code}" >&- 2>&-']
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    assert subprocess.run(command, cwd=tmp_path, env=environment, check=False).returncode == 3


def test_user_without_a_home_folder_can_run_commands(
    bench: Callable[..., int], suite: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HOME")
    monkeypatch.setattr(os, "getuid", lambda: 54321)
    with pytest.raises(RuntimeError, match="home directory"):
        Path.home()
    run = ("run", "--suite", suite, "--methods", "fake_method:FakeMethod", "--out", "run")
    assert bench(*run) == ExitStatus.DONE
    assert os.environ.pop("HOME") == "/nonexistent"


def test_path_of_an_unknown_user_is_refused_in_one_line(
    bench: Callable[..., int], suite: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    suite.write_text(suite.read_text() + '\n[methods.lora]\nbase = "lora-folder"\npath = "~nobodyx/loras"\n')
    assert bench("run", "--suite", suite, "--methods", "lora") == ExitStatus.WRONG_INPUT
    assert "A path begins with ~ and an unknown user" in capsys.readouterr().err
