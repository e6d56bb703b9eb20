"""Options from dataclasses: names, defaults and values, and unchanged public options of `bench train`."""

from dataclasses import dataclass
from typing import Annotated

import pytest
import typer
from typer.main import get_command
from typer.testing import CliRunner

from bench.cli.option_groups import grouped_options
from bench.cli.train import app as train_app


@dataclass(frozen=True)
class Size:
    """A group with one required and one optional field."""

    width: Annotated[int, typer.Option(help="Pixels.")]
    deep_colour: Annotated[bool, typer.Option(help="More bits.")] = False


def test_fields_of_a_group_are_options_of_the_command() -> None:
    app, received = typer.Typer(), []

    @app.command()
    @grouped_options
    def paint(name: Annotated[str, typer.Option()], size: Size, count: int = 2) -> None:
        received.append((name, size, count))

    runner = CliRunner()
    assert runner.invoke(app, ["--name", "a", "--width", "3", "--deep-colour"]).exit_code == 0
    assert received == [("a", Size(3, True), 2)]
    assert runner.invoke(app, ["--name", "a"]).exit_code == 2


DATASET = {"dataset", "root", "people", "pictures", "side"}
SCHEDULE = {"steps", "batch", "learning-rate", "accumulate", "precision", "device"}
LARGE = {"hidden", "gradient-checkpointing"}
ADAPTER = {"data", "out", "checkpoints", "base", "dtype", "encoder", "name", "start", *DATASET, *SCHEDULE}
TINY_SD = {"data", "checkpoints", "start", "steps", "batch", "learning-rate", "device"}


@pytest.mark.parametrize(
    ("command", "options"),
    [
        ("people", {"data", "train", "validation", "test", "processes", "ship"}),
        ("clip", {*TINY_SD, "out"}),
        ("autoencoder", TINY_SD),
        ("decoder", {*TINY_SD, "out"}),
        ("backbone", {*TINY_SD, "out", "family"}),
        (
            "ip-adapter",
            {*ADAPTER, *LARGE, "layout", "condition", "tokens", "timestep-power", "summary-loss-weight"},
        ),
        (
            "loo",
            {*ADAPTER, "aggregator", "noising", "leave-out", "captions", "smallest-set", "largest-set"}
            | {*LARGE, "depth", "timestep-power", "tokens", "shortcut", "validate-every"},
        ),
        ("encoders", {"data", "out", "checkpoints", "device"}),
    ],
)
def test_train_commands_have_their_published_options(command: str, options: set[str]) -> None:
    found = get_command(train_app).commands[command]  # type: ignore[attr-defined]
    assert {option.opts[0].removeprefix("--") for option in found.params} == options
