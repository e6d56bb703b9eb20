"""IP-Adapter (Ye et al. 2023): photographs as tokens of decoupled cross-attention, without fitting."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

import torch
from PIL.Image import Image

from methods.backbone.backbone import Backbone
from methods.backbone.images import square
from methods.backbone.spec import EMBEDDED
from methods.encoders.clip_vision import (
    ImageEncoder,
    encoder_files,
    encoder_folder,
    ledger_names,
    open_encoder,
)
from methods.encoders.insightface_faces import (
    FaceEncoder,
    face_files,
    face_folder,
    faceless_photo,
    open_faces,
)
from methods.errors import MethodError
from methods.interface import MethodBase
from methods.ip_adapter.checkpoint import PublishedAdapter, read_adapter
from methods.ip_adapter.inference import ImageFeatures, PersonalisedImages, adapted
from methods.setting_checks import check_bounds, check_settings
from methods.shipped import WEIGHTS
from methods.subject import Subject
from methods.trained_on import data_named

__all__ = ["IPAdapter", "adapted", "embed", "read_adapter"]


@dataclass(frozen=True)
class IPAdapter(MethodBase):
    """A frozen backbone that also attends to the photographs' tokens.

    Layouts: base, Plus, Plus-Face, Full-Face, for any backbone, as published by h94/IP-Adapter and as
    `bench train ip-adapter` writes them. FaceID checkpoints have a method of their own.
    """

    name: ClassVar[str] = "ip-adapter"

    adapter: str = "embedded"
    """Weights in the published layout, `.safetensors` or `.bin`; `embedded` for the ones that ship."""
    encoder: str = "embedded"
    """Folder of the CLIPVisionModelWithProjection that the adapter was trained with; or `embedded`."""
    scale: float = 1.0
    """Weight of the image tokens beside the text; diffusers' default. The authors advise 0.5 with prompts."""
    photos: Literal["concat", "mean", "first"] = "concat"
    """All photographs' tokens in one attention, the mean of their embeddings, or the first photograph."""
    shown: Literal["whole", "centre", "face"] = "whole"
    """What the encoder is shown of a photograph: all of it, squeezed to the encoder's square, as the authors
    advise; its middle square, as CLIP's own processor cuts it; or the face, cut out as the authors cut it
    for Plus-Face and Full-Face."""
    faces: str = "buffalo_l"
    """For `shown = "face"`: insightface's model folder, by path or by its name below ~/.insightface/models.
    It only says where the face is; the adapter is told nothing else by it."""
    detector_size: int = 640
    """For `shown = "face"`: photographs are scaled to this before insightface looks for faces."""
    other_backbone: bool = False
    """Use weights that name another backbone than the run's."""

    def __post_init__(self) -> None:
        check_settings(self)
        check_bounds(self, {"detector_size": 32})

    @property
    def adapter_file(self) -> Path:
        """Where the weights lie."""
        if self.adapter == EMBEDDED:
            return WEIGHTS / "ip-adapter.safetensors"
        return Path(self.adapter).expanduser()

    @property
    def conditioning_encoders(self) -> frozenset[str]:
        return ledger_names(encoder_folder(self.encoder))

    @property
    def trained_on(self) -> frozenset[str]:
        return data_named(self.adapter_file, "training", "data_name")

    @property
    def required_files(self) -> Mapping[str, Path]:
        own = {"adapter": self.adapter_file, "encoder": encoder_folder(self.encoder)}
        return {**own, "faces": face_folder(self.faces)} if self.shown == "face" else own

    @property
    def weights(self) -> tuple[Path, ...]:
        finder = face_files(face_folder(self.faces)) if self.shown == "face" else ()
        return (self.adapter_file, *encoder_files(encoder_folder(self.encoder)), *finder)

    def unsupported_reason(self, subject: Subject) -> str | None:
        if reason := super().unsupported_reason(subject):
            return reason
        if self.shown != "face":
            return None
        subject, faces = self._used(subject), self._faces()
        return faceless_photo(subject, [faces.look(photo.image) for photo in subject.references])

    def fit(self, subject: Subject, into: Path, *, backbone: Backbone, seed: int) -> None:
        checkpoint = self._open(backbone)
        encoder = open_encoder(encoder_folder(self.encoder), backbone.device)
        seen = embed(encoder, self._pictures(self._used(subject), encoder.size), checkpoint)
        if self.photos == "mean":
            seen = ImageFeatures(seen.photos.mean(dim=0, keepdim=True), seen.nothing)
        ImageFeatures(seen.photos.half(), seen.nothing.half()).save(into, subject.phrase)

    def load(self, fitted: Path, *, backbone: Backbone) -> PersonalisedImages:
        seen, phrase = ImageFeatures.read(fitted)
        return PersonalisedImages(phrase, seen, self._open(backbone), backbone, self.scale)

    def _open(self, backbone: Backbone) -> PublishedAdapter:
        checkpoint = read_adapter(self.adapter_file)
        if checkpoint.face_width is not None:
            raise MethodError(f"{checkpoint.path}: a FaceID checkpoint; use the method ip-adapter-faceid")
        checkpoint.check(backbone, other=self.other_backbone)
        return checkpoint

    def _used(self, subject: Subject) -> Subject:
        count = 1 if self.photos == "first" else len(subject.references)
        return Subject(subject.id, subject.noun, subject.references[:count])

    def _faces(self) -> FaceEncoder:
        return open_faces(face_folder(self.faces), self.detector_size)

    def _pictures(self, subject: Subject, size: int) -> list[Image]:
        if self.shown == "face":
            return [face.picture for face in self._faces().faces(subject)]
        images = [photo.image for photo in subject.references]
        return [square(image, size) for image in images] if self.shown == "centre" else images


def embed(encoder: ImageEncoder, images: Sequence[Image], checkpoint: PublishedAdapter) -> ImageFeatures:
    """What the encoder says of the pictures, in float32, as the checkpoint's layout reads it.

    The base layout reads one projected embedding a picture, and zeros for none; the others read the patch
    tokens of the last layer but one, and for none those of a picture of zeros.
    """
    if checkpoint.layout == "base":
        photos = encoder.embeddings(images)
        seen = ImageFeatures(photos, torch.zeros_like(photos[:1]))
    else:
        seen = ImageFeatures(encoder.patches(images), encoder.nothing())
    if seen.photos.shape[-1] != checkpoint.picture_width:
        raise MethodError(
            f"{encoder.folder}: says {seen.photos.shape[-1]} numbers a token, "
            f"the adapter reads {checkpoint.picture_width}; give the encoder it was trained with"
        )
    return seen
