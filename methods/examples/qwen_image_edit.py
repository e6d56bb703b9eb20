"""Qwen-Image-Edit-2509 (Qwen team 2025): an editing model with its own networks that reads photographs.

An example of a method from outside the catalogue. It uses nothing of the suite's backbone, so the suite can
have `backbone.path = "none"`, and the file can be copied into a package of its own:

    bench run --suite mine.toml --methods methods.examples.qwen_image_edit:QwenImageEdit
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Final, Literal

from PIL import Image

from methods.backbone.spec import CpuOffload
from methods.errors import MethodError
from methods.interface import MethodBase
from methods.setting_checks import Bounds, check_settings
from methods.subject import Request, Subject

if TYPE_CHECKING:
    from methods.backbone.backbone import Backbone

FILES: Final = (".safetensors", ".json", ".jinja", ".txt")
"""Ends of the names of weights, configs and tokenizers."""
PATCH: Final = 16
"""Pixels of the smallest part of an image: the pipeline would round other sizes down."""


@dataclass(frozen=True)
class QwenImageEdit(MethodBase):
    """Nothing is fitted: the photographs stand before every prompt, as in diffusers' pipeline.

    Guidance and steps are the model card's. In bf16 the networks take 58 GB, with `cpu_offload` 41 GB.
    """

    name: ClassVar[str] = "qwen-image-edit"
    # The pipeline cannot leave out the photographs.
    generates_class_images: ClassVar[bool] = False

    path: str = ""
    """The folder in diffusers' layout, with model_index.json."""
    photos: Annotated[int, Bounds(1, 16)] = 3
    """The first photographs are read, at most this many; the model was trained with one to three."""
    phrase: str = "this {noun}"
    """The phrase for the person in prompts; `{noun}` is replaced."""
    resolution: Annotated[int, Bounds(PATCH, 4096)] = 1024
    """Side of an image in pixels, whatever the backbone's is."""
    steps: Annotated[int, Bounds(2, 1000)] = 40
    """At least 2: the published scheduler divides by zero at one step."""
    true_cfg_scale: Annotated[float, Bounds(1, 1000)] = 4.0
    """Scale of classifier-free guidance, which takes two passes; 1 is none."""
    negative_prompt: str = " "
    dtype: Literal["bf16", "fp32"] = "bf16"
    # Not "auto": a setting is part of every image's fingerprint, a device found at run time is not.
    device: Literal["cuda", "cpu"] = "cuda"
    cpu_offload: CpuOffload = False
    """`true` or `model`: each network is on the GPU only while it runs; `sequential`: each layer, slowest."""

    def __post_init__(self) -> None:
        check_settings(self)
        if not (self.folder / "model_index.json").is_file():
            raise MethodError(
                f"{self.name}: no model_index.json in path = {self.path!r}; give the folder of "
                "Qwen-Image-Edit-2509 in diffusers' layout"
            )
        if self.resolution % PATCH:
            raise MethodError(f"{self.name}: resolution {self.resolution}; expected a multiple of {PATCH}")

    @property
    def folder(self) -> Path:
        return Path(self.path).expanduser()

    @property
    def conditioning_encoders(self) -> frozenset[str]:
        return frozenset({"qwen2.5-vl"})

    @property
    def weights(self) -> tuple[Path, ...]:
        """All files that an image depends on: without a backbone, nothing else identifies the model."""
        found = [*self.folder.glob("*"), *self.folder.glob("*/*")]
        return tuple(sorted(path for path in found if path.suffix in FILES and path.is_file()))

    @property
    def required_files(self) -> Mapping[str, Path]:
        return {"model": self.folder}

    def wording(self, subject: Subject) -> None:
        """None: the backbone's text encoders, whose lengths a run checks, read none of the prompts."""

    def fit(self, subject: Subject, into: Path, *, backbone: Backbone | None, seed: int) -> None:
        for index, photo in enumerate(subject.references[: self.photos]):
            photo.image.convert("RGB").save(into / f"{index:04d}.png")
        (into / "phrase.txt").write_text(self.phrase.replace("{noun}", subject.noun), encoding="utf-8")

    def load(self, fitted: Path, *, backbone: Backbone | None) -> EditedPhotographs:
        """Load the networks, too: here their loading is not part of any image's time."""
        pipe = _pipeline(self.folder, self.dtype, self.device, self.cpu_offload)
        photographs = [Image.open(path).convert("RGB") for path in sorted(fitted.glob("*.png"))]
        phrase = (fitted / "phrase.txt").read_text(encoding="utf-8")
        return EditedPhotographs(self, phrase, photographs, pipe)


@dataclass(frozen=True)
class EditedPhotographs:
    """One person's photographs and the pipeline that reads them."""

    method: QwenImageEdit
    phrase: str
    photographs: Sequence[Image.Image]
    pipe: Any

    def generate(self, requests: Sequence[Request]) -> list[Image.Image]:
        # The pipeline takes one prompt at a time, so an image depends on its own request alone.
        return [self._image(request) for request in requests]

    def _image(self, request: Request) -> Image.Image:
        import torch

        image: Image.Image = self.pipe(
            image=list(self.photographs),
            prompt=request.prompt(self.phrase),
            negative_prompt=self.method.negative_prompt,
            true_cfg_scale=self.method.true_cfg_scale,
            num_inference_steps=self.method.steps,
            height=self.method.resolution,
            width=self.method.resolution,
            # Made on the CPU, the noise is the same on every device.
            generator=torch.Generator().manual_seed(request.seed),
        ).images[0]
        return image


# One pipeline for all persons of a process.
@lru_cache(maxsize=1)
def _pipeline(folder: Path, dtype: str, device: str, cpu_offload: CpuOffload) -> Any:
    import torch
    from diffusers import QwenImageEditPlusPipeline

    if device == "cuda" and not torch.cuda.is_available():
        raise MethodError("qwen-image-edit: device = 'cuda', but torch finds no GPU; set device = 'cpu'")
    try:
        pipe = QwenImageEditPlusPipeline.from_pretrained(
            folder,
            torch_dtype={"bf16": torch.bfloat16, "fp32": torch.float32}[dtype],
            use_safetensors=True,
            local_files_only=True,
        )
    except (OSError, ValueError, TypeError) as error:
        reason = str(error).partition("\n")[0]
        raise MethodError(f"{folder}: cannot be loaded ({reason}); get Qwen-Image-Edit-2509 again") from error
    pipe.set_progress_bar_config(disable=True)
    if cpu_offload == "sequential" and device == "cuda":
        pipe.enable_group_offload(torch.device(device), offload_type="leaf_level")
    elif cpu_offload and device == "cuda":
        pipe.enable_model_cpu_offload()
    else:
        pipe.to(device)
    return pipe
