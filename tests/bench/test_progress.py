"""Progress on stderr."""

import io

from rich.console import Console

from bench.progress import Display
from bench.runs.events import Failed, Fitted, Generated
from bench.runs.plan import Cell
from bench.suite.prompts import Prompt


def cell(identity: str, sample: int) -> Cell:
    return Cell("fake", identity, Prompt("hat", "{subject}"), sample, 0)


def displayed(*events: Fitted | Generated | Failed, terminal: bool = False) -> str:
    buffer = io.StringIO()
    with Display(Console(file=buffer, force_terminal=terminal, width=100), len(events)) as display:
        for event in events:
            display.show(event)
    return buffer.getvalue()


def test_log_has_one_line_per_group() -> None:
    events = [
        Fitted("fake", "ada", 1.25),
        Generated(cell("ada", 1), 0.1),
        Generated(cell("ada", 2), 0.1),
        Generated(cell("bob", 1), 0.1),
    ]
    assert displayed(*events).splitlines() == ["fake/ada: fitted in 1.2 s", "fake/ada", "fake/bob"]


def test_reason_is_printed_once_per_group() -> None:
    reason = "[no] weights"
    text = displayed(*(Failed(cell(who, sample), reason) for who in ("ada", "bob") for sample in (1, 2, 3)))
    assert text.count(reason) == 2


def test_terminal_shows_a_bar_with_the_time_left() -> None:
    assert "time left" in displayed(
        Generated(cell("ada", 1), 0.1), Generated(cell("ada", 2), 0.1), terminal=True
    )
