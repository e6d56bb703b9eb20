"""Checks that need torch and the other heavy libraries; `bench doctor` runs them in a subprocess.

`python -m bench.doctor.library_checks METHODS SUITE ...` prints a JSON object: findings by suite. Nothing is
downloaded.
"""

import dataclasses
import json
import os
import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, Final

import methods.catalog
from bench.doctor.finding import Finding, State, found, missing
from bench.errors import SuiteError
from bench.runner.session import build_method, method_labels
from bench.suite.suite import NO_BACKBONE, Suite, open_suite
from bench.torchvision_compat import ensure_torchvision_imports
from methods.backbone.spec import EMBEDDED, BackboneSpec
from methods.errors import MethodError
from methods.interface import required_files
from metrics.interface import MetricError

SHIPPED: Final = Path(methods.catalog.__file__).parent / "weights"
"""The weights that ship, which fit the embedded backbone alone; but for the image encoder."""


def examine(suite: Suite, labels: Sequence[str]) -> list[Finding]:
    """Machine, backbone, methods and encoders, in this order."""
    torch_line = torch_finding()
    lines = [torch_line]
    if torch_line.met:
        lines += [device_finding(suite), torchvision_finding()]
    lines.append(cv2_finding())
    if not all(line.met for line in lines if line.what != "device"):
        rest = missing(
            "machine", "the rest", "backbone, methods and metrics were not examined: mend these first"
        )
        return [*lines, rest]
    of_methods = [line for label in labels for line in method_findings(label, suite)]
    return [*lines, *backbone_findings(suite.backbone), *of_methods, *metric_findings(suite)]


@cache
def torch_finding() -> Finding:
    """Does torch import, and which is it."""
    try:
        import torch
    except (ImportError, OSError) as error:
        return missing("machine", "torch", f"does not import ({error}); install it again")
    threads = f"{torch.get_num_threads()} threads"
    return found("machine", "torch", f"{torch.__version__}, {threads}, {Path(torch.__file__).parent}")


def device_finding(suite: Suite) -> Finding:
    """The device that the suite would draw on, and whether its memory is enough."""
    import torch

    wanted, needed = suite.backbone.device, suite.needs.gpu_memory
    if wanted == "cpu" or not (torch.cuda.is_available() or wanted == "cuda" or needed):
        return found("machine", "device", f"cpu, {os.cpu_count()} cores")
    if not torch.cuda.is_available():
        reason = f"torch {torch.__version__} sees no CUDA device, the suite wants one with {needed:g} GB"
        return missing(
            "machine", "device", f"{reason}; run it where there is one, with a CUDA build of torch"
        )
    gpu = torch.cuda.get_device_properties(0)
    has = gpu.total_memory / 1e9
    if has < needed:
        reason = f"{gpu.name} has {has:.0f} GB, the suite wants {needed:g} GB"
        return missing("machine", "device", f"{reason}; lower backbone.batch, or set backbone.cpu_offload")
    return found("machine", "device", f"{gpu.name}, {has:.0f} GB")


@cache
def torchvision_finding() -> Finding:
    """Does torchvision import beside this torch, by its own operators or by declared ones."""
    try:
        declared = ensure_torchvision_imports()
        import torchvision
    except (ImportError, OSError, RuntimeError) as error:
        cure = "install the torchvision that was built for this torch"
        return missing("machine", "torchvision", f"does not import ({error}); {cure}")
    if declared is None:
        return found("machine", "torchvision", torchvision.__version__)
    reason = "its compiled operators do not fit this torch; nothing here calls them, and they were declared"
    return Finding("machine", "torchvision", State.note, f"{torchvision.__version__}: {reason}")


@cache
def cv2_finding() -> Finding:
    """Does the module that OpenCV's distributions share import."""
    try:
        import cv2
    except (ImportError, OSError) as error:
        cure = "uninstall every opencv package, then pip install opencv-python-headless"
        return missing("machine", "cv2", f"does not import ({error}); {cure}")
    return found("machine", "cv2", f"{cv2.__version__}, {Path(cv2.__file__).parent}")


def backbone_findings(spec: BackboneSpec) -> list[Finding]:
    """Where the backbone lies."""
    if spec.path == NO_BACKBONE:
        return []
    what = spec.path if spec.revision is None else f"{spec.path} at {spec.revision[:12]}"
    try:
        return [found("backbone", what, str(methods.catalog.locate_backbone(spec)))]
    except MethodError as error:
        return [missing("backbone", what, error)]


def method_findings(label: str, suite: Suite) -> list[Finding]:
    """Can the method be built, and is every file and folder there that it reads."""
    try:
        method = build_method(label, suite.settings)
    except (MethodError, SuiteError) as error:
        return [missing("method", label, error)]
    lines = [_file(label, *need, suite.backbone) for need in required_files(method).items()]
    return lines or [found("method", label, "needs no files of its own")]


def _file(label: str, what: str, path: Path, spec: BackboneSpec) -> Finding:
    """One file or folder that a method reads."""
    path = path.expanduser().absolute()
    embedded = spec.path in (EMBEDDED, NO_BACKBONE) or path.is_relative_to(SHIPPED / "clip")
    if path.is_relative_to(SHIPPED) and not embedded:
        reason = f"{what}: the one that ships fits the embedded backbone alone, not {spec.path}"
        return missing("method", label, f"{reason}; train or fetch one, and name it in [methods.{label}]")
    if not path.exists() or (path.is_dir() and not any(path.iterdir())):
        cure = f"put it there, or name another in [methods.{label}]"
        return missing("method", label, f"{what}: {path} is not there; {cure}")
    return found("method", label, f"{what}: {path}")


def metric_findings(suite: Suite) -> list[Finding]:
    """Every encoder, opened for real."""
    from metrics.catalog import examine as opened

    try:
        seen = opened(suite.metrics, suite.encoders)
    except MetricError as error:
        return [missing("metric", "encoders", error)]
    return [_encoder(name, fingerprint, suite) for name, fingerprint in seen.items()]


def _encoder(name: str, fingerprint: Any, suite: Suite) -> Finding:
    if isinstance(fingerprint, MetricError):
        return missing("metric", name, fingerprint)
    path = suite.encoders.get(name, {}).get("path")
    network = fingerprint.get("network") or fingerprint.get("detector") or "opens"
    return found("metric", name, f"{network}, {Path(path).expanduser().absolute()}" if path else str(network))


def main() -> None:
    """Print the findings of every suite named, with the methods that come first, joined by commas."""
    sys.path.append(str(Path.cwd()))
    asked, *names = sys.argv[1:]
    suites = [open_suite(name).suite for name in names]
    lines = {suite.name: examine(suite, method_labels(asked.split(","), suite)) for suite in suites}
    told = {name: [dataclasses.asdict(line) for line in of_suite] for name, of_suite in lines.items()}
    sys.stdout.write(json.dumps(told))


if __name__ == "__main__":
    main()
