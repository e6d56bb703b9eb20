"""Progress on stderr."""

import io

from rich.console import Console

from bench.progress import Display, Work
from bench.runs.events import Failed, Fitted, Generated
from bench.runs.plan import Cell
from bench.suite.prompts import Prompt

WORK = Work(images={"fake": 6})


def cell(identity: str, sample: int) -> Cell:
    return Cell("fake", identity, Prompt("hat", "{subject}"), sample, 0)


def displayed(*events: Fitted | Generated | Failed, terminal: bool = False) -> str:
    buffer = io.StringIO()
    with Display(Console(file=buffer, force_terminal=terminal, width=100), WORK) as display:
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


def test_expected_seconds_cover_fits_images_and_scoring() -> None:
    work = Work({"a": 4, "new": 2}, {"a": 1}, {"a": 0.5}, {"a": 10.0}, 7.0, workers=2)
    assert work.seconds == (10.0 + 4 * 0.5 + 2 * 0.5) / 2 + 7.0
    assert [work.of_fit("new"), work.of_image("new")] == [0.0, 0.25]


def progress(work: Work, *steps: str) -> list[float]:
    """Share of the bar after each step."""
    with Display(Console(file=io.StringIO(), force_terminal=True), work) as display:
        shares = []
        for step in steps:
            match step:
                case "fit":
                    display.show(Fitted("fake", "ada", 3.0))
                case "image":
                    display.show(Generated(cell("ada", 1), 0.1))
                case "start":
                    display.start_scoring(4)
                case "score":
                    display.scoring("fake: identity")
            (task,) = display._progress.tasks
            shares.append(round(task.completed / (task.total or 1), 3))
    return shares


def test_bar_covers_scoring_where_its_cost_is_known() -> None:
    work = Work({"fake": 2}, {"fake": 1}, {"fake": 1.0}, {"fake": 2.0}, 4.0)
    assert progress(work, "fit", "image", "image", "start", "score", "score") == [
        0.25,
        0.375,
        0.5,
        0.5,
        0.625,
        0.75,
    ]


def test_bar_starts_again_for_scoring_where_no_cost_is_known() -> None:
    assert progress(WORK, "image", "start", "score", "score") == [0.167, 0.0, 0.25, 0.5]
