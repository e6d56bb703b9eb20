"""What is said on stderr."""

import io

from rich.console import Console

from bench.progress import Display
from bench.runs.events import Failed, Fitted, Generated
from bench.runs.plan import Cell
from bench.suite.prompts import Prompt


def cell(identity: str, sample: int) -> Cell:
    return Cell("fake", identity, Prompt("hat", "{subject}"), sample, 0)


def said(*events: Fitted | Generated | Failed, terminal: bool = False) -> str:
    buffer = io.StringIO()
    with Display(Console(file=buffer, force_terminal=terminal, width=100), len(events)) as display:
        for event in events:
            display.show(event)
    return buffer.getvalue()


def test_a_log_has_a_line_for_each_group() -> None:
    events = [
        Fitted("fake", "ada", 1.25),
        Generated(cell("ada", 1), 0.1),
        Generated(cell("ada", 2), 0.1),
        Generated(cell("bob", 1), 0.1),
    ]
    assert said(*events).splitlines() == ["fake/ada: fitted in 1.2 s", "fake/ada", "fake/bob"]


def test_a_reason_is_said_once_for_each_group() -> None:
    reason = "[no] weights"
    text = said(*(Failed(cell(who, sample), reason) for who in ("ada", "bob") for sample in (1, 2, 3)))
    assert text.count(reason) == 2


def test_a_terminal_gets_a_bar_with_the_time_left() -> None:
    assert "time left" in said(Generated(cell("ada", 1), 0.1), Generated(cell("ada", 2), 0.1), terminal=True)
