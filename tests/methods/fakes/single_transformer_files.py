"""Convert a folder's transformer to the layout of its publisher: SD 3, SD 3.5, FLUX.1."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

SD3_NAMES: Final = {
    r"pos_embed\.pos_embed": "pos_embed",
    r"pos_embed\.proj": "x_embedder.proj",
    r"time_text_embed\.timestep_embedder\.linear_1": "t_embedder.mlp.0",
    r"time_text_embed\.timestep_embedder\.linear_2": "t_embedder.mlp.2",
    r"time_text_embed\.text_embedder\.linear_1": "y_embedder.mlp.0",
    r"time_text_embed\.text_embedder\.linear_2": "y_embedder.mlp.2",
    r"norm_out\.linear": "final_layer.adaLN_modulation.1",
    r"proj_out": "final_layer.linear",
    r"transformer_blocks\.(\d+)\.norm1\.linear": r"joint_blocks.\1.x_block.adaLN_modulation.1",
    r"transformer_blocks\.(\d+)\.norm1_context\.linear": r"joint_blocks.\1.context_block.adaLN_modulation.1",
    r"transformer_blocks\.(\d+)\.ff\.net\.0\.proj": r"joint_blocks.\1.x_block.mlp.fc1",
    r"transformer_blocks\.(\d+)\.ff\.net\.2": r"joint_blocks.\1.x_block.mlp.fc2",
    r"transformer_blocks\.(\d+)\.ff_context\.net\.0\.proj": r"joint_blocks.\1.context_block.mlp.fc1",
    r"transformer_blocks\.(\d+)\.ff_context\.net\.2": r"joint_blocks.\1.context_block.mlp.fc2",
    r"transformer_blocks\.(\d+)\.(attn2?)\.to_out\.0": r"joint_blocks.\1.x_block.\2.proj",
    r"transformer_blocks\.(\d+)\.attn\.to_add_out": r"joint_blocks.\1.context_block.attn.proj",
    r"transformer_blocks\.(\d+)\.(attn2?)\.norm_([qk])": r"joint_blocks.\1.x_block.\2.ln_\3",
    r"transformer_blocks\.(\d+)\.attn\.norm_added_([qk])": r"joint_blocks.\1.context_block.attn.ln_\2",
}
SD3_JOINED: Final = {
    r"transformer_blocks\.(\d+)\.(attn2?)\.to_q": r"joint_blocks.\1.x_block.\2.qkv",
    r"transformer_blocks\.(\d+)\.attn\.add_q_proj": r"joint_blocks.\1.context_block.attn.qkv",
}
FLUX_NAMES: Final = {
    r"time_text_embed\.timestep_embedder\.linear_1": "time_in.in_layer",
    r"time_text_embed\.timestep_embedder\.linear_2": "time_in.out_layer",
    r"time_text_embed\.text_embedder\.linear_1": "vector_in.in_layer",
    r"time_text_embed\.text_embedder\.linear_2": "vector_in.out_layer",
    r"time_text_embed\.guidance_embedder\.linear_1": "guidance_in.in_layer",
    r"time_text_embed\.guidance_embedder\.linear_2": "guidance_in.out_layer",
    r"context_embedder": "txt_in",
    r"x_embedder": "img_in",
    r"norm_out\.linear": "final_layer.adaLN_modulation.1",
    r"proj_out": "final_layer.linear",
    r"transformer_blocks\.(\d+)\.norm1\.linear": r"double_blocks.\1.img_mod.lin",
    r"transformer_blocks\.(\d+)\.norm1_context\.linear": r"double_blocks.\1.txt_mod.lin",
    r"transformer_blocks\.(\d+)\.attn\.norm_q\.weight": r"double_blocks.\1.img_attn.norm.query_norm.scale",
    r"transformer_blocks\.(\d+)\.attn\.norm_k\.weight": r"double_blocks.\1.img_attn.norm.key_norm.scale",
    r"transformer_blocks\.(\d+)\.attn\.norm_added_q\.\w+": r"double_blocks.\1.txt_attn.norm.query_norm.scale",
    r"transformer_blocks\.(\d+)\.attn\.norm_added_k\.\w+": r"double_blocks.\1.txt_attn.norm.key_norm.scale",
    r"transformer_blocks\.(\d+)\.ff\.net\.0\.proj": r"double_blocks.\1.img_mlp.0",
    r"transformer_blocks\.(\d+)\.ff\.net\.2": r"double_blocks.\1.img_mlp.2",
    r"transformer_blocks\.(\d+)\.ff_context\.net\.0\.proj": r"double_blocks.\1.txt_mlp.0",
    r"transformer_blocks\.(\d+)\.ff_context\.net\.2": r"double_blocks.\1.txt_mlp.2",
    r"transformer_blocks\.(\d+)\.attn\.to_out\.0": r"double_blocks.\1.img_attn.proj",
    r"transformer_blocks\.(\d+)\.attn\.to_add_out": r"double_blocks.\1.txt_attn.proj",
    r"single_transformer_blocks\.(\d+)\.norm\.linear": r"single_blocks.\1.modulation.lin",
    r"single_transformer_blocks\.(\d+)\.attn\.norm_q\.weight": r"single_blocks.\1.norm.query_norm.scale",
    r"single_transformer_blocks\.(\d+)\.attn\.norm_k\.weight": r"single_blocks.\1.norm.key_norm.scale",
    r"single_transformer_blocks\.(\d+)\.proj_out": r"single_blocks.\1.linear2",
}
FLUX_JOINED: Final = {
    r"transformer_blocks\.(\d+)\.attn\.to_q": r"double_blocks.\1.img_attn.qkv",
    r"transformer_blocks\.(\d+)\.attn\.add_q_proj": r"double_blocks.\1.txt_attn.qkv",
    r"single_transformer_blocks\.(\d+)\.attn\.to_q": r"single_blocks.\1.linear1",
}
LAYOUTS: Final = {"sd3": (SD3_NAMES, SD3_JOINED), "flux": (FLUX_NAMES, FLUX_JOINED)}


def write_transformer_file(folder: Path, file: Path, family: str) -> None:
    """SD 3 as in `sd3.5_medium.safetensors`, with other networks; FLUX.1 as in `flux1-dev.safetensors`."""
    (weights,) = (folder / "transformer").glob("*.safetensors")
    state = original(load_file(weights), family)
    if family == "sd3":
        state = {f"model.diffusion_model.{name}": value for name, value in state.items()}
        state["first_stage_model.decoder.conv_in.bias"] = torch.zeros(4)
    save_file({name: value.contiguous() for name, value in state.items()}, file)


def original(state: dict[str, Tensor], family: str) -> dict[str, Tensor]:
    names, joined = LAYOUTS[family]
    last = f"transformer_blocks.{max(int(n.split('.')[1]) for n in state if n.startswith('transf'))}."
    renamed = {}
    for name, value in state.items():
        place, kind = name.rsplit(".", 1)
        for pattern, new in joined.items():
            if re.fullmatch(pattern, place):
                parts = [state[f"{other}.{kind}"] for other in together(place)]
                renamed[f"{re.sub(pattern, new, place)}.{kind}"] = torch.cat(parts)
        # Scale and shift are the other way round where a layer has no gate.
        if place == "norm_out.linear" or (family == "sd3" and place == f"{last}norm1_context.linear"):
            value = torch.cat(value.chunk(2)[::-1])
        for pattern, new in names.items():
            if re.fullmatch(pattern, name):
                renamed[re.sub(pattern, new, name)] = value
            elif re.fullmatch(pattern, place):
                renamed[f"{re.sub(pattern, new, place)}.{kind}"] = value
        if family == "sd3" and place == "context_embedder":
            renamed[name] = value
    return renamed


def together(place: str) -> list[str]:
    """Layers whose weights are one tensor in the file."""
    others = [place.replace("_q", f"_{kind}") for kind in "qkv"]
    single = place.startswith("single_transformer_blocks.")
    return [*others, place.replace("attn.to_q", "proj_mlp")] if single else others
