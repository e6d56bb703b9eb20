"""A command does its work and keeps it, whatever happens to its standard streams."""

import errno
import io
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
from fake_run import write_run
from known_run import known_run

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


@pytest.mark.parametrize("words", [["list", "methods"], ["data", "rendered", "--json"]])
def test_reader_that_leaves_ends_a_command_quietly(words: list[str], tmp_path: Path) -> None:
    command = [sys.executable, "-m", "bench.cli", *words]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, cwd=tmp_path, env=environment, **pipes) as started:
        started.stdout.close()
        assert started.stderr.read() == b""
    assert started.returncode == 0


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="needs a terminal")
@pytest.mark.parametrize("width", [60, 100, 200])
def test_report_fits_its_terminal_and_no_color_is_kept(width: int, tmp_path: Path) -> None:
    import fcntl
    import struct
    import termios

    write_run(tmp_path, known_run())
    reader, terminal = os.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 40, width, 0, 0))
    environment = {k: v for k, v in os.environ.items() if k not in ("COLUMNS", "FORCE_COLOR")}
    environment |= {"PYTHONPATH": str(ROOT), "NO_COLOR": "1", "TERM": "xterm-256color"}
    code = (
        "import sys; sys.argv = ['bench', 'report', '.']\n"
        "from rich.console import Console\n"
        "Console().print('text', style='red')\n"
        "from bench.cli.main import main; main()"
    )
    streams = {"stdin": terminal, "stdout": terminal, "stderr": terminal}
    with subprocess.Popen([sys.executable, "-c", code], cwd=tmp_path, env=environment, **streams) as started:
        os.close(terminal)
        text = b"".join(iter(partial(_read, reader), b"")).decode()
    os.close(reader)
    assert started.returncode == 0
    assert "\x1b" not in text
    lines = text.splitlines()
    assert "identity (sface)" in text
    assert max(map(len, lines)) <= width
    assert max(map(len, lines)) > width / 2


def _read(terminal: int) -> bytes:
    """What the command has written; empty at its end, where reading a terminal is an error."""
    try:
        return os.read(terminal, 65536)
    except OSError:
        return b""
