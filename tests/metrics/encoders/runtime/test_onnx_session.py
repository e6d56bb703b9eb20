"""Networks in onnxruntime compute what their files and torch compute."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from onnx import TensorProto, helper, numpy_helper

from metrics.encoders.runtime.onnx_session import in_onnxruntime, open_onnx

SHAPE = (1, 4, 3, 4)
SLOPES = np.array([-0.5, 0.25, 1.0, 8.0], np.float32).reshape(4, 1, 1)


def test_rewritten_prelu_gives_the_bits_of_onnxruntime(tmp_path: Path) -> None:
    image, result = (helper.make_tensor_value_info(n, TensorProto.FLOAT, SHAPE) for n in ("image", "y"))
    node = helper.make_node("PRelu", ["image", "slope"], ["y"])
    graph = helper.make_graph([node], "prelu", [image], [result], [numpy_helper.from_array(SLOPES, "slope")])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, str(tmp_path / "prelu.onnx"))
    values = np.random.default_rng(0).normal(size=SHAPE).astype(np.float32)
    values[0, :, 0] = [np.inf, -np.inf, np.nan, 1e-30]
    plain = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    rewritten = open_onnx(tmp_path / "prelu.onnx", {"image": SHAPE})
    (expected,), (found,) = (session.run(None, {"image": values}) for session in (plain, rewritten))
    assert np.array_equal(found, expected, equal_nan=True)
    assert not np.array_equal(expected, np.maximum(values, 0), equal_nan=True)
    assert rewritten.get_providers() == ["CPUExecutionProvider"]


class TwoOutputs(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor]]:
        return x.mean((2, 3)), [x * 2, x.exp()]


def test_every_output_of_a_torch_network_is_returned_in_order() -> None:
    x = torch.randn(SHAPE, generator=torch.Generator().manual_seed(0))
    mean, (double, power) = TwoOutputs()(x)
    found = in_onnxruntime(TwoOutputs(), torch.zeros(SHAPE))(x)
    assert [part.shape for part in found] == [mean.shape, double.shape, power.shape]
    for ours, expected in zip(found, (mean, double, power), strict=True):
        assert torch.allclose(ours, expected, rtol=1e-5)
