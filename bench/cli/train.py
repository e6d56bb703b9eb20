"""`bench train`: makes every part of the embedded world from seeds; each command can be resumed."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from bench.progress import reporting
from bench.torchvision_compat import ensure_torchvision_imports
from bench.training.workspace import (
    ENCODERS,
    ROOT,
    WEIGHTS,
    DatasetOptions,
    TrainingPaths,
    parted,
    resolve,
    shortened,
)

app = typer.Typer(
    help="""Make the embedded world: photographs, backbone, adapters, evaluation networks.

In order: people, clip, autoencoder, backbone, ip-adapter, loo (per aggregator), encoders. Every command
takes up again where it was stopped, and uses a GPU where there is one.
""",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


@app.callback()
def prepare() -> None:
    """Runs before every command."""
    ensure_torchvision_imports()


class Device(StrEnum):
    """Where the networks learn."""

    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"


Data = Annotated[Path, typer.Option(help="Folder of the rendered photographs.")]
Checkpoints = Annotated[Path, typer.Option(help="Folder of checkpoints and caches.")]
Out = Annotated[Path, typer.Option(help="Folder that receives the weights.")]
Steps = Annotated[
    int | None, typer.Option(help="Training steps; the recipe's without it.", show_default=False)
]
Batch = Annotated[
    int | None, typer.Option(help="Photographs a step; the recipe's without it.", show_default=False)
]
On = Annotated[Device, typer.Option(help="Where the networks learn.")]
Start = Annotated[
    Path | None,
    typer.Option(
        help="Checkpoints of an earlier making, to go on from; from seeds without it.", show_default=False
    ),
]
FromDataset = Annotated[
    str | None,
    typer.Option(
        "--dataset",
        help="Learn from this dataset (`bench list datasets`) instead of --data; weights go to a folder of "
        "its own.",
        show_default=False,
    ),
]
Root = Annotated[Path | None, typer.Option(help="The dataset's folder.", show_default=False)]
People = Annotated[
    int | None, typer.Option(help="So many people of the dataset; all without it.", show_default=False)
]
Side = Annotated[
    int | None,
    typer.Option(help="Pixels of the dataset's photographs.", show_default="64 if embedded, else 512"),
]
Base = Annotated[str, typer.Option(help="The backbone: `embedded`, a folder, or owner/name@commit.")]
Encoder = Annotated[
    Path | None, typer.Option(help="Folder of the image encoder.", show_default="the embedded one")
]
Lean = Annotated[float, typer.Option(help="Noise steps t are drawn as t^(lean - 1); 1 is uniform.")]
Rate = Annotated[float | None, typer.Option(help="The recipe's without it.", show_default=False)]
Pieces = Annotated[int, typer.Option(help="Pieces of a batch, one after the other.")]
Precision = Annotated[str, typer.Option(help="Of the forward pass: `auto`, `fp32`, `bf16`, `fp16`.")]

PEOPLE = ROOT / "people"
CHECKPOINTS = ROOT / "checkpoints"


@app.command()
def people(
    data: Data = PEOPLE,
    train: Annotated[int, typer.Option(help="Training identities, 10 views each.")] = 2400,
    validation: Annotated[int, typer.Option(help="Validation identities, 10 views each.")] = 100,
    test: Annotated[int, typer.Option(help="Test identities, 12 views each.")] = 100,
    processes: Annotated[int, typer.Option(help="Renderers at work.")] = 2,
    ship: Annotated[
        Path | None, typer.Option(help="Also write the packaged test set here.", show_default=False)
    ] = None,
) -> None:
    """Render the photographs of all three splits; identities never meet."""
    from bench.synthetic.dataset.render_dataset import render_photos, ship_test_set

    for split, identities, views in (
        ("train", train, 10),
        ("validation", validation, 10),
        ("test", test, 12),
    ):
        if identities and not (data / split / "photos.npy").exists():
            with reporting(f"rendering {split}") as report:
                render_photos(
                    split,  # type: ignore[arg-type]
                    identities,
                    views,
                    data / split,
                    processes=processes,
                    progress=lambda done, of, report=report: report(done, of, "people"),  # type: ignore[misc]
                )
        print(data / split)
    if ship is not None:
        ship_test_set(ship)
        print(ship)


@app.command()
def clip(
    data: Data = PEOPLE,
    out: Out = WEIGHTS,
    checkpoints: Checkpoints = CHECKPOINTS,
    start: Start = None,
    steps: Steps = None,
    batch: Batch = None,
    device: On = Device.auto,
) -> None:
    """Learn the tokenizer and the tiny CLIP: text encoder of the backbone, image encoder of the adapters."""
    from methods.recipes.tiny_sd import make_clip
    from methods.tiny_sd.clip import FURTHER, SCHEDULE

    with reporting("clip") as report:
        workspace = TrainingPaths(data, checkpoints, out, start).workshop(device.value, report)
        print(make_clip(workspace, shortened(FURTHER if start else SCHEDULE, steps, batch)))


@app.command()
def autoencoder(
    data: Data = PEOPLE,
    checkpoints: Checkpoints = CHECKPOINTS,
    start: Start = None,
    steps: Steps = None,
    batch: Batch = None,
    device: On = Device.auto,
) -> None:
    """Train the backbone's autoencoder, then its decoder alone for longer."""
    from methods.recipes.tiny_sd import make_autoencoder
    from methods.tiny_sd.autoencoder import DECODER_SCHEDULE, FURTHER, SCHEDULE

    with reporting("autoencoder") as report:
        workspace = TrainingPaths(data, checkpoints, checkpoints, start).workshop(device.value, report)
        first = FURTHER if start else SCHEDULE
        print(
            make_autoencoder(
                workspace, *(shortened(part, steps, batch) for part in (first, DECODER_SCHEDULE))
            )
        )


@app.command()
def backbone(
    data: Data = PEOPLE,
    out: Out = WEIGHTS,
    checkpoints: Checkpoints = CHECKPOINTS,
    start: Start = None,
    steps: Steps = None,
    batch: Batch = None,
    device: On = Device.auto,
) -> None:
    """Train the U-Net between CLIP and autoencoder, and write a Stable Diffusion folder.

    On several GPUs as `loo`.
    """
    from methods.recipes.tiny_sd import make_backbone
    from methods.tiny_sd.unet import FURTHER, SCHEDULE

    with reporting("backbone") as report:
        workspace = TrainingPaths(data, checkpoints, out, start).workshop(device.value, report)
        print(make_backbone(workspace, shortened(FURTHER if start else SCHEDULE, steps, batch)))


@app.command(name="ip-adapter")
def ip_adapter(
    data: Data = PEOPLE,
    out: Out = WEIGHTS,
    checkpoints: Checkpoints = CHECKPOINTS,
    base: Base = "embedded",
    encoder: Encoder = None,
    name: Annotated[
        str, typer.Option(help="Name of the weights.", show_default="ip-adapter and unusual settings")
    ] = "",
    start: Annotated[
        Path | None, typer.Option(help="Weights of the same layout to go on from.", show_default=False)
    ] = None,
    layout: Annotated[
        str, typer.Option(help="`plus`, patches through a Resampler, or `base`, one embedding to 4 tokens.")
    ] = "plus",
    condition: Annotated[
        str,
        typer.Option(
            help="What conditions: `self`, the target as published, which is leave-one-out's control, "
            "or `other`, another photograph."
        ),
    ] = "self",
    tokens: Annotated[int, typer.Option(help="Tokens per photograph; of the layout `plus`.")] = 8,
    timestep_power: Lean = 1.0,
    summary_loss_weight: Annotated[
        float,
        typer.Option(help="Weight of a loss by which the tokens tell what the encoder sums up; of `plus`."),
    ] = 0.0,
    dataset: FromDataset = None,
    root: Root = None,
    people: People = None,
    side: Side = None,
    steps: Steps = None,
    batch: Batch = None,
    learning_rate: Rate = None,
    accumulate: Pieces = 1,
    precision: Precision = "auto",
    device: On = Device.auto,
) -> None:
    """Train an IP-Adapter; the file has the published layout. On several GPUs as `loo`."""
    from methods.encoders.clip_vision import EMBEDDED_CLIP
    from methods.ip_adapter.training import SCHEDULE, IPAdapterTraining
    from methods.recipes.adapters import make_ip_adapter

    training = IPAdapterTraining(
        layout,  # type: ignore[arg-type]
        condition,  # type: ignore[arg-type]
        tokens=tokens,
        timestep_power=timestep_power,
        summary_loss_weight=summary_loss_weight,
        encoder=encoder or EMBEDDED_CLIP,
        start=start,
    )
    with reporting("ip-adapter") as report:
        dataset_options, place = (
            DatasetOptions(dataset, root, people, side),
            TrainingPaths(data, checkpoints, out),
        )
        workspace, source = dataset_options.workshop(place, base, device.value, report, unseen="validation")
        schedule = parted(shortened(SCHEDULE, steps, batch, learning_rate), accumulate, precision)
        print(make_ip_adapter(workspace, schedule, training, base=base, name=name, source=source))


@app.command()
def loo(
    aggregator: Annotated[
        str, typer.Option(help="How photographs are joined; see `bench list aggregators`.")
    ],
    data: Data = PEOPLE,
    out: Out = WEIGHTS,
    checkpoints: Checkpoints = CHECKPOINTS,
    base: Base = "embedded",
    encoder: Encoder = None,
    name: Annotated[
        str, typer.Option(help="Name of the weights.", show_default="loo-AGGREGATOR and unusual settings")
    ] = "",
    start: Annotated[
        Path | None,
        typer.Option(help="Weights of another aggregator to go on from.", show_default=False),
    ] = None,
    noising: Annotated[
        str, typer.Option(help="What is noised: `held-out`, the dropped photograph, or `aggregate`.")
    ] = "held-out",
    leave_out: Annotated[
        bool, typer.Option(help="Leave the target out of its set; without it is the control.")
    ] = True,
    captions: Annotated[str, typer.Option(help="Captions are `given` or taken for `blank`.")] = "given",
    smallest_set: Annotated[int, typer.Option(help="Photographs in the smallest set.")] = 1,
    largest_set: Annotated[int, typer.Option(help="Photographs in the largest set.")] = 6,
    timestep_power: Lean = 1.0,
    tokens: Annotated[int, typer.Option(help="Tokens per photograph.")] = 8,
    shortcut: Annotated[
        bool, typer.Option(help="The class token also goes straight into the tokens.")
    ] = False,
    dataset: FromDataset = None,
    root: Root = None,
    people: People = None,
    side: Side = None,
    validate_every: Annotated[int, typer.Option(help="Steps between two losses on unseen people.")] = 250,
    steps: Steps = None,
    batch: Batch = None,
    learning_rate: Rate = None,
    accumulate: Pieces = 1,
    precision: Precision = "auto",
    device: On = Device.auto,
) -> None:
    """Train a leave-one-out aggregator over many people; on several GPUs by `accelerate launch -m bench.cli`.

    The loss curve, with the loss on unseen people, stands beside the checkpoint as CSV.
    """
    from methods.encoders.clip_vision import EMBEDDED_CLIP
    from methods.leave_one_out.objective import Objective
    from methods.leave_one_out.training import SCHEDULE, LeaveOneOutTraining
    from methods.recipes.adapters import make_leave_one_out

    objective = Objective(noising, leave_out, captions, smallest_set, largest_set, timestep_power)  # type: ignore[arg-type]
    training = LeaveOneOutTraining(
        aggregator,
        objective,
        tokens=tokens,
        shortcut=shortcut,
        encoder=encoder or EMBEDDED_CLIP,
        start=start,
        validate_every=validate_every,
    )
    with reporting(f"loo-{aggregator}") as report:
        dataset_options, place = (
            DatasetOptions(dataset, root, people, side),
            TrainingPaths(data, checkpoints, out),
        )
        workspace, source = dataset_options.workshop(place, base, device.value, report, unseen="validation")
        schedule = shortened(SCHEDULE, steps, batch, learning_rate)
        schedule = parted(schedule, accumulate, precision)
        print(make_leave_one_out(workspace, schedule, training, base=base, name=name, source=source))


@app.command()
def encoders(
    data: Data = PEOPLE,
    out: Out = ENCODERS,
    checkpoints: Checkpoints = CHECKPOINTS,
    device: On = Device.auto,
) -> None:
    """Train the evaluation networks: the in-domain face network and the attribute classifier."""
    from metrics.training.train_encoders import train_encoders

    place = TrainingPaths(data, checkpoints, out)
    with reporting("encoders") as report:
        train_encoders(
            place.photos("train"),
            place.photos("test"),
            out,
            checkpoints=checkpoints,
            device=resolve(device.value),
            progress=report,
        )
    print(out / "README.md")
