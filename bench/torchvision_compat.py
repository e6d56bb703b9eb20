"""Makes torchvision importable with a torch build that its compiled operators do not match.

PyPI's torchvision is compiled against the CUDA build of torch. With a CPU-only torch its operators do not
load, and `import torchvision` fails with "operator torchvision::nms does not exist", as do transformers,
diffusers, peft, clean-fid and lpips. None of them calls these operators, so declaring them is sufficient.
"""

import importlib.util
from functools import cache
from pathlib import Path
from typing import Any

DECLARATION = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"


@cache
def ensure_torchvision_imports() -> Any:
    """Declare `torchvision::nms` and `::qnms` if torchvision's own operators cannot be loaded.

    Call before any import of torchvision. Returns the `torch.library.Library` with the declarations (it must
    stay alive; the cache keeps it), or None if nothing had to be declared.
    """
    import torch

    spec = importlib.util.find_spec("torchvision")
    if spec is None or spec.origin is None or hasattr(torch.ops.torchvision, "nms"):
        return None
    for compiled in Path(spec.origin).parent.glob("_C*.so"):
        try:
            torch.ops.load_library(str(compiled))
        except OSError:
            continue
        return None
    library = torch.library.Library("torchvision", "FRAGMENT")
    library.define("nms" + DECLARATION)
    library.define("qnms" + DECLARATION)
    return library
