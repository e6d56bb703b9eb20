"""Published LoRA files of FLUX.1 in kohya's and XLabs' layouts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import DiffusionPipeline
from safetensors.torch import save_file
from tiny_pipelines import SIDE
from tiny_transformers import FlowFolders
from torch import Tensor

from methods.errors import MethodError
from methods.lora.pretrained import LoraFolder
from methods.subject import Request, Subject

WIDTH = 64
"""Width of the small transformer."""


def random(*shape: int) -> Tensor:
    return 0.5 * torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape)))


def kohya() -> dict[str, Tensor]:
    outputs = {
        "double_blocks_0_img_attn_qkv": (3 * WIDTH, WIDTH),
        "double_blocks_1_txt_mlp_0": (4 * WIDTH, WIDTH),
        "single_blocks_0_linear2": (WIDTH, 5 * WIDTH),
    }
    state = {}
    for name, (out, inner) in outputs.items():
        state |= {
            f"lora_unet_{name}.lora_down.weight": random(2, inner),
            f"lora_unet_{name}.lora_up.weight": random(out, 2),
            f"lora_unet_{name}.alpha": torch.tensor(1.0),
        }
    return state


def xlabs() -> dict[str, Tensor]:
    block = "double_blocks.0.processor"
    return {
        f"{block}.qkv_lora1.down.weight": random(2, WIDTH),
        f"{block}.qkv_lora1.up.weight": random(3 * WIDTH, 2),
        f"{block}.proj_lora2.down.weight": random(2, WIDTH),
        f"{block}.proj_lora2.up.weight": random(WIDTH, 2),
    }


@pytest.mark.parametrize("state", [kohya(), xlabs()], ids=["kohya", "xlabs"])
def test_published_file_is_used_as_by_diffusers(
    state: dict[str, Tensor], subject: Subject, flow_folders: FlowFolders, tmp_path: Path
) -> None:
    backbone = flow_folders.backbone("flux")
    folder, fit = tmp_path / "loras", tmp_path / "fit"
    folder.mkdir()
    fit.mkdir()
    save_file(state, folder / f"{subject.id}.safetensors")
    method = LoraFolder(path=str(folder))
    method.fit(subject, fit, backbone=backbone, seed=1)
    (ours,) = method.load(fit, backbone=backbone).generate([Request("a photo of {subject}", 3)])
    pipe = DiffusionPipeline.from_pretrained(backbone.folder, dtype=torch.float32)
    pipe.set_progress_bar_config(disable=True)
    pipe.load_lora_weights(folder, weight_name=f"{subject.id}.safetensors")
    theirs = pipe(
        ["a photo of sks woman"] * 2,
        num_inference_steps=2,
        guidance_scale=3.0,
        height=SIDE,
        width=SIDE,
        max_sequence_length=16,
        generator=[torch.Generator().manual_seed(3) for _ in range(2)],
    ).images[0]
    assert np.abs(np.asarray(ours).astype(int) - np.asarray(theirs)).max() <= 1
    (plain,) = backbone.generate(["a photo of sks woman"], [3])
    assert ours.tobytes() != plain.tobytes()


def test_layer_that_the_backbone_lacks_is_refused(
    subject: Subject, flow_folders: FlowFolders, tmp_path: Path
) -> None:
    state = {f"transformer.transformer_blocks.9.attn.to_q.lora_{m}.weight": random(2, 2) for m in "AB"}
    known = {"A": random(2, WIDTH), "B": random(WIDTH, 2)}
    state |= {f"transformer.transformer_blocks.0.attn.to_q.lora_{m}.weight": v for m, v in known.items()}
    save_file(state, tmp_path / f"{subject.id}.safetensors")
    (tmp_path / "fit").mkdir()
    backbone = flow_folders.backbone("sd3")
    with pytest.raises(MethodError, match="for 2 of its 4 tensors") as caught:
        LoraFolder(path=str(tmp_path)).fit(subject, tmp_path / "fit", backbone=backbone, seed=1)
    assert "\n" not in str(caught.value)
    assert backbone.state.leftovers(backbone.pipe) == []
