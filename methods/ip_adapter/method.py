"""IP-Adapter (Ye et al. 2023): image tokens through decoupled cross-attention; nothing is fitted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

import torch
from PIL.Image import Image

from methods.backbone.backbone import Backbone
from methods.backbone.images import central_square
from methods.encoders.clip_vision import (
    ImageEncoder,
    encoder_files,
    encoder_folder,
    encoder_names,
    open_encoder,
)
from methods.encoders.insightface_faces import (
    FaceEncoder,
    face_files,
    face_folder,
    open_faces,
    photo_without_face,
)
from methods.errors import MethodError
from methods.interface import MethodBase
from methods.ip_adapter.block_scales import BlockScales, check_block_scales
from methods.ip_adapter.checkpoint import PublishedAdapter, read_adapter
from methods.ip_adapter.inference import ImageFeatures, PersonalisedImages, adapted
from methods.setting_checks import DetectorSize, Scale, check_settings
from methods.shipped import adapter_path
from methods.subject import Subject
from methods.trained_on import training_data_of

__all__ = ["IPAdapter", "adapted", "embed", "read_adapter"]


@dataclass(frozen=True)
class IPAdapter(MethodBase):
    """A frozen backbone that also attends to the photographs' tokens.

    Layouts: base, Plus, Plus-Face and Full-Face for U-Nets, as published by h94/IP-Adapter and as written by
    `bench train ip-adapter`; InstantX/SD3.5-Large-IP-Adapter and XLabs-AI/flux-ip-adapter for their families.
    For FaceID checkpoints use the method ip-adapter-faceid.
    """

    name: ClassVar[str] = "ip-adapter"

    adapter: str = "embedded"
    """Weights in the published layout, `.safetensors` or `.bin`; `embedded` for the built-in ones,
    `embedded-flow` for those of the backbone of this name, `ip-adapter-others-flow` for those trained by
    leave-one-out."""
    encoder: str = "embedded"
    """Folder of the CLIPVisionModelWithProjection that the adapter was trained with; `embedded` for
    the built-in one."""
    scale: Scale | BlockScales = 1.0
    """Weight of the image tokens relative to the text; 1 is diffusers' default. The authors advise 0.5 if the
    prompt matters. Or weights by block, as diffusers nests them, others 0: `{ up = { block_0 = 1.0 } }`."""
    photos: Literal["concat", "mean", "mean-tokens", "first"] = "concat"
    """Attend to the tokens of all photographs, to the tokens of their mean feature, to the mean of their
    tokens, or to the first photograph only."""
    shown: Literal["trained", "whole", "centre", "face"] = "trained"
    """Part of a photograph that the encoder reads. `whole`: all of it, resized to a square without keeping
    the aspect ratio, as the authors advise. `centre`: the central square, as in CLIP's own processor and in
    `bench train`. `trained`: as the file's metadata has it, else `whole`. `face`: the aligned face, as the
    authors crop it for Plus-Face; for Full-Face they also remove the background, which is not done here."""
    faces: str = "buffalo_l"
    """For `shown = "face"`: insightface's model folder, by path or by its name below ~/.insightface/models.
    It only locates the face; its embedding is not used."""
    detector_size: DetectorSize = 640
    """For `shown = "face"`: size in pixels to which photographs are scaled for face detection."""
    other_backbone: bool = False
    """Accept weights that were trained with another backbone."""

    def __post_init__(self) -> None:
        check_settings(self)
        check_block_scales(self.name, self.scale)

    @property
    def adapter_file(self) -> Path:
        """Path of the weights."""
        return adapter_path(self.name, self.adapter)

    @property
    def conditioning_encoders(self) -> frozenset[str]:
        return encoder_names(encoder_folder(self.encoder))

    @property
    def trained_on(self) -> frozenset[str]:
        return training_data_of(self.adapter_file, "training", "data_name")

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
        return photo_without_face(subject, [faces.detect(photo.image) for photo in subject.references])

    def fit(self, subject: Subject, into: Path, *, backbone: Backbone, seed: int) -> None:
        checkpoint = self._open(backbone)
        encoder = open_encoder(encoder_folder(self.encoder), backbone.device)
        features = embed(encoder, self._crops(self._used(subject), checkpoint.shown), checkpoint)
        if self.photos == "mean":
            features = ImageFeatures(features.photos.mean(dim=0, keepdim=True), features.nothing)
        ImageFeatures(features.photos.half(), features.nothing.half()).save(into, subject.phrase)

    def load(self, fitted: Path, *, backbone: Backbone) -> PersonalisedImages:
        features, phrase = ImageFeatures.read(fitted)
        return PersonalisedImages(
            phrase,
            features,
            self._open(backbone),
            backbone,
            self.scale,
            mean_tokens=self.photos == "mean-tokens",
        )

    def _open(self, backbone: Backbone) -> PublishedAdapter:
        checkpoint = read_adapter(self.adapter_file)
        if checkpoint.face_width is not None:
            raise MethodError(f"{checkpoint.path}: a FaceID checkpoint; use the method ip-adapter-faceid")
        checkpoint.check(backbone, allow_other=self.other_backbone)
        attention = backbone.adapter_attention
        if attention.projects_in_every_step and self.photos == "mean-tokens":
            raise MethodError(
                "ip-adapter: photos = 'mean-tokens' is for U-Nets, whose image tokens are computed once; use "
                "'concat' or 'mean' for this backbone"
            )
        check_block_scales(self.name, self.scale, attention.blocks)
        return checkpoint

    def _used(self, subject: Subject) -> Subject:
        count = 1 if self.photos == "first" else len(subject.references)
        return Subject(subject.id, subject.noun, subject.references[:count])

    def _faces(self) -> FaceEncoder:
        return open_faces(face_folder(self.faces), self.detector_size)

    def _crops(self, subject: Subject, trained: str) -> list[Image]:
        if self.shown == "face":
            return [face.picture for face in self._faces().faces(subject)]
        images = [photo.image for photo in subject.references]
        shown = trained if self.shown == "trained" else self.shown
        return [central_square(image) for image in images] if shown == "centre" else images


def embed(encoder: ImageEncoder, images: Sequence[Image], checkpoint: PublishedAdapter) -> ImageFeatures:
    """Encode images in float32 as the checkpoint's layout requires.

    Base layout: one projected embedding per image; the unconditional input is zeros. Other layouts: patch
    tokens of the penultimate layer; the unconditional input is the tokens of an all-zero image, or zeros for
    the time-resampler.
    """
    if checkpoint.layout in ("base", "double-blocks"):
        photos = encoder.embeddings(images)
        features = ImageFeatures(photos, torch.zeros_like(photos[:1]))
    elif checkpoint.layout == "time-resampler":
        photos = encoder.patches(images)
        features = ImageFeatures(photos, torch.zeros_like(photos[:1]))
    else:
        features = ImageFeatures(encoder.patches(images), encoder.nothing())
    if features.photos.shape[-1] != checkpoint.clip_width:
        raise MethodError(
            f"{encoder.folder}: outputs {features.photos.shape[-1]} numbers per token, "
            f"the adapter expects {checkpoint.clip_width}; use the encoder it was trained with"
        )
    return features
