"""Single-threaded ONNX Runtime sessions, of ONNX files and of torch networks."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from torch import Tensor

from metrics.interface import MetricError


def open_onnx(path: Path, shapes: Mapping[str, tuple[int, ...]]) -> Any:
    """An onnxruntime session of the file with these input shapes, on one thread for exact repeatability.

    Raises MetricError if the file is not an ONNX model.
    """
    try:
        model = _with_fast_prelu(_compatible(onnx.load(str(path)), shapes))
        return _session(model.SerializeToString())
    except Exception as error:
        raise MetricError(f"{path}: onnxruntime cannot open it ({str(error).splitlines()[0]})") from error


def in_onnxruntime(network: torch.nn.Module, example: Tensor) -> Callable[[Tensor], list[Tensor]]:
    """The same function in onnxruntime on one thread: on a CPU, it takes about half the time of torch.

    The network may be TorchScript. It has one input, of the shape of `example`, and any number of outputs.
    """
    file: Any = io.BytesIO()  # accepted, though torch's type names paths only
    with warnings.catch_warnings():
        # torch recommends its newer exporter, which does not read TorchScript.
        warnings.simplefilter("ignore")
        torch.onnx.export(network, (example,), file, dynamo=False, opset_version=17, input_names=["input"])
    session = _session(file.getvalue())
    return lambda inputs: [torch.from_numpy(array) for array in session.run(None, {"input": inputs.numpy()})]


def _session(model: bytes) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    # By default the int8 weights are dequantised again for every image, which takes a third of the time.
    options.add_session_config_entry("session.disable_quant_qdq", "1")
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def _compatible(model: Any, shapes: Mapping[str, tuple[int, ...]]) -> Any:
    """The model in a form that onnxruntime accepts.

    The files of OpenCV's model zoo list their weights among the inputs (one of them without a name), set a
    block size on single scales, and fix the image size.
    """
    graph = model.graph
    kept = [entry for entry in graph.input if entry.name in shapes]
    del graph.input[:]
    for entry in kept:
        for dimension, size in zip(entry.type.tensor_type.shape.dim, shapes[entry.name], strict=True):
            dimension.dim_value = size
    graph.input.extend(kept)
    for output in graph.output:
        output.type.tensor_type.ClearField("shape")
    del graph.value_info[:]
    single = {weight.name for weight in graph.initializer if list(weight.dims) in ([], [1])}
    for node in graph.node:
        if node.op_type == "DequantizeLinear" and node.input[1] in single:
            others = [attribute for attribute in node.attribute if attribute.name != "block_size"]
            del node.attribute[:]
            node.attribute.extend(others)
    return model


def _with_fast_prelu(model: Any) -> Any:
    """The model with `PRelu` written as max(x, 0) + slope * min(x, 0), which gives the same bits.

    onnxruntime's own PRelu takes two thirds of the time of SFace (version 1.32).
    """
    graph = model.graph
    zero = onnx.numpy_helper.from_array(np.zeros((), np.float32), "zero of prelu")
    nodes = []
    for node in graph.node:
        if node.op_type != "PRelu":
            nodes.append(node)
            continue
        x, slope, y = node.input[0], node.input[1], node.output[0]
        nodes += [
            onnx.helper.make_node("Relu", [x], [f"{y} above"]),
            onnx.helper.make_node("Min", [x, zero.name], [f"{y} below"]),
            onnx.helper.make_node("Mul", [f"{y} below", slope], [f"{y} scaled"]),
            onnx.helper.make_node("Add", [f"{y} above", f"{y} scaled"], [y]),
        ]
    graph.initializer.append(zero)
    del graph.node[:]
    graph.node.extend(nodes)
    return model
