"""Images made elsewhere, by any program or service, as a row of the table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Final

from PIL import Image, UnidentifiedImageError

from methods.errors import MethodError
from methods.interface import MethodBase
from methods.subject import Request, Subject

if TYPE_CHECKING:
    from methods.backbone.backbone import Backbone

IDENTITY: Final = "identity.txt"


@dataclass(frozen=True)
class ImageFolder(MethodBase):
    """Reads `<path>/<identity>/<prompt>.s<sample>.png`; a missing image is a failed one.

    `bench run --methods image-folder --dry-run --cells` prints the manifest: every file with its prompt. The
    images keep their size and can come from any model. Their costs are unknown, and stay blank.
    """

    name: ClassVar[str] = "image-folder"
    generates_class_images: ClassVar[bool] = False
    has_costs: ClassVar[bool] = False

    path: str = ""
    """The folder with one subfolder per identity."""

    def __post_init__(self) -> None:
        if not self.path:
            raise MethodError("image-folder: path is not set; give the folder with the images")
        if not self.folder.is_dir():
            raise MethodError(f"image-folder: no such folder {self.path}; give the folder with the images")

    @property
    def folder(self) -> Path:
        return Path(self.path).expanduser()

    @property
    def weights(self) -> tuple[Path, ...]:
        return tuple(sorted(self.folder.glob("*/*.png")))

    @property
    def required_files(self) -> Mapping[str, Path]:
        return {"folder of images": self.folder}

    def unsupported_reason(self, subject: Subject) -> str | None:
        if not (self.folder / subject.id).is_dir():
            return (
                f"{subject.id}: no folder {self.folder / subject.id}; expected <prompt>.s<sample>.png in it"
            )
        return None

    def wording(self, subject: Subject) -> None:
        return None

    def fit(self, subject: Subject, into: Path, *, backbone: Backbone | None, seed: int) -> None:
        (into / IDENTITY).write_text(subject.id, encoding="utf-8")

    def load(self, fitted: Path, *, backbone: Backbone | None) -> FoundImages:
        return FoundImages(self.folder / (fitted / IDENTITY).read_text(encoding="utf-8"))


@dataclass(frozen=True)
class FoundImages:
    """The images of one identity."""

    folder: Path

    def generate(self, requests: Sequence[Request]) -> list[Image.Image]:
        return [
            self._read(self.folder / f"{request.prompt_id}.s{request.sample}.png") for request in requests
        ]

    def _read(self, path: Path) -> Image.Image:
        if not path.is_file():
            raise MethodError(f"{path}: no such image; make it, or count it as failed")
        try:
            with Image.open(path) as image:
                return image.convert("RGB")
        except (OSError, UnidentifiedImageError, ValueError, Image.DecompressionBombError) as error:
            raise MethodError(f"{path}: cannot be read ({type(error).__name__}); make it again") from error
