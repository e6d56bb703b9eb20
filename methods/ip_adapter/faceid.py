"""IP-Adapter-FaceID: face embeddings as image tokens, with the LoRA of the checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Final, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from methods.backbone.backbone import Backbone
from methods.encoders.clip_vision import encoder_files, encoder_folder, encoder_names, open_encoder
from methods.encoders.insightface_faces import (
    Face,
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
from methods.ip_adapter.inference import ImageFeatures, PersonalisedImages
from methods.ip_adapter.method import embed
from methods.setting_checks import DetectorSize, Scale, check_settings
from methods.subject import Subject
from methods.trained_on import training_data_of

ARCFACE: Final = "arcface"
"""Name of insightface's recognition networks in `conditioning_encoders`."""


@dataclass(frozen=True)
class IPAdapterFaceID(MethodBase):
    """A frozen backbone, a checkpoint of h94/IP-Adapter-FaceID, and insightface's embedding of each face.

    Layouts for SD 1.5 and SDXL: FaceID and Portrait (the embedding only), FaceID-Plus and PlusV2 (also CLIP's
    patch tokens of the face). The tokens of all photographs are concatenated; Portrait was trained with five.
    CLIP reads the aligned face crop in RGB order.
    """

    name: ClassVar[str] = "ip-adapter-faceid"

    adapter: str = ""
    """The checkpoint, `.bin` or `.safetensors`. Required."""
    faces: str = "buffalo_l"
    """insightface's model folder, by path or by its name below ~/.insightface/models."""
    encoder: str = ""
    """Only for Plus and PlusV2: folder of the CLIPVisionModelWithProjection they were trained with, or
    `embedded`."""
    shortcut: bool | None = None
    """True for PlusV2, false for Plus. The two have the same tensors; without this setting the file name must
    contain `faceid-plusv2` or `faceid-plus_`, as published."""
    structure_scale: Scale = 1.0
    """PlusV2: weight of the face structure from CLIP relative to the identity (published as s_scale)."""
    scale: Scale | BlockScales = 1.0
    """Weight of the image tokens relative to the text, or weights by block, as of `ip-adapter`."""
    lora_scale: Scale = 1.0
    """Weight of the checkpoint's LoRA; published: 1. Portrait has none."""
    photos: Literal["concat", "mean", "first"] = "concat"
    """Attend to the tokens of all photographs, to their mean embedding scaled to length 1, or to the first
    photograph only."""
    normed: bool = True
    """Scale embeddings to length 1; false for the checkpoints called `unnorm`."""
    detector_size: DetectorSize = 640
    """Size in pixels to which photographs are scaled for face detection; published: 640."""
    other_backbone: bool = False
    """Accept weights that were trained with another backbone."""

    def __post_init__(self) -> None:
        check_settings(self)
        check_block_scales(self.name, self.scale)
        if not self.adapter:
            raise MethodError(
                "ip-adapter-faceid: no adapter; set `adapter` to a published FaceID checkpoint, "
                "such as ip-adapter-faceid_sd15.bin"
            )
        if self.normed and "unnorm" in self.adapter_file.name:
            raise MethodError(f"{self.adapter_file}: expects unnormalised embeddings; set normed = false")

    @property
    def adapter_file(self) -> Path:
        """Path of the weights."""
        return Path(self.adapter).expanduser()

    @property
    def conditioning_encoders(self) -> frozenset[str]:
        clip = encoder_names(encoder_folder(self.encoder)) if self.encoder else frozenset()
        return frozenset({ARCFACE}) | clip

    @property
    def trained_on(self) -> frozenset[str]:
        return training_data_of(self.adapter_file, "training", "data_name")

    @property
    def required_files(self) -> Mapping[str, Path]:
        own = {"adapter": self.adapter_file, "faces": face_folder(self.faces)}
        return {**own, "encoder": encoder_folder(self.encoder)} if self.encoder else own

    @property
    def weights(self) -> tuple[Path, ...]:
        clip = encoder_files(encoder_folder(self.encoder)) if self.encoder else ()
        return (self.adapter_file, *face_files(face_folder(self.faces)), *clip)

    def unsupported_reason(self, subject: Subject) -> str | None:
        if reason := super().unsupported_reason(subject):
            return reason
        subject, faces = self._used(subject), self._faces()
        return photo_without_face(subject, [faces.detect(photo.image) for photo in subject.references])

    def fit(self, subject: Subject, into: Path, *, backbone: Backbone, seed: int) -> None:
        checkpoint = self._open(backbone)
        faces = self._faces().faces(self._used(subject))
        photos = self._embeddings(faces, checkpoint)
        features = ImageFeatures(photos, torch.zeros_like(photos[:1]))
        if checkpoint.layout == "faceid-plus":
            encoder = open_encoder(encoder_folder(self.encoder), backbone.device)
            clip = embed(encoder, [face.picture for face in faces], checkpoint)
            patches = clip.photos.mean(dim=0, keepdim=True) if self.photos == "mean" else clip.photos
            features = ImageFeatures(photos, features.nothing, patches.half(), clip.nothing.half())
        features.save(into, subject.phrase)

    def load(self, fitted: Path, *, backbone: Backbone) -> PersonalisedImages:
        features, phrase = ImageFeatures.read(fitted)
        checkpoint = self._open(backbone)
        return PersonalisedImages(
            phrase,
            features,
            checkpoint,
            backbone,
            self.scale,
            lora_scale=self.lora_scale,
            shortcut=checkpoint.layout == "faceid-plus" and self._is_plus_v2(checkpoint),
            structure_scale=self.structure_scale,
        )

    def _open(self, backbone: Backbone) -> PublishedAdapter:
        checkpoint = read_adapter(self.adapter_file)
        if checkpoint.face_width is None:
            raise MethodError(f"{checkpoint.path}: not a FaceID checkpoint; use the method ip-adapter")
        plus = checkpoint.layout == "faceid-plus"
        if plus and not self.encoder:
            raise MethodError(
                f"{checkpoint.path}: a FaceID-Plus checkpoint also needs CLIP; set `encoder` to the folder "
                "of the image encoder it was trained with"
            )
        if self.encoder and not plus:
            raise MethodError(f"{checkpoint.path}: reads face embeddings only; leave `encoder` out")
        if plus:
            self._is_plus_v2(checkpoint)
        checkpoint.check(backbone, allow_other=self.other_backbone)
        check_block_scales(self.name, self.scale, backbone.adapter_attention.blocks)
        return checkpoint

    def _is_plus_v2(self, checkpoint: PublishedAdapter) -> bool:
        if self.shortcut is not None:
            return self.shortcut
        name = checkpoint.path.name
        if "faceid-plusv2" in name or "faceid-plus_" in name:
            return "faceid-plusv2" in name
        raise MethodError(
            f"{checkpoint.path}: either FaceID-Plus or FaceID-PlusV2, which have the same tensors; "
            "set shortcut = true for PlusV2, false for Plus"
        )

    def _used(self, subject: Subject) -> Subject:
        count = 1 if self.photos == "first" else len(subject.references)
        return Subject(subject.id, subject.noun, subject.references[:count])

    def _faces(self) -> FaceEncoder:
        return open_faces(face_folder(self.faces), self.detector_size)

    def _embeddings(self, faces: list[Face], checkpoint: PublishedAdapter) -> Tensor:
        """The adapter's input in float32: one embedding per face, (N, 512), or their mean, (1, 512)."""
        embeddings = torch.stack([face.embedding for face in faces])
        if embeddings.shape[1] != checkpoint.face_width:
            raise MethodError(
                f"{face_folder(self.faces)}: outputs {embeddings.shape[1]} numbers per face, "
                f"the adapter expects {checkpoint.face_width}; use the folder it was trained with"
            )
        if self.normed:
            embeddings = F.normalize(embeddings)
        if self.photos == "mean":
            embeddings = embeddings.mean(dim=0, keepdim=True)
            # The adapter was trained on vectors of length 1, and a mean is shorter.
            return F.normalize(embeddings) if self.normed else embeddings
        return embeddings
