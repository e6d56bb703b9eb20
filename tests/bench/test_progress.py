"""What is said on stderr."""

import io

from rich.console import Console

from bench.progress import Display
from bench.runs.events import Drawn, Failed, Fitted
from bench.runs.plan import Cell
from bench.suite.prompts import PromptCard


def cell(identity: str, sample: int) -> Cell:
    return Cell("fake", identity, PromptCard("hat", "{subject}"), sample, 0)


def said(*events: Fitted | Drawn | Failed, terminal: bool = False) -> str:
    buffer = io.StringIO()
    with Display(Console(file=buffer, force_terminal=terminal, width=100), len(events)) as display:
        for event in events:
            display.show(event)
    return buffer.getvalue()


def test_a_log_has_a_line_for_each_group() -> None:
    events = [
        Fitted("fake", "ada", 1.25),
        Drawn(cell("ada", 1), 0.1),
        Drawn(cell("ada", 2), 0.1),
        Drawn(cell("bob", 1), 0.1),
    ]
    assert said(*events).splitlines() == ["fake/ada: fitted in 1.2 s", "fake/ada", "fake/bob"]


def test_a_reason_is_said_once_for_each_group() -> None:
    why = "[no] weights"
    text = said(*(Failed(cell(who, sample), why) for who in ("ada", "bob") for sample in (1, 2, 3)))
    assert text.count(why) == 2


def test_a_terminal_gets_a_bar_with_the_time_left() -> None:
    assert "time left" in said(Drawn(cell("ada", 1), 0.1), Drawn(cell("ada", 2), 0.1), terminal=True)
