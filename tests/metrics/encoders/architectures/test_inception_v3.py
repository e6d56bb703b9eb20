"""Inception-v3 with the tensors of torch-fidelity's file, compared with torchvision's network."""

from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from metrics.encoders.architectures.inception_v3 import InceptionV3
from metrics.encoders.inception import Inception, resized
from metrics.encoders.runtime.usual_places import INCEPTION_TENSORS
from metrics.encoders.runtime.weight_files import sha256


@pytest.fixture(scope="module")
def reference() -> Any:
    """Torchvision's network, which has the names of torch-fidelity's file, with random tensors."""
    from torchvision.models.inception import Inception3

    torch.manual_seed(3)
    network = Inception3(num_classes=1008, aux_logits=False, init_weights=False).eval()
    for layer in network.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            layer.running_mean.normal_(0, 0.1)
            layer.running_var.uniform_(0.5, 1.5)
            layer.bias.data.normal_(0, 0.1)
    return network


@pytest.fixture(scope="module")
def tensors_file(reference: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("fidelity") / INCEPTION_TENSORS[0]
    torch.save(reference.state_dict(), path)
    return path


def test_tensors_of_torch_fidelity_give_features_and_probabilities(
    reference: Any, tensors_file: Path, photos: list[Image.Image], monkeypatch: pytest.MonkeyPatch
) -> None:
    inception = Inception(tensors_file, digest=sha256(tensors_file))
    assert inception.no_classes == ""
    average, largest = torch.nn.functional.avg_pool2d, torch.nn.functional.max_pool2d
    # Average pooling leaves out the padding; the last of the nine blocks with it takes the maximum.
    pools = iter([partial(average, count_include_pad=False)] * 8 + [largest])
    monkeypatch.setattr("torchvision.models.inception.F.avg_pool2d", lambda x, **how: next(pools)(x, **how))
    features: list[torch.Tensor] = []
    reference.avgpool.register_forward_hook(lambda _, __, output: features.append(output.flatten(1)))
    pixels = torch.from_numpy(resized(photos[0])).permute(2, 0, 1)[None]
    with torch.no_grad():
        logits = reference((pixels - 128) / 128)
    monkeypatch.undo()
    assert inception.encode(photos[:1]) == pytest.approx(features[0].numpy(), rel=1e-4, abs=1e-5)
    expected = (logits - reference.fc.bias).double().softmax(1).detach().numpy()
    assert inception.probabilities(photos[:1]) == pytest.approx(expected, rel=1e-4)


def test_published_file_has_as_many_tensors() -> None:
    # The number of entries that users of the file report.
    assert len(InceptionV3().state_dict()) == 566
