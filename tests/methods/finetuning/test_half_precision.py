"""Fits on a backbone whose autoencoder overflows in half precision, as SDXL's does."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_pipelines import SmallFolders

from methods.backbone.backbone import Backbone
from methods.backbone.spec import BackboneSpec
from methods.catalog import make
from methods.errors import MethodError
from methods.lora.checkpoint import FILE
from methods.presets import DREAMBOOTH, TEXTUAL_INVERSION, TI_LORA
from methods.subject import Subject

QUICK = {"steps": 12, "batch": 1, "accumulation": 1}
MIXED = [
    (method, preset)
    for method, presets in (
        ("dreambooth-lora", DREAMBOOTH),
        ("textual-inversion", TEXTUAL_INVERSION),
        ("ti-lora", TI_LORA),
    )
    for preset, chosen in presets.items()
    # Those for backbones with a transformer name their family.
    if "mixed_precision" in chosen.settings and not preset.endswith(("-sd3", "-flux", "-flow"))
]
OWN = {
    "dreambooth-lora": {"class_pictures": 2},
    "textual-inversion": {},
    # Without the package of Prodigy, whose rate is 1.
    "ti-lora": {"class_pictures": 2, "optimizer": "adamw", "learning_rate": 1e-4, "text_learning_rate": 1e-4},
}


@pytest.fixture(scope="module")
def overflowing(tiny_pipelines: SmallFolders, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """SDXL's layout; the encoder's first activations exceed 65,504, later norms make them small again."""
    folder = shutil.copytree(tiny_pipelines["sdxl"], tmp_path_factory.mktemp("overflow") / "sdxl")
    file = folder / "vae" / "diffusion_pytorch_model.safetensors"
    state = load_file(file)
    state["encoder.conv_in.weight"] *= 1e7
    save_file(state, file, metadata={"format": "pt"})
    return folder


def opened(folder: Path, **settings: object) -> Backbone:
    spec = BackboneSpec(path=str(folder), steps=2, batch=2, device="cpu", **settings)  # type: ignore[arg-type]
    return Backbone.open(spec)


@pytest.mark.parametrize(("name", "preset"), MIXED)
def test_presets_learn_where_the_autoencoder_overflows_in_half_precision(
    name: str, preset: str, overflowing: Path, subject: Subject, tmp_path: Path
) -> None:
    settings = {"preset": preset, **QUICK, **OWN[name]}
    method = make(name, settings)
    # On a CPU, torch's norms refuse bf16 inputs with fp16 weights.
    dtype = "fp16" if method.mixed_precision == "fp16" else "fp32"  # type: ignore[attr-defined]
    method.fit(subject, tmp_path, backbone=opened(overflowing, dtype=dtype), seed=0)
    if name != "textual-inversion":
        stored = load_file(tmp_path / FILE)
        learned = [value for key, value in stored.items() if "lora_B" in key]
        assert learned
        assert max(float(value.abs().max()) for value in learned) > 0


def test_latents_that_are_not_finite_are_refused(
    tiny_pipelines: SmallFolders, overflowing: Path, subject: Subject, tmp_path: Path
) -> None:
    """As SD 1.5's autoencoder, which has the backbone's precision."""
    backbone = opened(overflowing, dtype="fp16")
    backbone.pipe.vae.half()
    method = make("dreambooth-lora", QUICK)
    with pytest.raises(MethodError, match=r"latents are not finite in torch.float16; use dtype = 'bf16'"):
        method.fit(subject, tmp_path, backbone=backbone, seed=0)


def test_another_autoencoder_replaces_the_checkpoint_s(
    tiny_pipelines: SmallFolders, overflowing: Path, subject: Subject
) -> None:
    image = subject.references[0].image
    for vae in (tiny_pipelines["sdxl"], tiny_pipelines["sdxl"] / "vae"):
        backbone = opened(overflowing, vae=str(vae))
        assert torch.equal(
            backbone.encode_images([image]), opened(tiny_pipelines["sdxl"]).encode_images([image])
        )
    names = [
        path.relative_to(tiny_pipelines.root).as_posix() for path in backbone.files() if "vae" in str(path)
    ]
    assert sorted(names) == ["sdxl/vae/config.json", "sdxl/vae/diffusion_pytorch_model.safetensors"]
    assert backbone.digest != opened(overflowing).digest
    with pytest.raises(MethodError, match=r"no config\.json there; expected the folder of an AutoencoderKL"):
        opened(overflowing, vae=str(overflowing / "unet" / "nothing"))
