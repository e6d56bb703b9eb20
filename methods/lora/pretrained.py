"""LoRA files trained elsewhere, one per person, without any fitting."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Final

from methods.backbone.backbone import Backbone
from methods.errors import MethodError
from methods.interface import MethodBase
from methods.lora.checkpoint import FILE, PersonalisedWeights, load_person, lora_on
from methods.lora.published_file import copy_published
from methods.phrase_file import PHRASE, write_phrase
from methods.setting_checks import Scale, check_settings
from methods.subject import Subject, Wording
from methods.subject_files import SubjectFiles

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
        self.files.check()

    @property
    def files(self) -> SubjectFiles:
        """The LoRA files by person."""
        return SubjectFiles(self.name, self.path, "LoRA", SUFFIXES)

    @property
    def weights(self) -> tuple[Path, ...]:
        return self.files.all_files(PHRASE)

    @property
    def required_files(self) -> Mapping[str, Path]:
        return {"folder of LoRA files": self.files.folder}

    def unsupported_reason(self, subject: Subject) -> str | None:
        return self.files.missing_reason(subject) or self.files.ambiguous_reason(subject)

    def phrase(self, subject: Subject) -> str:
        """Return the phrase for the person in prompts: `sks man`."""
        file = self.files.folder / subject.id / PHRASE
        if file.is_file():
            try:
                return file.read_text(encoding="utf-8-sig").strip()
            except UnicodeDecodeError as error:
                raise MethodError(f"{file}: not UTF-8; save it as UTF-8") from error
        return self.trigger.replace("{noun}", subject.noun).replace("{id}", subject.id)

    def wording(self, subject: Subject) -> Wording:
        return Wording(self.phrase(subject))

    def fit(self, subject: Subject, into: Path, *, backbone: Backbone, seed: int) -> None:
        """Copy the person's file, and check that the backbone has every layer."""
        if reason := self.unsupported_reason(subject):
            raise MethodError(reason)
        copy_published(self.files.of(subject)[0], into / FILE)
        with backbone.clean(), lora_on(backbone, into / FILE, scale=self.scale):
            pass
        write_phrase(into, self.phrase(subject))

    def load(self, fitted: Path, *, backbone: Backbone) -> PersonalisedWeights:
        return load_person(fitted, self.scale, backbone, merge=self.merged)
