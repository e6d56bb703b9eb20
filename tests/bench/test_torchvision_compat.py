"""torchvision imports beside this torch, whichever build it is, once its operators are declared."""

import subprocess
import sys

from bench.torchvision_compat import ensure_torchvision_imports


def run(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True)


def test_everything_that_needs_torchvision_imports_after_the_cure() -> None:
    done = run(
        "from bench.torchvision_compat import ensure_torchvision_imports as cure\n"
        "cure()\n"
        "import torchvision, diffusers, transformers, peft, cleanfid, lpips\n"
        "from diffusers import StableDiffusionPipeline\n"
    )
    assert done.returncode == 0, done.stderr[-2000:]


def test_the_cure_declares_operators_only_where_torchvisions_own_do_not_load() -> None:
    without = run("import torchvision")
    if without.returncode:
        assert "torchvision::nms does not exist" in without.stderr
    needed = run(
        "from bench.torchvision_compat import ensure_torchvision_imports as c; print(c() is not None)"
    )
    assert needed.stdout.strip() == str(without.returncode != 0)


def test_calling_it_twice_declares_once() -> None:
    assert ensure_torchvision_imports() is ensure_torchvision_imports()
