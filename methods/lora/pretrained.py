"""LoRA files trained elsewhere, one for each person: a row of the table without any fitting here."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import ClassVar, Final

import torch
from safetensors.torch import load_file, save_file

from methods.backbone.backbone import Backbone
from methods.compute.loading import LOAD_FAULTS, first_line
from methods.errors import MethodError
from methods.lora.checkpoint import FILE, PHRASE, PersonalisedWeights, load_person, lora_on
from methods.setting_checks import check_settings
from methods.subject import Subject

SUFFIXES: Final = (".safetensors", ".bin")


@dataclass(frozen=True)
class LoraFolder:
    """Published LoRA files: diffusers' layout, old and new, or kohya's.

    A person's file is `<path>/<id>.safetensors`, or the one in `<path>/<id>/`; `.bin` too, read without
    unpickling. A file of which any layer has no place on the backbone is refused.
    """

    name: ClassVar[str] = "lora-folder"

    path: str = ""
    """The folder with one file, or one folder, for each identity, by its id."""
    trigger: str = "sks {noun}"
    """What stands for the person in a prompt; `{noun}` and `{id}` are filled in. A `phrase.txt` in the
    person's folder goes before it: the fits of `dreambooth-lora` have one."""
    scale: float = 1.0
    """Weight of the LoRA when drawing."""

    def __post_init__(self) -> None:
        check_settings(self)
        if not self.path:
            raise MethodError("lora-folder: path is not set; give the folder with one LoRA for each identity")
        if not self.folder.is_dir():
            raise MethodError(f"lora-folder: no folder {self.path}; give the one with the LoRA files")

    @property
    def folder(self) -> Path:
        return Path(self.path).expanduser()

    @property
    def conditioning_encoders(self) -> frozenset[str]:
        return frozenset()

    @property
    def weights(self) -> tuple[Path, ...]:
        files = (path for pattern in ("*", "*/*") for path in self.folder.glob(pattern))
        return tuple(sorted(f for f in files if f.suffix in SUFFIXES or f.name == PHRASE))

    @property
    def needs(self) -> Mapping[str, Path]:
        return {"folder of LoRA files": self.folder}

    def unsupported_reason(self, subject: Subject) -> str | None:
        found = self._files(subject)
        if not found:
            return f"{subject.id}: no LoRA in {self.folder}; wanted {subject.id}.safetensors or {subject.id}/"
        if len(found) > 1:
            names = ", ".join(file.name for file in found)
            return f"{subject.id}: {len(found)} LoRA files in {found[0].parent} ({names}); leave one"
        return None

    def phrase(self, subject: Subject) -> str:
        """What stands for the person in a prompt: `sks man`."""
        beside = self.folder / subject.id / PHRASE
        if beside.is_file():
            return beside.read_text(encoding="utf-8").strip()
        return self.trigger.replace("{noun}", subject.noun).replace("{id}", subject.id)

    def fit(self, subject: Subject, into: Path, *, backbone: Backbone, seed: int) -> None:
        """Copy the person's file, after seeing that the backbone has a place for every layer."""
        if unsupported_reason := self.unsupported_reason(subject):
            raise MethodError(unsupported_reason)
        _take(self._files(subject)[0], into / FILE)
        with backbone.clean(), lora_on(backbone, into / FILE, scale=self.scale):
            pass
        (into / PHRASE).write_text(self.phrase(subject), encoding="utf-8")

    def load(self, fitted: Path, *, backbone: Backbone) -> PersonalisedWeights:
        return load_person(fitted, self.scale, backbone)

    def _files(self, subject: Subject) -> list[Path]:
        own = self.folder / subject.id
        if own.is_dir():
            return sorted(file for file in own.iterdir() if file.suffix in SUFFIXES)
        return [file for suffix in SUFFIXES if (file := self.folder / f"{subject.id}{suffix}").is_file()]


def _take(file: Path, to: Path) -> None:
    """Copy the file; one of the first layout, of the U-Net's processors alone, gets the names it lacks."""
    try:
        if file.suffix == ".safetensors":
            state = load_file(file)
        else:
            state = torch.load(file, weights_only=True, map_location="cpu")
        bare = all(".processor." in name and not name.startswith("unet.") for name in state)
        if file.suffix == ".safetensors" and not bare:
            shutil.copyfile(file, to)
            return
        prefix = "unet." if bare else ""
        save_file({f"{prefix}{name}": value.contiguous() for name, value in state.items()}, to)
    except (*LOAD_FAULTS, EOFError, UnpicklingError) as error:
        raise MethodError(f"{file}: no LoRA that can be read ({first_line(error)})") from error
