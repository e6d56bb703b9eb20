"""The loaders of networks that must be brought, on small files in exactly the published formats."""

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

from bench.torchvision_ops import ensure_torchvision_imports
from metrics.catalog import make
from metrics.diversity import pairwise
from metrics.encoders.inception import Inception, resized
from metrics.encoders.weights import sha256
from metrics.interface import MetricError, Sample

ensure_torchvision_imports()


class TinyInception(nn.Module):
    """Random, with the published file's modules, arguments and widths."""

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


@pytest.fixture(scope="module")
def inception_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("inception") / "inception-2015-12-05.pt"
    torch.jit.script(TinyInception()).save(str(path))
    return path


@pytest.fixture(scope="module")
def photos(portraits: list[Sample]) -> list[Image.Image]:
    return [sample.image for sample in portraits[:4]]


def test_inception_features_are_clean_fids(inception_file: Path, photos: list[Image.Image]) -> None:
    from cleanfid.inception_torchscript import InceptionV3W
    from cleanfid.resize import build_resizer

    resizer = build_resizer("clean")
    theirs = InceptionV3W(str(inception_file.parent), download=False)
    pictures = np.stack([resizer(np.asarray(photo)) for photo in photos])
    with torch.no_grad():
        wanted = theirs(torch.from_numpy(pictures).permute(0, 3, 1, 2)).numpy()
    ours = Inception(inception_file, digest=sha256(inception_file)).encode(photos)
    assert np.array_equal(np.stack([resized(photo) for photo in photos]), pictures)
    assert ours == pytest.approx(wanted, rel=1e-5, abs=1e-6)


def test_inception_probabilities_are_the_networks_without_bias(
    inception_file: Path, photos: list[Image.Image]
) -> None:
    network = torch.jit.load(str(inception_file)).eval()
    pictures = torch.from_numpy(np.stack([resized(photo) for photo in photos])).permute(0, 3, 1, 2)
    with torch.no_grad():
        wanted = network(pictures, no_output_bias=True).numpy()
    ours = Inception(inception_file, digest=sha256(inception_file)).probabilities(photos)
    assert ours == pytest.approx(wanted, rel=1e-4)


def test_another_inception_than_the_published_one_is_refused_unless_named(inception_file: Path) -> None:
    with pytest.raises(MetricError, match=r"wanted f58cb9b6ec32\.\.\.; download https://.* or set `digest`"):
        make(["fid@inception-v3"], {"inception-v3": {"path": str(inception_file)}})
    settings = {"inception-v3": {"path": str(inception_file), "digest": sha256(inception_file)}}
    _, (fid,) = make(["fid@inception-v3"], settings)
    assert sha256(inception_file)[:12] in fid.fingerprint["network"]


def test_a_file_that_is_no_torchscript_gets_one_line(tmp_path: Path) -> None:
    path = tmp_path / "inception-2015-12-05.pt"
    path.write_bytes(b"nothing")
    with pytest.raises(MetricError, match="not a TorchScript file"):
        Inception(path, digest=sha256(path))


def constant(name: str, value: NDArray[Any]) -> onnx.TensorProto:
    return numpy_helper.from_array(value, name)


def detector() -> onnx.ModelProto:
    """SCRFD's nine outputs: a face wherever a cell of 8 x 8 is bright, the larger the brighter it is."""
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
    face = np.array([[-1, -1, 1, -1, 0, 0, -1, 1, 1, 1]], np.float32)
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
    kinds = (("scores", 1), ("boxes", 4), ("points", 10))
    outputs = [
        helper.make_tensor_value_info(f"{kind}{stride}", TensorProto.FLOAT, [None, width])
        for kind, width in kinds
        for stride in (8, 16, 32)
    ]
    picture = helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, 3, "height", "width"])
    return model(helper.make_graph(nodes, "scrfd", [picture], outputs, shapes))


def recogniser() -> onnx.ModelProto:
    """512 numbers of which the first three are the mean red, green and blue of the aligned face."""
    weights = np.zeros((3, 512), np.float32)
    weights[:3, :3] = np.eye(3)
    nodes = [
        helper.make_node("GlobalAveragePool", ["input"], ["means"]),
        helper.make_node("Reshape", ["means", "row"], ["flat"]),
        helper.make_node("MatMul", ["flat", "weights"], ["vector"]),
    ]
    face = helper.make_tensor_value_info("input", TensorProto.FLOAT, [None, 3, 112, 112])
    vector = helper.make_tensor_value_info("vector", TensorProto.FLOAT, [None, 512])
    shapes = [constant("row", np.array([-1, 3])), constant("weights", weights)]
    return model(helper.make_graph(nodes, "arcface", [face], [vector], shapes))


def model(graph: onnx.GraphProto) -> onnx.ModelProto:
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 11)], ir_version=8)
    onnx.checker.check_model(made)
    return made


@pytest.fixture(scope="module")
def insightface_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "buffalo_tiny"
    folder.mkdir()
    onnx.save(detector(), str(folder / "det_tiny.onnx"))
    onnx.save(recogniser(), str(folder / "w_tiny.onnx"))
    return folder


def scene(*faces: tuple[int, int, tuple[int, int, int]]) -> Image.Image:
    image = Image.new("RGB", (64, 64))
    for x, y, colour in faces:
        image.paste(colour, (x, y, x + 8, y + 8))
    return image


def test_arcface_takes_the_largest_face_in_the_right_channel_order(insightface_folder: Path) -> None:
    settings = {"arcface": {"path": str(insightface_folder), "detector_size": 64, "least_score": 0.3}}
    (identity,), _ = make(["identity@arcface"], settings)
    arcface: Any = identity.face  # type: ignore[attr-defined]
    red, blue = (255, 160, 160), (180, 180, 250)
    vectors = arcface.encode([scene((16, 16, red)), scene((16, 16, red), (40, 40, blue)), scene()])
    assert vectors.shape == (3, 512)
    assert np.linalg.norm(vectors[:2], axis=1) == pytest.approx([1, 1])
    assert np.isnan(vectors[2]).all()
    boxes = arcface.boxes([scene((16, 16, red)), scene((16, 16, red), (40, 40, (255, 255, 255))), scene()])
    assert [len(found) for found in boxes] == [1, 2, 0]
    largest = boxes[1][0]
    assert largest[2] * largest[3] > boxes[1][1][2] * boxes[1][1][3]
    assert largest[0] + largest[2] / 2 == pytest.approx(40, abs=1)
    white = arcface.encode([scene((16, 16, red), (40, 40, (255, 255, 255)))])[0]
    assert vectors[0, 0] > vectors[0, 2] + 0.05, "red and blue are swapped"
    assert abs(white[0] - white[2]) < (vectors[0, 0] - vectors[0, 2]) / 3


def test_an_insightface_folder_without_a_recogniser_is_refused(
    tmp_path: Path, insightface_folder: Path
) -> None:
    (tmp_path / "det.onnx").write_bytes((insightface_folder / "det_tiny.onnx").read_bytes())
    with pytest.raises(MetricError, match="holds no recognition model"):
        make(["identity@arcface"], {"arcface": {"path": str(tmp_path), "detector_size": 64}})
    with pytest.raises(MetricError, match="insightface finds no detector there"):
        make(["identity@arcface"], {"arcface": {"path": str(tmp_path.parent)}})


@pytest.fixture(scope="module")
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


def test_clip_gives_what_transformers_gives(clip_folder: Path, photos: list[Image.Image]) -> None:
    from transformers import CLIPModel, CLIPProcessor

    (match,), _ = make(["prompt-match@clip"], {"clip": {"path": str(clip_folder)}})
    network, processor = CLIPModel.from_pretrained(clip_folder), CLIPProcessor.from_pretrained(clip_folder)
    prompts = ["a photo of a man", "a woman", "a photo of a photo of a photo of a photo of a man", "man"]
    inputs = processor(
        text=prompts, images=photos, return_tensors="pt", padding=True, truncation=True, max_length=12
    )
    with torch.no_grad():
        output = network(**inputs)
    wanted = (output.image_embeds * output.text_embeds).sum(1).numpy()
    samples = [
        Sample(str(i), "ada", "p", photo, prompt)
        for i, (photo, prompt) in enumerate(zip(photos, prompts, strict=True))
    ]
    scores = [score.value for score in match.score(samples, [])]
    assert scores == pytest.approx(wanted.tolist(), abs=1e-5)


def test_dinov2_gives_the_class_token(tmp_path: Path, photos: list[Image.Image]) -> None:
    from transformers import AutoImageProcessor, BitImageProcessor, Dinov2Config, Dinov2Model

    torch.manual_seed(1)
    config = Dinov2Config(
        hidden_size=16, num_hidden_layers=2, num_attention_heads=2, image_size=28, patch_size=14
    )
    Dinov2Model(config).save_pretrained(tmp_path)
    BitImageProcessor(size={"shortest_edge": 28}, crop_size={"height": 28, "width": 28}).save_pretrained(
        tmp_path
    )
    (identity,), _ = make(["identity@dinov2"], {"dinov2": {"path": str(tmp_path)}})
    ours = identity.face.encode(photos)  # type: ignore[attr-defined]
    pixels = AutoImageProcessor.from_pretrained(tmp_path)(photos, return_tensors="pt")["pixel_values"]
    with torch.no_grad():
        token = Dinov2Model.from_pretrained(tmp_path)(pixels).last_hidden_state[:, 0].numpy()
    assert ours == pytest.approx(token / np.linalg.norm(token, axis=1, keepdims=True), abs=1e-4)


def test_a_folder_with_missing_weights_is_refused(clip_folder: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    for file in clip_folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    tensors = load_file(tmp_path / "model.safetensors")
    del tensors["visual_projection.weight"]
    save_file(tensors, tmp_path / "model.safetensors", {"format": "pt"})
    with pytest.raises(MetricError, match="1 weights are missing"):
        make(["prompt-match@clip"], {"clip": {"path": str(tmp_path)}})
    with pytest.raises(MetricError, match=r"no config\.json"):
        make(["prompt-match@clip"], {"clip": {"path": str(tmp_path.parent)}})


@pytest.mark.filterwarnings("ignore:The parameter 'pretrained':UserWarning")
@pytest.mark.filterwarnings("ignore:Arguments other than a weight enum:UserWarning")
@pytest.mark.parametrize("net", ["alex", "squeeze"])
def test_the_lpips_embedding_is_the_lpips_package_pair_by_pair(
    net: str, tmp_path: Path, photos: list[Image.Image]
) -> None:
    import lpips

    torch.manual_seed(2)
    theirs = lpips.LPIPS(net=net, pnet_rand=True, verbose=False)
    backbone = {f"features.{key.split('.', 1)[1]}": value for key, value in theirs.net.state_dict().items()}
    torch.save(backbone, tmp_path / "backbone.pth")
    settings = {f"lpips-{net}": {"path": str(tmp_path / "backbone.pth"), "side": 64}}
    (diversity,), _ = make([f"diversity@lpips-{net}"], settings)
    ours = pairwise(diversity.network.embed(photos))  # type: ignore[attr-defined]
    tensors = [torch.from_numpy(np.array(p)).permute(2, 0, 1)[None].float() / 127.5 - 1 for p in photos]
    with torch.no_grad():
        wanted = [[theirs(a, b).item() for a in tensors] for b in tensors]
    assert ours == pytest.approx(np.array(wanted), rel=1e-4, abs=1e-7)
    assert ours.max() > 1e-3


def test_another_backbone_than_lpipss_is_refused(tmp_path: Path) -> None:
    torch.save({"features.0.weight": torch.zeros(1)}, tmp_path / "backbone.pth")
    with pytest.raises(MetricError, match=r"no features\.0\.weight of shape"):
        make(["diversity@lpips-alex"], {"lpips-alex": {"path": str(tmp_path / "backbone.pth")}})
