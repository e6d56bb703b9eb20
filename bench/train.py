"""`bench train`: makes every part of the embedded world from seeds; each command can be resumed."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from bench.workshop import ENCODERS, ROOT, WEIGHTS, Place, reporting, resolve, shortened

app = typer.Typer(
    help="""Make the embedded world: photographs, backbone, adapters, evaluation networks.

In order: people, clip, autoencoder, backbone, ip-adapter, loo (per aggregator), encoders. Every command
takes up again where it was stopped, and uses a GPU where there is one.
""",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


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
    from bench.people.dataset import render_photos, ship_test_set

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
    steps: Steps = None,
    batch: Batch = None,
    device: On = Device.auto,
) -> None:
    """Learn the tokenizer and the tiny CLIP: text encoder of the backbone, image encoder of the adapters."""
    from methods.embedded.clip import SCHEDULE
    from methods.embedded.recipe import make_clip

    with reporting("clip") as report:
        shop = Place(data, checkpoints, out).workshop(device.value, report)
        print(make_clip(shop, shortened(SCHEDULE, steps, batch)))


@app.command()
def autoencoder(
    data: Data = PEOPLE,
    checkpoints: Checkpoints = CHECKPOINTS,
    steps: Steps = None,
    batch: Batch = None,
    device: On = Device.auto,
) -> None:
    """Train the backbone's autoencoder, then its decoder alone for longer."""
    from methods.embedded.autoencoder import DECODER_SCHEDULE, SCHEDULE
    from methods.embedded.recipe import make_autoencoder

    with reporting("autoencoder") as report:
        shop = Place(data, checkpoints, checkpoints).workshop(device.value, report)
        schedules = (shortened(SCHEDULE, steps, batch), shortened(DECODER_SCHEDULE, steps, batch))
        print(make_autoencoder(shop, *schedules))


@app.command()
def backbone(
    data: Data = PEOPLE,
    out: Out = WEIGHTS,
    checkpoints: Checkpoints = CHECKPOINTS,
    steps: Steps = None,
    batch: Batch = None,
    device: On = Device.auto,
) -> None:
    """Train the U-Net between CLIP and autoencoder, and write a Stable Diffusion folder."""
    from methods.embedded.diffusion import SCHEDULE
    from methods.embedded.recipe import make_backbone

    with reporting("backbone") as report:
        shop = Place(data, checkpoints, out).workshop(device.value, report)
        print(make_backbone(shop, shortened(SCHEDULE, steps, batch)))


@app.command(name="ip-adapter")
def ip_adapter(
    data: Data = PEOPLE,
    out: Out = WEIGHTS,
    checkpoints: Checkpoints = CHECKPOINTS,
    base: Annotated[str, typer.Option(help="The backbone: `embedded`, a folder, or a hub id.")] = "embedded",
    condition: Annotated[
        str,
        typer.Option(
            help="What conditions: `self`, the target as published, or `other`, another photograph."
        ),
    ] = "self",
    steps: Steps = None,
    batch: Batch = None,
    device: On = Device.auto,
) -> None:
    """Train an IP-Adapter Plus; the file has the published layout."""
    from methods.adapter_recipe import make_ip_adapter
    from methods.ip_adapter_training import SCHEDULE

    with reporting("ip-adapter") as report:
        shop = Place(data, checkpoints, out).workshop(device.value, report)
        print(make_ip_adapter(shop, shortened(SCHEDULE, steps, batch), base=base, condition=condition))


@app.command()
def loo(
    aggregator: Annotated[
        str, typer.Option(help="How photographs are joined; see `bench list aggregators`.")
    ],
    data: Data = PEOPLE,
    out: Out = WEIGHTS,
    checkpoints: Checkpoints = CHECKPOINTS,
    base: Annotated[str, typer.Option(help="The backbone: `embedded`, a folder, or a hub id.")] = "embedded",
    noising: Annotated[str, typer.Option(help="What is noised: `held-out` or `aggregate`.")] = "held-out",
    steps: Steps = None,
    batch: Batch = None,
    device: On = Device.auto,
) -> None:
    """Train a leave-one-out aggregator over many people."""
    from methods.adapter_recipe import make_leave_one_out
    from methods.leave_one_out.training import SCHEDULE

    with reporting(f"loo-{aggregator}") as report:
        shop = Place(data, checkpoints, out).workshop(device.value, report)
        schedule = shortened(SCHEDULE, steps, batch)
        print(make_leave_one_out(shop, schedule, aggregator, base=base, noising=noising))


@app.command()
def encoders(
    data: Data = PEOPLE,
    out: Out = ENCODERS,
    checkpoints: Checkpoints = CHECKPOINTS,
    device: On = Device.auto,
) -> None:
    """Train the evaluation networks: the in-domain face network and the attribute classifier."""
    from metrics.training.encoders import train_encoders

    place = Place(data, checkpoints, out)
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
