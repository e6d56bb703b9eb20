"""One function for each `bench train` command."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final

from bench.progress import reporting
from bench.training.card_commands import ip_adapter_command, loo_command
from bench.training.options import (
    AdapterOptions,
    BackboneFamily,
    DatasetOptions,
    IPAdapterOptions,
    LeaveOneOutOptions,
    ScheduleOptions,
    TinySdOptions,
)
from bench.training.workspace import TrainingPaths, adapter_workspace, rendered_workspace, torch_device

VIEWS: Final = {"train": 10, "validation": 10, "test": 12}
"""Photographs of each identity by split."""


def render_people(data: Path, identities: Mapping[str, int], *, processes: int) -> Iterator[Path]:
    """Render the splits that are missing; yields the folder of each split when it is complete."""
    from bench.synthetic.dataset.render_dataset import render_photos

    for split, views in VIEWS.items():
        if identities[split] and not (data / split / "photos.npy").exists():
            with reporting(f"rendering {split}") as report:
                render_photos(
                    split,  # type: ignore[arg-type]
                    identities[split],
                    views,
                    data / split,
                    processes=processes,
                    progress=lambda done, of, report=report: report(done, of, "people"),  # type: ignore[misc]
                )
        yield data / split


def train_clip(paths: TrainingPaths, options: TinySdOptions) -> Path:
    """Train tokenizer and CLIP; returns the folder of the image encoder."""
    from methods.recipes.tiny_sd import make_clip
    from methods.tiny_sd.clip import CONTINUED_SCHEDULE, SCHEDULE

    schedule = options.applied_to(CONTINUED_SCHEDULE if options.start else SCHEDULE)
    with reporting("clip") as report:
        workspace = rendered_workspace(paths, options.device.value, report, start=options.start)
        return make_clip(workspace, schedule, command="bench train clip")


def train_autoencoder(paths: TrainingPaths, options: TinySdOptions) -> Path:
    """Train the autoencoder, then its decoder alone; returns its folder."""
    from methods.recipes.tiny_sd import make_autoencoder
    from methods.tiny_sd.autoencoder import CONTINUED_SCHEDULE, DECODER_SCHEDULE, SCHEDULE

    schedule = options.applied_to(CONTINUED_SCHEDULE if options.start else SCHEDULE)
    decoder = options.applied_to(DECODER_SCHEDULE)
    with reporting("autoencoder") as report:
        workspace = rendered_workspace(paths, options.device.value, report, start=options.start)
        return make_autoencoder(workspace, schedule, decoder, command="bench train autoencoder")


def train_decoder(paths: TrainingPaths, options: TinySdOptions) -> Path:
    """Train the decoder of the U-Net's pipeline further; returns the autoencoder's folder."""
    from methods.recipes.tiny_decoder import make_sharp_decoder
    from methods.tiny_sd.autoencoder import SHARPENING_SCHEDULE

    schedule = options.applied_to(SHARPENING_SCHEDULE)
    with reporting("decoder") as report:
        workspace = rendered_workspace(paths, options.device.value, report, start=options.start)
        return make_sharp_decoder(workspace, schedule, command="bench train decoder")


def train_backbone(paths: TrainingPaths, options: TinySdOptions, family: BackboneFamily) -> Path:
    """Train the denoiser of one family; returns the folder of the complete pipeline."""
    from methods.recipes.tiny_flow import make_flow_backbone
    from methods.recipes.tiny_sd import make_backbone
    from methods.tiny_sd import transformer, unet

    flow = family is BackboneFamily.flow
    make = make_flow_backbone if flow else make_backbone
    recipe = transformer if flow else unet
    schedule = options.applied_to(recipe.CONTINUED_SCHEDULE if options.start else recipe.SCHEDULE)
    command = "bench train backbone" + (" --family flow" if flow else "")
    with reporting("backbone") as report:
        workspace = rendered_workspace(paths, options.device.value, report, start=options.start)
        return make(workspace, schedule, command=command)


def train_ip_adapter(
    settings: IPAdapterOptions,
    adapter: AdapterOptions,
    paths: TrainingPaths,
    dataset: DatasetOptions,
    changes: ScheduleOptions,
    *,
    device: str,
) -> Path:
    """Train an IP-Adapter; returns the weight file."""
    from methods.encoders.clip_vision import EMBEDDED_CLIP
    from methods.ip_adapter.training import SCHEDULE, IPAdapterTraining
    from methods.recipes.adapters import default_layout, make_adapter

    settings = replace(settings, layout=settings.layout or default_layout(adapter.base))
    training = IPAdapterTraining(
        settings.layout,  # type: ignore[arg-type]
        settings.condition,  # type: ignore[arg-type]
        tokens=settings.tokens,
        hidden=settings.hidden,
        timestep_power=settings.timestep_power,
        summary_loss_weight=settings.summary_loss_weight,
        encoder=adapter.encoder or EMBEDDED_CLIP,
        start=adapter.start,
    )
    schedule = changes.applied_to(SCHEDULE)
    command = ip_adapter_command(settings, adapter, dataset)
    with reporting("ip-adapter") as report:
        workspace, source = adapter_workspace(paths, dataset, adapter.base, device, report)
        return make_adapter(
            workspace,
            schedule,
            training,
            base=adapter.base,
            dtype=adapter.dtype.value,
            command=command,
            name=adapter.name,
            source=source,
        )


def train_loo(
    aggregator: str,
    settings: LeaveOneOutOptions,
    adapter: AdapterOptions,
    paths: TrainingPaths,
    dataset: DatasetOptions,
    changes: ScheduleOptions,
    *,
    validate_every: int,
    device: str,
) -> Path:
    """Train a leave-one-out aggregator; returns the weight file."""
    from methods.encoders.clip_vision import EMBEDDED_CLIP
    from methods.leave_one_out.objective import Objective
    from methods.leave_one_out.training import SCHEDULE, LeaveOneOutTraining
    from methods.recipes.adapters import make_adapter

    objective = Objective(
        settings.noising,  # type: ignore[arg-type]
        settings.leave_out,
        settings.captions,  # type: ignore[arg-type]
        settings.smallest_set,
        settings.largest_set,
        settings.timestep_power,
    )
    training = LeaveOneOutTraining(
        aggregator,
        objective,
        tokens=settings.tokens,
        hidden=settings.hidden,
        depth=settings.depth,
        shortcut=settings.shortcut,
        encoder=adapter.encoder or EMBEDDED_CLIP,
        start=adapter.start,
        validate_every=validate_every,
    )
    schedule = changes.applied_to(SCHEDULE)
    command = loo_command(aggregator, settings, schedule, SCHEDULE, adapter, dataset)
    with reporting(f"loo-{aggregator}") as report:
        workspace, source = adapter_workspace(paths, dataset, adapter.base, device, report)
        return make_adapter(
            workspace,
            schedule,
            training,
            base=adapter.base,
            dtype=adapter.dtype.value,
            command=command,
            name=adapter.name,
            source=source,
        )


def train_encoders(paths: TrainingPaths, *, device: str) -> Path:
    """Train the evaluation networks; returns their model card."""
    from metrics.training import train_encoders as trainer

    with reporting("encoders") as report:
        trainer.train_encoders(
            paths.photos("train"),
            paths.photos("test"),
            paths.out,
            checkpoints=paths.checkpoints,
            device=torch_device(device),
            progress=report,
        )
    return paths.out / "README.md"
