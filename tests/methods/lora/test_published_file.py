"""Every layer of a published LoRA has the strength alpha / rank, whatever other layers have."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from peft.tuners.lora import LoraLayer
from safetensors.torch import load_file, save_file
from torch import Tensor

from methods.backbone.backbone import Backbone
from methods.errors import MethodError
from methods.lora.checkpoint import ADAPTER, FILE, lora_on
from methods.lora.pretrained import LoraFolder
from methods.lora.published_file import copy_published
from methods.subject import Subject

Layer = tuple[str, int, float | None]
"""The end of a layer's name, its rank and its alpha."""

MIXED: Mapping[str, tuple[Layer, ...]] = {
    "ranks and alphas": (
        ("attn1.to_q", 2, 2),
        ("attn1.to_k", 4, 4),
        ("attn1.to_v", 8, 8),
        ("attn2.to_q", 8, 8),
    ),
    "one rank, several alphas": (("attn1.to_q", 4, 1), ("attn1.to_k", 4, 2), ("attn1.to_v", 4, 4)),
    "alpha in some layers": (
        ("attn1.to_q", 4, 1),
        ("conv1", 4, None),
        ("conv2", 4, None),
    ),
    "alpha of the minority": (("attn1.to_q", 8, 4), ("conv1", 4, 1), ("conv2", 4, 1)),
    "ranks without alpha": (("attn1.to_q", 8, None), ("attn1.to_k", 4, None), ("attn1.to_v", 4, None)),
    "text encoder": (("q_proj", 4, 1), ("v_proj", 4, 2), ("out_proj", 4, 4), ("fc2", 4, 4)),
    "one alpha": (("attn1.to_q", 4, 2), ("conv1", 4, 2)),
}


def kohya_file(layers: tuple[Layer, ...], backbone: Backbone) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """The tensors of a file, and the weight difference that it specifies per layer."""
    generator = torch.Generator().manual_seed(1)
    state, wanted = {}, {}
    for end, rank, alpha in layers:
        part, prefix = ("text_encoder", "lora_te") if end.endswith(("proj", "fc2")) else ("unet", "lora_unet")
        name, module = next(
            (name, module)
            for name, module in getattr(backbone.pipe, part).named_modules()
            if name.endswith(end)
        )
        weight = module.weight
        long = name if part == "unet" or name.startswith("text_model.") else f"text_model.{name}"
        key = f"{prefix}_{long.replace('.', '_')}"
        down = torch.randn(rank, *weight.shape[1:], generator=generator)
        up = torch.randn(len(weight), rank, *(1 for _ in weight.shape[2:]), generator=generator)
        state |= {f"{key}.lora_down.weight": down, f"{key}.lora_up.weight": up}
        if alpha is not None:
            state[f"{key}.alpha"] = torch.tensor(float(alpha))
        strength = 1 if alpha is None else alpha / rank
        wanted[name] = strength * (up.flatten(1) @ down.flatten(1)).reshape(weight.shape)
    return state, wanted


@pytest.mark.parametrize("case", MIXED)
def test_every_layer_has_the_strength_of_its_own_alpha_and_rank(
    case: str, backbone: Backbone, subject: Subject, tmp_path: Path
) -> None:
    state, wanted = kohya_file(MIXED[case], backbone)
    save_file(state, tmp_path / "ada.safetensors")
    fitted = tmp_path / "fit"
    fitted.mkdir()
    LoraFolder(str(tmp_path)).fit(subject, fitted, backbone=backbone, seed=1)
    found = {}
    with backbone.clean(), lora_on(backbone, fitted / FILE, scale=1.0):
        for network in (backbone.pipe.unet, backbone.pipe.text_encoder):
            for name, layer in network.named_modules():
                if isinstance(layer, LoraLayer):
                    found[name] = layer.get_delta_weight(ADAPTER)
    assert found.keys() == wanted.keys()
    for name, delta in found.items():
        torch.testing.assert_close(delta, wanted[name], msg=lambda text, name=name: f"{name}: {text}")


def test_alpha_of_a_half_precision_file_is_not_rounded(tmp_path: Path) -> None:
    up = torch.full((2, 3), 0.1, dtype=torch.float16)
    save_file(
        {"x.lora_down.weight": torch.ones(3, 2), "x.lora_up.weight": up, "x.alpha": torch.tensor(1.0)},
        tmp_path / "ada.safetensors",
    )
    copy_published(tmp_path / "ada.safetensors", tmp_path / "copy")
    assert torch.equal(load_file(tmp_path / "copy")["x.lora_up.weight"], up.float() / 3)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["x.hada_w1_a", "x.alpha"], r"a LoHa \(LyCORIS\), 1 of 2 tensors; convert it to a plain LoRA"),
        (["x.lokr_w1"], "a LoKr"),
        (["x.lora_mid.weight", "x.lora_down.weight", "x.lora_up.weight"], "a Tucker decomposition"),
        (["x.diff"], "full weight differences"),
        (["x.w_norm"], "trained norms"),
        (["x.on_input", "x.weight"], "an IA3"),
        (["x.oft_blocks"], "an OFT"),
        (["x.dora_scale"], "a DoRA in kohya's layout"),
        (["bundle_emb.ada.string_to_param.*"], "a textual inversion bundled"),
        (["base_model.model.x.lora_A.weight"], "PEFT's own layout"),
        (["x.alpha"], "x has an alpha and no pair of LoRA matrices"),
        ([], "the file has no tensors"),
    ],
)
def test_unsupported_kind_is_named(names: list[str], message: str, tmp_path: Path) -> None:
    save_file({name: torch.ones(1) for name in names}, tmp_path / "ada.safetensors")
    with pytest.raises(MethodError, match=message):
        copy_published(tmp_path / "ada.safetensors", tmp_path / "copy")
    assert not (tmp_path / "copy").exists()


def test_alpha_that_is_not_finite_is_refused(tmp_path: Path) -> None:
    state = {"x.lora_down.weight": torch.ones(3, 2), "x.lora_up.weight": torch.ones(2, 3)}
    save_file(state | {"x.alpha": torch.tensor(float("nan"))}, tmp_path / "ada.safetensors")
    with pytest.raises(MethodError, match=r"x\.alpha is (not finite|no finite number)"):
        copy_published(tmp_path / "ada.safetensors", tmp_path / "copy")
