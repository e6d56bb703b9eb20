"""`bench train`: train every part of the built-in synthetic benchmark; each command can be resumed."""

from pathlib import Path
from typing import Annotated

import typer

from bench.cli.option_groups import grouped_options
from bench.torchvision_compat import ensure_torchvision_imports
from bench.training import recipes
from bench.training.options import (
    AdapterOptions,
    BackboneFamily,
    DatasetOptions,
    Device,
    DeviceOption,
    IPAdapterOptions,
    LeaveOneOutOptions,
    ScheduleOptions,
    TinySdOptions,
)
from bench.training.workspace import CHECKPOINTS, ENCODERS, PEOPLE, TrainingPaths

app = typer.Typer(
    help="""Train the built-in synthetic benchmark: photographs, backbone, adapters, evaluation networks.

In this order: people, clip, autoencoder, backbone, ip-adapter, loo (per aggregator), encoders; before
`backbone --family flow`, decoder. Every command resumes from its last checkpoint, and uses a GPU if there is
one.
""",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

Data = Annotated[Path, typer.Option(help="Folder of the rendered photographs.")]
Checkpoints = Annotated[Path, typer.Option(help="Folder of checkpoints and caches.")]


@app.callback()
def prepare() -> None:
    """Run before every command."""
    ensure_torchvision_imports()


@app.command()
def people(
    data: Data = PEOPLE,
    train: Annotated[int, typer.Option(help="Training identities, 10 views each.")] = 2400,
    validation: Annotated[int, typer.Option(help="Validation identities, 10 views each.")] = 100,
    test: Annotated[int, typer.Option(help="Test identities, 12 views each.")] = 100,
    processes: Annotated[int, typer.Option(help="Number of rendering processes.")] = 2,
    ship: Annotated[
        Path | None, typer.Option(help="Also write the packaged test set here.", show_default=False)
    ] = None,
) -> None:
    """Render the photographs of all three splits; no identity is in two of them."""
    identities = {"train": train, "validation": validation, "test": test}
    for folder in recipes.render_people(data, identities, processes=processes):
        print(folder)
    if ship is not None:
        from bench.synthetic.dataset.render_dataset import ship_test_set

        ship_test_set(ship)
        print(ship)


@app.command()
@grouped_options
def clip(paths: TrainingPaths, options: TinySdOptions) -> None:
    """Train the tokenizer and the tiny CLIP: text encoder of the backbone, image encoder of the adapters."""
    print(recipes.train_clip(paths, options))


@app.command()
@grouped_options
def autoencoder(options: TinySdOptions, data: Data = PEOPLE, checkpoints: Checkpoints = CHECKPOINTS) -> None:
    """Train the backbone's autoencoder, then its decoder alone for longer."""
    print(recipes.train_autoencoder(TrainingPaths(data, checkpoints, checkpoints), options))


@app.command()
@grouped_options
def backbone(
    paths: TrainingPaths,
    options: TinySdOptions,
    family: Annotated[
        BackboneFamily,
        typer.Option(help="`unet`, Stable Diffusion's, or `flow`, Stable Diffusion 3's transformer."),
    ] = BackboneFamily.unet,
) -> None:
    """Train the U-Net on CLIP and autoencoder, and write a Stable Diffusion folder.

    With `--family flow`, train a transformer by rectified flow on the autoencoder and text encoder of the
    U-Net's folder, and write a Stable Diffusion 3 folder. If `decoder` was trained in --checkpoints, the
    folder has that decoder. On several GPUs as `loo`.
    """
    print(recipes.train_backbone(paths, options, family))


@app.command()
@grouped_options
def decoder(paths: TrainingPaths, options: TinySdOptions) -> None:
    """Train the autoencoder's decoder further, for sharper images; then run `backbone --family flow`.

    The latents stay as they are. The U-Net's folder, `embedded` in --out, is read, not changed.
    """
    print(recipes.train_decoder(paths, options))


@app.command(name="ip-adapter")
@grouped_options
def ip_adapter(
    settings: IPAdapterOptions,
    adapter: AdapterOptions,
    paths: TrainingPaths,
    dataset: DatasetOptions,
    schedule: ScheduleOptions,
    device: DeviceOption = Device.auto,
) -> None:
    """Train an IP-Adapter; the file has the published layout. On several GPUs as `loo`."""
    print(recipes.train_ip_adapter(settings, adapter, paths, dataset, schedule, device=device.value))


@app.command()
@grouped_options
def loo(
    aggregator: Annotated[
        str, typer.Option(help="How photographs are aggregated; see `bench list aggregators`.")
    ],
    settings: LeaveOneOutOptions,
    adapter: AdapterOptions,
    paths: TrainingPaths,
    dataset: DatasetOptions,
    schedule: ScheduleOptions,
    validate_every: Annotated[
        int, typer.Option(help="Steps between two measurements of the loss on unseen people.")
    ] = 250,
    device: DeviceOption = Device.auto,
) -> None:
    """Train a leave-one-out aggregator on many people; on several GPUs by `accelerate launch -m bench.cli`.

    The loss curve, with the loss on unseen people, is written as CSV next to the checkpoint.
    """
    file = recipes.train_loo(
        aggregator,
        settings,
        adapter,
        paths,
        dataset,
        schedule,
        validate_every=validate_every,
        device=device.value,
    )
    print(file)


@app.command()
def encoders(
    data: Data = PEOPLE,
    out: Annotated[Path, typer.Option(help="Output folder of the weights.")] = ENCODERS,
    checkpoints: Checkpoints = CHECKPOINTS,
    device: DeviceOption = Device.auto,
) -> None:
    """Train the evaluation networks: the in-domain face network and the attribute classifier."""
    print(recipes.train_encoders(TrainingPaths(data, checkpoints, out), device=device.value))
