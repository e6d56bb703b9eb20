"""Lets torchvision import beside a torch build that its compiled operators do not fit.

PyPI's torchvision is compiled against the CUDA build of torch. Beside a CPU-only torch its operators do not
load, and `import torchvision` dies with "operator torchvision::nms does not exist", taking transformers,
diffusers, peft, clean-fid and lpips with it. None of them calls those operators: declaring them is enough.
"""

import importlib.util
from functools import cache
from pathlib import Path
from typing import Any

DECLARATION = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"


@cache
def ensure_torchvision_imports() -> Any:
    """Declare `torchvision::nms` and `::qnms` where torchvision's own operators cannot load.

    Call before anything imports torchvision. Returns the `torch.library.Library` that holds the
    declarations (it must stay alive; the cache keeps it), or None where nothing had to be done.
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
