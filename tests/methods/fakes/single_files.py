"""Convert a folder to the single-file layout of the original repositories."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

RESNET: Final = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "time_emb_proj": "emb_layers.1",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "conv_shortcut": "skip_connection",
}
ENDS: Final = {
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "add_embedding.linear_1": "label_emb.0.0",
    "add_embedding.linear_2": "label_emb.0.2",
    "conv_in": "input_blocks.0.0",
    "conv_norm_out": "out.0",
    "conv_out": "out.2",
}
VAE_ATTENTION: Final = {
    "group_norm": "norm",
    "query": "q",
    "key": "k",
    "value": "v",
    "proj_attn": "proj_out",
    "to_q": "q",
    "to_k": "k",
    "to_v": "v",
    "to_out.0": "proj_out",
}
OPENCLIP: Final = {
    "layer_norm1": "ln_1",
    "layer_norm2": "ln_2",
    "self_attn.out_proj": "attn.out_proj",
    "mlp.fc1": "mlp.c_fc",
    "mlp.fc2": "mlp.c_proj",
}


def write_single_file(folder: Path, file: Path) -> None:
    """Write the folder's weights under the original names, with the buffers of published files."""
    index = json.loads((folder / "model_index.json").read_text())
    large = index["_class_name"] == "StableDiffusionXLPipeline"
    linear = json.loads((folder / "unet" / "config.json").read_text()).get("use_linear_projection", False)
    state = {"model.diffusion_model." + k: v for k, v in original_unet(weights(folder / "unet")).items()}
    state |= {"first_stage_model." + k: v for k, v in original_vae(weights(folder / "vae")).items()}
    text = weights(folder / "text_encoder")
    if large:
        state |= {"conditioner.embedders.0.transformer." + k: v for k, v in text.items()}
        second = original_openclip(weights(folder / "text_encoder_2"))
        state |= {"conditioner.embedders.1.model." + k: v for k, v in second.items()}
    elif linear:
        state |= {"cond_stage_model.model." + k: v for k, v in original_openclip(text).items()}
        # The last layer, which SD 2 does not use.
        state["cond_stage_model.model.transformer.resblocks.23.ln_1.weight"] = torch.ones(32)
    else:
        state |= {"cond_stage_model.transformer." + k: v for k, v in text.items()}
    state["alphas_cumprod"] = torch.linspace(1, 0, 1000)
    save_file({name: value.contiguous() for name, value in state.items()}, file, metadata={"format": "pt"})


def weights(part: Path) -> dict[str, Tensor]:
    (file,) = part.glob("*.safetensors")
    return load_file(file)


def original_unet(state: dict[str, Tensor]) -> dict[str, Tensor]:
    attention = {name.split(".attentions.")[0] for name in state if ".attentions." in name}
    layers = 2
    renamed = {}
    for name, value in state.items():
        parts = name.split(".")
        end = next((end for end in ENDS if name.startswith(end + ".")), None)
        if end:
            new = ENDS[end] + name.removeprefix(end)
        elif parts[0] == "mid_block":
            place = 1 if parts[1] == "attentions" else 2 * int(parts[2])
            new = ".".join(["middle_block", str(place), inside(parts[1], parts[3:])])
        else:
            block, kind, layer, rest = int(parts[1]), parts[2], int(parts[3]), parts[4:]
            down = parts[0] == "down_blocks"
            first = 1 + block * (layers + 1) if down else block * (layers + 1)
            if kind in ("downsamplers", "upsamplers"):
                place = first + layers
                slot = "0.op" if down else f"{2 if f'up_blocks.{block}' in attention else 1}.conv"
                new = ".".join(["input_blocks" if down else "output_blocks", str(place), slot, *rest[1:]])
            else:
                slot = "0" if kind == "resnets" else "1"
                side = "input_blocks" if down else "output_blocks"
                new = ".".join([side, str(first + layer), slot, inside(kind, rest)])
        renamed[new] = value
    return renamed


def inside(kind: str, rest: list[str]) -> str:
    return ".".join([RESNET[rest[0]], *rest[1:]] if kind == "resnets" else rest)


def original_vae(state: dict[str, Tensor]) -> dict[str, Tensor]:
    renamed = {}
    for name, value in state.items():
        new = name.replace("conv_norm_out", "norm_out").replace("conv_shortcut", "nin_shortcut")
        new = new.replace("mid_block.resnets.0", "mid.block_1").replace("mid_block.resnets.1", "mid.block_2")
        for level in range(4):
            new = new.replace(f"down_blocks.{level}.", f"down.{level}.")
            new = new.replace(f"up_blocks.{level}.", f"up.{3 - level}.")
        new = new.replace(".resnets.", ".block.").replace("downsamplers.0", "downsample")
        new = new.replace("upsamplers.0", "upsample")
        if "mid_block.attentions.0." in new:
            head, tail = new.split("mid_block.attentions.0.")
            key, kind = tail.rsplit(".", 1)
            new = f"{head}mid.attn_1.{VAE_ATTENTION[key]}.{kind}"
            # These linear layers were 1 x 1 convolutions.
            value = value[..., None, None] if kind == "weight" and key != "group_norm" else value
        renamed[new] = value
    return renamed


def original_openclip(state: dict[str, Tensor]) -> dict[str, Tensor]:
    renamed = {
        "token_embedding.weight": state["text_model.embeddings.token_embedding.weight"],
        "positional_embedding": state["text_model.embeddings.position_embedding.weight"],
        "ln_final.weight": state["text_model.final_layer_norm.weight"],
        "ln_final.bias": state["text_model.final_layer_norm.bias"],
        "logit_scale": torch.tensor(4.6),
    }
    width = renamed["ln_final.weight"].shape[0]
    projection = state.get("text_projection.weight", torch.eye(width))
    renamed["text_projection"] = projection.T
    prefix = "text_model.encoder.layers."
    for name, value in state.items():
        if not name.startswith(prefix):
            continue
        layer, rest = name.removeprefix(prefix).split(".", 1)
        key, kind = rest.rsplit(".", 1)
        if key in OPENCLIP:
            renamed[f"transformer.resblocks.{layer}.{OPENCLIP[key]}.{kind}"] = value
        elif key == "self_attn.q_proj":
            three = [state[f"{prefix}{layer}.self_attn.{c}_proj.{kind}"] for c in "qkv"]
            renamed[f"transformer.resblocks.{layer}.attn.in_proj_{kind}"] = torch.cat(three)
    return renamed
