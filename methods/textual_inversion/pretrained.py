"""Textual-inversion files trained elsewhere, one per person, without any fitting."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Final

from methods.backbone.backbone import Backbone
from methods.errors import MethodError
from methods.interface import MethodBase
from methods.phrase_file import read_phrase, write_phrase
from methods.setting_checks import check_settings
from methods.subject import Subject, Wording
from methods.subject_files import SubjectFiles
from methods.textual_inversion.embeddings import (
    FILES,
    TOKEN,
    phrase_of_known_words,
    read_embeddings,
    save_embeddings,
    tokens_on,
)
from methods.textual_inversion.method import PersonalisedEmbeddings
from methods.textual_inversion.published_file import PICKLED, SAFETENSORS, embeddings_in, read_published

PLACEHOLDER: Final = "<person>"
"""Name of the embeddings in the fit's files."""


@dataclass(frozen=True)
class TextualInversionFolder(MethodBase):
    """Published textual-inversion files: diffusers', A1111's or SDXL's layout.

    A person's file is `<path>/<id>.safetensors`, or the only one in `<path>/<id>/`; also `.pt`, `.bin` and
    `.pti`, read without unpickling. For SDXL, diffusers' two files in `<path>/<id>/` are one fit.
    """

    name: ClassVar[str] = "textual-inversion-folder"

    path: str = ""
    """The folder with one file or subfolder per identity, named by its id."""
    trigger: str = TOKEN
    """The phrase for the person in prompts, such as `{token} {noun}`; `{token}` stands for the embeddings."""
    pooled_at_end: bool = False
    """SDXL: take the pooled feature at the end of the prompt, as the setting of `textual-inversion`."""

    def __post_init__(self) -> None:
        check_settings(self)
        self.files.check()
        if TOKEN not in self.trigger:
            raise MethodError(f"{self.name}: trigger is {self.trigger!r}; expected {TOKEN} in it")

    @property
    def files(self) -> SubjectFiles:
        """The files by person."""
        return SubjectFiles(self.name, self.path, "textual inversion", (*SAFETENSORS, *PICKLED))

    @property
    def weights(self) -> tuple[Path, ...]:
        return self.files.all_files()

    @property
    def required_files(self) -> Mapping[str, Path]:
        return {"folder of textual inversions": self.files.folder}

    def unsupported_reason(self, subject: Subject) -> str | None:
        if [file.name for file in self.files.of(subject)] == list(FILES[:2]):
            return None
        return self.files.missing_reason(subject) or self.files.ambiguous_reason(subject)

    def wording(self, subject: Subject) -> Wording | None:
        if self.unsupported_reason(subject):
            return None
        vectors = len(embeddings_in(self.files.of(subject)[0])[0])
        return Wording(self._phrase(subject).replace(TOKEN, phrase_of_known_words(vectors)))

    def fit(self, subject: Subject, into: Path, *, backbone: Backbone, seed: int) -> None:
        """Copy the person's embeddings, and check that they belong to this backbone's text encoders."""
        if reason := self.unsupported_reason(subject):
            raise MethodError(reason)
        embeddings = read_published(self.files.of(subject), backbone)
        with backbone.clean(), tokens_on(backbone, embeddings):
            pass
        save_embeddings(PLACEHOLDER, embeddings, into)
        write_phrase(into, self._phrase(subject))

    def load(self, fitted: Path, *, backbone: Backbone) -> PersonalisedEmbeddings:
        embeddings = [rows.to(backbone.device) for rows in read_embeddings(fitted, backbone)]
        return PersonalisedEmbeddings(embeddings, backbone, self.pooled_at_end, read_phrase(fitted))

    def _phrase(self, subject: Subject) -> str:
        return self.trigger.replace("{noun}", subject.noun)
