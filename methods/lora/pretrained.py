"""LoRA files trained elsewhere, one per person, without any fitting."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Final

from methods.backbone.backbone import Backbone
from methods.errors import MethodError
from methods.interface import MethodBase
from methods.lora.checkpoint import FILE, PHRASE, PersonalisedWeights, load_person, lora_on
from methods.lora.published_file import copy_published
from methods.setting_checks import Scale, check_settings
from methods.subject import Subject

SUFFIXES: Final = (".safetensors", ".bin")


@dataclass(frozen=True)
class LoraFolder(MethodBase):
    """Published LoRA files: diffusers' layout, old and new, or kohya's.

    A person's file is `<path>/<id>.safetensors`, or the only one in `<path>/<id>/`; also `.bin`, read without
    unpickling. A file with a layer that the backbone does not have is refused.
    """

    name: ClassVar[str] = "lora-folder"

    path: str = ""
    """The folder with one file or subfolder per identity, named by its id."""
    trigger: str = "sks {noun}"
    """The phrase for the person in prompts; `{noun}` and `{id}` are replaced. A `phrase.txt` in the person's
    folder overrides it, such as in a fit of `dreambooth-lora`."""
    scale: Scale = 1.0
    """Weight of the LoRA in sampling."""
    merged: bool = False
    """Compute with W + BA instead of adding BA's output: faster with many layers, rounded differently."""

    def __post_init__(self) -> None:
        check_settings(self)
        if not self.path:
            raise MethodError("lora-folder: path is not set; give the folder with one LoRA per identity")
        if not self.folder.is_dir():
            raise MethodError(f"lora-folder: no such folder {self.path}; give the folder with the LoRA files")

    @property
    def folder(self) -> Path:
        return Path(self.path).expanduser()

    @property
    def weights(self) -> tuple[Path, ...]:
        files = (path for pattern in ("*", "*/*") for path in self.folder.glob(pattern))
        return tuple(sorted(f for f in files if f.suffix in SUFFIXES or f.name == PHRASE))

    @property
    def required_files(self) -> Mapping[str, Path]:
        return {"folder of LoRA files": self.folder}

    def unsupported_reason(self, subject: Subject) -> str | None:
        found = self._files(subject)
        if not found:
            return (
                f"{subject.id}: no LoRA in {self.folder}; expected {subject.id}.safetensors or {subject.id}/"
            )
        if len(found) > 1:
            names = ", ".join(file.name for file in found)
            return f"{subject.id}: {len(found)} LoRA files in {found[0].parent} ({names}); leave one"
        return None

    def phrase(self, subject: Subject) -> str:
        """Return the phrase for the person in prompts: `sks man`."""
        file = self.folder / subject.id / PHRASE
        if file.is_file():
            try:
                return file.read_text(encoding="utf-8-sig").strip()
            except UnicodeDecodeError as error:
                raise MethodError(f"{file}: not UTF-8; save it as UTF-8") from error
        return self.trigger.replace("{noun}", subject.noun).replace("{id}", subject.id)

    def fit(self, subject: Subject, into: Path, *, backbone: Backbone, seed: int) -> None:
        """Copy the person's file, and check that the backbone has every layer."""
        if reason := self.unsupported_reason(subject):
            raise MethodError(reason)
        copy_published(self._files(subject)[0], into / FILE)
        with backbone.clean(), lora_on(backbone, into / FILE, scale=self.scale):
            pass
        (into / PHRASE).write_text(self.phrase(subject), encoding="utf-8")

    def load(self, fitted: Path, *, backbone: Backbone) -> PersonalisedWeights:
        return load_person(fitted, self.scale, backbone, merge=self.merged)

    def _files(self, subject: Subject) -> list[Path]:
        subfolder = self.folder / subject.id
        if subfolder.is_dir():
            return sorted(file for file in subfolder.iterdir() if file.suffix in SUFFIXES)
        return [file for suffix in SUFFIXES if (file := self.folder / f"{subject.id}{suffix}").is_file()]
