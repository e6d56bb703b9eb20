"""IP-Adapter-FaceID: a face network's embedding as image tokens, with the LoRA that the checkpoint brings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Final, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from methods.backbone.backbone import Backbone
from methods.encoders.clip_vision import encoder_files, encoder_folder, ledger_names, open_encoder
from methods.encoders.insightface_faces import (
    Face,
    FaceEncoder,
    face_files,
    face_folder,
    faceless_photo,
    open_faces,
)
from methods.errors import MethodError
from methods.interface import MethodBase
from methods.ip_adapter.checkpoint import PublishedAdapter, read_adapter
from methods.ip_adapter.inference import ImageFeatures, PersonalisedImages
from methods.ip_adapter.method import embed
from methods.setting_checks import check_bounds, check_settings
from methods.subject import Subject
from methods.trained_on import data_named

ARCFACE: Final = "arcface"
"""The leak ledger's word for insightface's recognition networks."""


@dataclass(frozen=True)
class IPAdapterFaceID(MethodBase):
    """A frozen backbone, a checkpoint of h94/IP-Adapter-FaceID, and insightface's embedding of each face.

    Layouts: FaceID and Portrait (the embedding alone), FaceID-Plus and PlusV2 (also CLIP's patch tokens of
    the face), for SD 1.5 and SDXL. The photographs' tokens stand side by side in one attention, as Portrait
    was trained with five. CLIP is shown the face that was cut out, in red, green, blue.
    """

    name: ClassVar[str] = "ip-adapter-faceid"

    adapter: str = ""
    """The checkpoint, `.bin` or `.safetensors`; there is none to fall back on."""
    faces: str = "buffalo_l"
    """insightface's model folder, by path or by its name below ~/.insightface/models."""
    encoder: str = ""
    """For the Plus kinds, and only for them: folder of the CLIPVisionModelWithProjection they were trained
    with, or `embedded`."""
    shortcut: bool | None = None
    """Of the Plus kinds: true for PlusV2, false for Plus. Their files look alike, so without it the file's
    name must say `faceid-plusv2` or `faceid-plus_`, as published."""
    structure_scale: float = 1.0
    """PlusV2's weight of the face's structure, which CLIP tells, beside its identity (published: s_scale)."""
    scale: float = 1.0
    """Weight of the image tokens beside the text."""
    lora_scale: float = 1.0
    """Weight of the LoRA that the checkpoint brings; published: 1. Portrait brings none."""
    photos: Literal["concat", "mean", "first"] = "concat"
    """All photographs' tokens in one attention, their mean embedding at length 1, or the first photograph."""
    normed: bool = True
    """The embedding at length 1; false for the checkpoints called `unnorm`."""
    detector_size: int = 640
    """Photographs are scaled to this before insightface looks for faces; published: 640."""
    other_backbone: bool = False
    """Use weights that name another backbone than the run's."""

    def __post_init__(self) -> None:
        check_settings(self)
        check_bounds(self, {"detector_size": 32})
        if not self.adapter:
            raise MethodError(
                "ip-adapter-faceid: no adapter; set `adapter` to a published FaceID checkpoint, "
                "such as ip-adapter-faceid_sd15.bin"
            )
        if self.normed and "unnorm" in self.adapter_file.name:
            raise MethodError(f"{self.adapter_file}: reads embeddings of any length; set normed = false")

    @property
    def adapter_file(self) -> Path:
        """Where the weights lie."""
        return Path(self.adapter).expanduser()

    @property
    def conditioning_encoders(self) -> frozenset[str]:
        clip = ledger_names(encoder_folder(self.encoder)) if self.encoder else frozenset()
        return frozenset({ARCFACE}) | clip

    @property
    def trained_on(self) -> frozenset[str]:
        return data_named(self.adapter_file, "training", "data_name")

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
        return faceless_photo(subject, [faces.look(photo.image) for photo in subject.references])

    def fit(self, subject: Subject, into: Path, *, backbone: Backbone, seed: int) -> None:
        checkpoint = self._open(backbone)
        faces = self._faces().faces(self._used(subject))
        photos = self._embeddings(faces, checkpoint)
        seen = ImageFeatures(photos, torch.zeros_like(photos[:1]))
        if checkpoint.layout == "faceid-plus":
            encoder = open_encoder(encoder_folder(self.encoder), backbone.device)
            clip = embed(encoder, [face.picture for face in faces], checkpoint)
            patches = clip.photos.mean(dim=0, keepdim=True) if self.photos == "mean" else clip.photos
            seen = ImageFeatures(photos, seen.nothing, patches.half(), clip.nothing.half())
        seen.save(into, subject.phrase)

    def load(self, fitted: Path, *, backbone: Backbone) -> PersonalisedImages:
        seen, phrase = ImageFeatures.read(fitted)
        checkpoint = self._open(backbone)
        return PersonalisedImages(
            phrase,
            seen,
            checkpoint,
            backbone,
            self.scale,
            lora_scale=self.lora_scale,
            shortcut=checkpoint.layout == "faceid-plus" and self._is_second(checkpoint),
            structure_scale=self.structure_scale,
        )

    def _open(self, backbone: Backbone) -> PublishedAdapter:
        checkpoint = read_adapter(self.adapter_file)
        if checkpoint.face_width is None:
            raise MethodError(f"{checkpoint.path}: no FaceID checkpoint; use the method ip-adapter")
        plus = checkpoint.layout == "faceid-plus"
        if plus and not self.encoder:
            raise MethodError(
                f"{checkpoint.path}: a FaceID-Plus checkpoint also reads CLIP; set `encoder` to the folder "
                "of the image encoder it was trained with"
            )
        if self.encoder and not plus:
            raise MethodError(f"{checkpoint.path}: reads faces alone; leave `encoder` out")
        if plus:
            self._is_second(checkpoint)
        checkpoint.check(backbone, other=self.other_backbone)
        return checkpoint

    def _is_second(self, checkpoint: PublishedAdapter) -> bool:
        if self.shortcut is not None:
            return self.shortcut
        name = checkpoint.path.name
        if "faceid-plusv2" in name or "faceid-plus_" in name:
            return "faceid-plusv2" in name
        raise MethodError(
            f"{checkpoint.path}: FaceID-Plus or FaceID-PlusV2? Their files look alike; "
            "set shortcut = true for PlusV2, false for Plus"
        )

    def _used(self, subject: Subject) -> Subject:
        count = 1 if self.photos == "first" else len(subject.references)
        return Subject(subject.id, subject.noun, subject.references[:count])

    def _faces(self) -> FaceEncoder:
        return open_faces(face_folder(self.faces), self.detector_size)

    def _embeddings(self, faces: list[Face], checkpoint: PublishedAdapter) -> Tensor:
        """What the adapter is told of each face, (N, 512), or of all together, (1, 512); float32."""
        embeddings = torch.stack([face.embedding for face in faces])
        if embeddings.shape[1] != checkpoint.face_width:
            raise MethodError(
                f"{face_folder(self.faces)}: says {embeddings.shape[1]} numbers a face, "
                f"the adapter reads {checkpoint.face_width}; give the folder it was trained with"
            )
        if self.normed:
            embeddings = F.normalize(embeddings)
        if self.photos == "mean":
            embeddings = embeddings.mean(dim=0, keepdim=True)
            # The adapter has only ever read vectors of length 1, and a mean is shorter.
            return F.normalize(embeddings) if self.normed else embeddings
        return embeddings
