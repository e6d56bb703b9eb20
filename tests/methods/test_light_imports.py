"""Methods are built without the libraries that take seconds to import: a second run needs none of them."""

import subprocess
import sys

HEAVY = ("diffusers", "transformers", "peft", "insightface", "onnxruntime")
SCRIPT = """
import importlib, sys
from methods.catalog import METHODS
for entry in METHODS.values():
    importlib.import_module(entry.target.partition(":")[0])
print(*(name for name in sys.argv[1:] if name in sys.modules))
"""


def test_method_modules_import_no_pipeline_library() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT, *HEAVY], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
