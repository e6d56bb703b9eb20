"""IP-Adapter checkpoints and an insightface folder with random weights, in the published formats.

Names and shapes are those of h94/IP-Adapter and h94/IP-Adapter-FaceID, with smaller widths of CLIP and the
backbone, and a smaller LoRA rank.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor

from methods.backbone.backbone import Backbone
from methods.encoders.clip_vision import open_encoder
from methods.leave_one_out.network import LeaveOneOutNetwork, NetworkConfig, save_network

State = dict[str, Tensor]

FACE: Final = 512
"""Width of insightface's embeddings."""
HEAD: Final = 64
RANK: Final = 3

PUBLISHED: Final = {
    "base": "ip-adapter_sd15.safetensors",
    "plus": "ip-adapter-plus-face_sd15.bin",
    "full-face": "ip-adapter-full-face_sd15.safetensors",
    "faceid": "ip-adapter-faceid_sd15.bin",
    "portrait": "ip-adapter-faceid-portrait_sd15.bin",
    "faceid-plus": "ip-adapter-faceid-plus_sd15.bin",
    "faceid-plusv2": "ip-adapter-faceid-plusv2_sd15.bin",
}
"""A published file name of each kind."""


def leave_one_out_settings(
    aggregator: str, backbone: Backbone, clip: Path, file: Path, *, tokens: int = 3, hidden: int = HEAD
) -> dict[str, object]:
    """Write an untrained network of leave-one-out; returns the settings of the method that read it."""
    encoder, attention = open_encoder(clip, backbone.device), backbone.adapter_attention
    config = NetworkConfig(
        aggregator,
        patch_width=encoder.width,
        caption_width=backbone.encode_text(["a man"]).pooled.shape[1],
        width=attention.token_width,
        tokens=tokens,
        hidden=hidden,
        shortcut=aggregator == "max",
        backbone=backbone.digest,
        encoder=encoder.name,
        encoder_digest=encoder.digest,
    )
    save_network(file, LeaveOneOutNetwork(config, attention), config, dtype=torch.float32)
    return {"aggregator": aggregator, "network": str(file), "encoder": str(clip)}


def write_checkpoint(folder: Path, kind: str, unet: Any, *, clip: Any, seed: int = 0) -> Path:
    """Write a file of the kind, with its published name, for the U-Net and CLIP vision tower."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        image_proj = projection(kind, unet.config.cross_attention_dim, clip.config)
        lora = kind in ("faceid", "faceid-plus", "faceid-plusv2")
        ip_adapter = layers(unet, lora=lora)
    path = folder / PUBLISHED[kind]
    folder.mkdir(parents=True, exist_ok=True)
    write_parts(path, image_proj, ip_adapter)
    return path


def write_parts(path: Path, image_proj: State, ip_adapter: State) -> None:
    """Write one of the two published file formats."""
    if path.suffix == ".bin":
        torch.save({"image_proj": image_proj, "ip_adapter": ip_adapter}, path)
        return
    flat = {f"image_proj.{name}": value for name, value in image_proj.items()}
    save_file({**flat, **{f"ip_adapter.{name}": value for name, value in ip_adapter.items()}}, path)


def projection(kind: str, width: int, clip: Any) -> State:
    """The tensors of `image_proj`."""
    patch = clip.hidden_size
    if kind == "base":
        return {**linear("proj", 4 * width, clip.projection_dim), **norm("norm", width)}
    if kind == "plus":
        hidden = 2 * HEAD
        return {"latents": torch.randn(1, 16, hidden), **resampler("", hidden, patch, width, heads=2)}
    if kind == "full-face":
        return {
            **linear("proj.0", patch, patch),
            **linear("proj.2", width, patch),
            **norm("proj.3", width),
        }
    tokens = 16 if kind == "portrait" else 4
    face = {
        **linear("proj.0", 2 * FACE, FACE),
        **linear("proj.2", tokens * width, 2 * FACE),
        **norm("norm", width),
    }
    if kind in ("faceid", "portrait"):
        return face
    return {**face, **resampler("perceiver_resampler.", width, patch, width, heads=1)}


def resampler(prefix: str, hidden: int, reads: int, width: int, *, heads: int) -> State:
    inner = heads * HEAD
    state = {
        **linear(f"{prefix}proj_in", hidden, reads),
        **linear(f"{prefix}proj_out", width, hidden),
        **norm(f"{prefix}norm_out", width),
    }
    for i in range(4):
        layer = f"{prefix}layers.{i}"
        state |= norm(f"{layer}.0.norm1", hidden) | norm(f"{layer}.0.norm2", hidden)
        state |= matrix(f"{layer}.0.to_q", inner, hidden) | matrix(f"{layer}.0.to_kv", 2 * inner, hidden)
        state |= matrix(f"{layer}.0.to_out", hidden, inner) | norm(f"{layer}.1.0", hidden)
        state |= matrix(f"{layer}.1.1", 4 * hidden, hidden) | matrix(f"{layer}.1.3", hidden, 4 * hidden)
    return state


def layers(unet: Any, *, lora: bool) -> State:
    """The tensors of `ip_adapter`, numbered by position among all attention layers of the U-Net."""
    state: State = {}
    for place, name in enumerate(unet.attn_processors):
        attention = unet.get_submodule(name.removesuffix(".processor"))
        inner, reads = attention.to_k.weight.shape
        if name.endswith("attn2.processor"):
            state |= matrix(f"{place}.to_k_ip", inner, reads) | matrix(f"{place}.to_v_ip", inner, reads)
        if lora:
            for part, wide in (("q", inner), ("k", reads), ("v", reads), ("out", inner)):
                state |= matrix(f"{place}.to_{part}_lora.down", RANK, wide)
                state |= matrix(f"{place}.to_{part}_lora.up", inner, RANK)
    return state


def matrix(name: str, rows: int, columns: int) -> State:
    return {f"{name}.weight": torch.randn(rows, columns) / columns**0.5}


def linear(name: str, rows: int, columns: int) -> State:
    return {**matrix(name, rows, columns), f"{name}.bias": 0.1 * torch.randn(rows)}


def norm(name: str, width: int) -> State:
    return {f"{name}.weight": 1 + 0.1 * torch.randn(width), f"{name}.bias": 0.1 * torch.randn(width)}


def write_faces(folder: Path) -> Path:
    """Write a model folder in the layout of `buffalo_l`: SCRFD detector and ArcFace recogniser."""
    folder.mkdir(parents=True)
    onnx.save(detector(), str(folder / "det_tiny.onnx"))
    onnx.save(recogniser(), str(folder / "w_tiny.onnx"))
    return folder


def detector() -> onnx.ModelProto:
    """A detector of a face in every cell of 8 x 8 bright pixels; brighter cells are larger faces."""
    nodes = [
        helper.make_node("ReduceMean", ["input"], ["grey"], axes=[1], keepdims=1),
        helper.make_node("AveragePool", ["grey"], ["cells"], kernel_shape=[8, 8], strides=[8, 8]),
        helper.make_node("Add", ["cells", "one"], ["bright"]),
        helper.make_node("Mul", ["bright", "share"], ["light8"]),
    ]
    constants = [
        constant("column", np.array([-1, 1])),
        constant("one", np.ones(1, np.float32)),
        constant("share", np.full(1, 0.6, np.float32)),
        constant("zero", np.zeros(1, np.float32)),
        constant("reach", np.full((1, 4), 1.5, np.float32)),
        constant("points", np.array([[-1, -1, 1, -1, 0, 0, -1, 1, 1, 1]], np.float32)),
    ]
    for stride in (16, 32):
        size = [stride // 8] * 2
        nodes += [
            helper.make_node("AveragePool", ["light8"], [f"pool{stride}"], kernel_shape=size, strides=size),
            helper.make_node("Mul", [f"pool{stride}", "zero"], [f"light{stride}"]),
        ]
    for stride in (8, 16, 32):
        nodes += [
            helper.make_node("Reshape", [f"light{stride}", "column"], [f"rows{stride}"]),
            # Two anchors per cell.
            helper.make_node("Concat", [f"rows{stride}"] * 2, [f"two{stride}"], axis=1),
            helper.make_node("Reshape", [f"two{stride}", "column"], [f"scores{stride}"]),
            helper.make_node("Mul", [f"scores{stride}", "reach"], [f"boxes{stride}"]),
            helper.make_node("Mul", [f"scores{stride}", "points"], [f"points{stride}"]),
        ]
    outputs = [
        helper.make_tensor_value_info(f"{kind}{stride}", TensorProto.FLOAT, [None, width])
        for kind, width in (("scores", 1), ("boxes", 4), ("points", 10))
        for stride in (8, 16, 32)
    ]
    picture = helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, 3, "height", "width"])
    return model(helper.make_graph(nodes, "scrfd", [picture], outputs, constants))


def recogniser() -> onnx.ModelProto:
    """A fixed random map from the mean red, green and blue of the aligned face."""
    weights = np.random.default_rng(0).normal(size=(3, FACE)).astype(np.float32)
    nodes = [
        helper.make_node("GlobalAveragePool", ["input"], ["means"]),
        helper.make_node("Reshape", ["means", "row"], ["flat"]),
        helper.make_node("MatMul", ["flat", "weights"], ["vector"]),
    ]
    face = helper.make_tensor_value_info("input", TensorProto.FLOAT, [None, 3, 112, 112])
    vector = helper.make_tensor_value_info("vector", TensorProto.FLOAT, [None, FACE])
    constants = [constant("row", np.array([-1, 3])), constant("weights", weights)]
    return model(helper.make_graph(nodes, "arcface", [face], [vector], constants))


def constant(name: str, value: NDArray[Any]) -> onnx.TensorProto:
    return numpy_helper.from_array(value, name)


def model(graph: onnx.GraphProto) -> onnx.ModelProto:
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 11)], ir_version=8)


def scene(*faces: tuple[int, int, tuple[int, int, int]]) -> Image.Image:
    """A dark image with bright squares at (x, y), which the detector finds as faces."""
    image = Image.new("RGB", (64, 64))
    for x, y, colour in faces:
        image.paste(colour, (x, y, x + 8, y + 8))
    return image
