"""torchvision can be imported with any build of torch once its operators are declared."""

import subprocess
import sys

from bench.torchvision_compat import ensure_torchvision_imports


def run(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True)


def test_packages_that_need_torchvision_can_be_imported() -> None:
    done = run(
        "from bench.torchvision_compat import ensure_torchvision_imports\n"
        "ensure_torchvision_imports()\n"
        "import torchvision, diffusers, transformers, peft, cleanfid, lpips\n"
        "from diffusers import StableDiffusionPipeline\n"
    )
    assert done.returncode == 0, done.stderr[-2000:]


def test_operators_are_declared_only_if_torchvisions_own_cannot_be_loaded() -> None:
    without = run("import torchvision")
    if without.returncode:
        assert "torchvision::nms does not exist" in without.stderr
    needed = run(
        "from bench.torchvision_compat import ensure_torchvision_imports as c; print(c() is not None)"
    )
    assert needed.stdout.strip() == str(without.returncode != 0)


def test_second_call_returns_the_same_library() -> None:
    assert ensure_torchvision_imports() is ensure_torchvision_imports()
