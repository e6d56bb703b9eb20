"""Groups of options of the `bench train` commands."""

from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from methods.backbone.spec import EMBEDDED
from methods.errors import MethodError

if TYPE_CHECKING:
    from methods.pretraining.loop import Schedule

PRECISIONS: Final = ("auto", "fp32", "bf16", "fp16")
"""As in methods.compute.precision, whose import needs torch."""


class Device(StrEnum):
    """Where the networks are trained."""

    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"


class BackboneDtype(StrEnum):
    """Precision of a frozen backbone's weights, as in BackboneSpec."""

    fp32 = "fp32"
    bf16 = "bf16"
    fp16 = "fp16"


class BackboneFamily(StrEnum):
    """The layout and the denoiser of a backbone."""

    unet = "unet"
    """Stable Diffusion 1: a U-Net that predicts the velocity of a variance-preserving schedule."""
    flow = "flow"
    """Stable Diffusion 3: a transformer trained by rectified flow."""


Steps = Annotated[
    int | None, typer.Option(help="Training steps (default: the recipe's).", show_default=False)
]
Batch = Annotated[
    int | None, typer.Option(help="Photographs per step (default: the recipe's).", show_default=False)
]
LearningRate = Annotated[
    float | None, typer.Option(help="Learning rate (default: the recipe's).", show_default=False)
]
DeviceOption = Annotated[Device, typer.Option(help="Where the networks are trained.")]
TimestepPower = Annotated[
    float, typer.Option(help="Noise steps t are sampled with density t^(power - 1); 1 is uniform.")
]


@dataclass(frozen=True)
class ScheduleOptions:
    """Changes of a recipe's schedule."""

    steps: Steps = None
    batch: Batch = None
    learning_rate: LearningRate = None
    accumulate: Annotated[
        int, typer.Option(help="Pieces of a batch that are computed in sequence, to save memory.")
    ] = 1
    gradient_checkpointing: Annotated[
        bool, typer.Option(help="Compute activations again in the backward pass, to save memory.")
    ] = False
    precision: Annotated[
        str, typer.Option(help="Precision of the forward pass: `auto`, `fp32`, `bf16`, `fp16`.")
    ] = "auto"

    def applied_to(self, schedule: "Schedule") -> "Schedule":
        """The schedule with these changes; raises MethodError for values out of range."""
        for name, value in (("steps", self.steps), ("batch", self.batch), ("accumulate", self.accumulate)):
            if value is not None and value < 1:
                raise MethodError(f"--{name} {value}: expected at least 1")
        if self.learning_rate is not None and not self.learning_rate > 0:
            raise MethodError(f"--learning-rate {self.learning_rate}: expected a number above 0")
        if self.precision not in PRECISIONS:
            raise MethodError(f"--precision {self.precision}: expected one of {', '.join(PRECISIONS)}")
        return replace(
            schedule,
            steps=schedule.steps if self.steps is None else self.steps,
            batch=schedule.batch if self.batch is None else self.batch,
            learning_rate=schedule.learning_rate if self.learning_rate is None else self.learning_rate,
            accumulate=self.accumulate,
            gradient_checkpointing=self.gradient_checkpointing,
            precision=self.precision,  # type: ignore[arg-type]  # checked above
        )


@dataclass(frozen=True)
class TinySdOptions:
    """Options of `clip`, `autoencoder`, `decoder` and `backbone`."""

    start: Annotated[
        Path | None,
        typer.Option(
            help="Checkpoint folder of an earlier training to start from (default: random weights; for the "
            "decoder, that of the U-Net's folder).",
            show_default=False,
        ),
    ] = None
    steps: Steps = None
    batch: Batch = None
    learning_rate: LearningRate = None
    device: DeviceOption = Device.auto

    def applied_to(self, schedule: "Schedule") -> "Schedule":
        return ScheduleOptions(self.steps, self.batch, self.learning_rate).applied_to(schedule)


@dataclass(frozen=True)
class DatasetOptions:
    """A dataset of photographs in place of the rendered ones."""

    dataset: Annotated[
        str | None,
        typer.Option(
            help="Train on this dataset (`bench list datasets`) instead of --data; weights are written to a "
            "folder of the dataset.",
            show_default=False,
        ),
    ] = None
    root: Annotated[Path | None, typer.Option(help="Folder of the dataset.", show_default=False)] = None
    people: Annotated[
        int | None, typer.Option(help="Number of people of the dataset (default: all).", show_default=False)
    ] = None
    pictures: Annotated[str, typer.Option(help="CelebA's images: `aligned` or `in-the-wild`.")] = "aligned"
    side: Annotated[
        int | None,
        typer.Option(
            help="Width and height in pixels of the dataset's images.",
            show_default="64 if embedded or embedded-flow, else 512",
        ),
    ] = None


@dataclass(frozen=True)
class AdapterOptions:
    """The frozen networks of an adapter, and its weight files."""

    base: Annotated[
        str,
        typer.Option(help="The backbone: `embedded`, `embedded-flow`, a folder, or owner/name@commit."),
    ] = EMBEDDED
    dtype: Annotated[
        BackboneDtype, typer.Option(help="Precision of the backbone's weights, which are frozen.")
    ] = BackboneDtype.fp32
    encoder: Annotated[
        Path | None, typer.Option(help="Folder of the image encoder.", show_default="the embedded one")
    ] = None
    name: Annotated[
        str, typer.Option(help="Name of the weights.", show_default="the method and changed settings")
    ] = ""
    start: Annotated[
        Path | None,
        typer.Option(
            help="Weights to start from: of the same layout (ip-adapter), or of any aggregator (loo).",
            show_default=False,
        ),
    ] = None


@dataclass(frozen=True)
class IPAdapterOptions:
    """Settings of `ip-adapter`, in the order of the model card."""

    layout: Annotated[
        str | None,
        typer.Option(
            help="`plus`, patches through a Resampler, or `base`, one embedding to 4 tokens; for "
            "Stable Diffusion 3 `time-resampler`, for FLUX.1 `double-blocks`.",
            show_default="plus; time-resampler for embedded-flow",
        ),
    ] = None
    condition: Annotated[
        str,
        typer.Option(
            help="The conditioning photograph: `self`, the target as published (the control for "
            "leave-one-out), or `other`, another one of the person; for `time-resampler` and `double-blocks` "
            "also `others`, leave-one-out with one to six others."
        ),
    ] = "self"
    tokens: Annotated[
        int,
        typer.Option(
            help="Tokens of the Resampler; for `double-blocks` tokens per photograph, 4, or 16 if 4096 wide."
        ),
    ] = 8
    hidden: Annotated[
        int, typer.Option(help="Width of the Resampler, for `plus`; published: 768, SDXL 1280.")
    ] = 128
    timestep_power: TimestepPower = 1.0
    summary_loss_weight: Annotated[
        float,
        typer.Option(help="Weight of a loss that makes tokens predict the encoder's summary; for `plus`."),
    ] = 0.0


@dataclass(frozen=True)
class LeaveOneOutOptions:
    """Settings of `loo`, in the order of the model card."""

    noising: Annotated[
        str, typer.Option(help="What is noised: `held-out`, the left-out photograph, or `aggregate`.")
    ] = "held-out"
    leave_out: Annotated[
        bool, typer.Option(help="Leave the target out of its set; --no-leave-out is the control.")
    ] = True
    captions: Annotated[
        str, typer.Option(help="Captions are used as `given`, or replaced by `blank` ones.")
    ] = "given"
    smallest_set: Annotated[int, typer.Option(help="Photographs in the smallest set.")] = 1
    largest_set: Annotated[int, typer.Option(help="Photographs in the largest set.")] = 6
    timestep_power: TimestepPower = 1.0
    tokens: Annotated[int, typer.Option(help="Tokens per photograph.")] = 8
    hidden: Annotated[int, typer.Option(help="Width of the Resampler, a multiple of 64.")] = 128
    depth: Annotated[int, typer.Option(help="Blocks of the Resampler.")] = 2
    shortcut: Annotated[
        bool, typer.Option(help="Also project the class token directly to the photograph's tokens.")
    ] = False
