"""Checks that need torch and the other heavy libraries; `bench doctor` runs them in a subprocess.

`python -m bench.doctor.library_checks METHODS SUITE ...` prints a JSON object with the findings by
suite. Nothing is downloaded.
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
from bench.runs.row_methods import build_method, method_labels
from bench.suite.suite import NO_BACKBONE, Suite, open_suite
from bench.torchvision_compat import ensure_torchvision_imports
from bench.working_folder import working_folder
from methods.backbone.spec import EMBEDDED, EMBEDDED_FLOW, SHIPPED_BACKBONES, BackboneSpec
from methods.backbone_access import backbone_parts
from methods.errors import MethodError
from methods.interface import required_files
from metrics.interface import MetricError

SHIPPED_WEIGHTS: Final = Path(methods.catalog.__file__).parent / "weights"
"""The shipped weights; all but the image encoder fit one of the shipped backbones only."""


def examine(suite: Suite, labels: Sequence[str]) -> list[Finding]:
    """Check machine, backbone, methods and encoders, in this order."""
    torch_line = torch_finding()
    lines = [torch_line]
    device = device_finding(suite) if torch_line.met else None
    if device:
        lines += [device, torchvision_finding()]
    lines.append(cv2_finding())
    if not all(line.met for line in lines if line.what != "device"):
        reason = "backbone, methods and metrics were not checked; fix the findings above first"
        return [*lines, missing("machine", "remaining checks", reason)]
    method_lines = [line for label in labels for line in method_findings(label, suite)]
    encoders = metric_findings(suite, on_cpu=device is not None and not device.met)
    return [*lines, *backbone_findings(suite.backbone), *method_lines, *encoders]


@cache
def torch_finding() -> Finding:
    """Check that torch can be imported."""
    try:
        import torch
    except (ImportError, OSError) as error:
        return missing("machine", "torch", f"cannot be imported ({error}); reinstall it")
    threads = f"{torch.get_num_threads()} threads"
    return found("machine", "torch", f"{torch.__version__}, {threads}, {Path(torch.__file__).parent}")


def device_finding(suite: Suite) -> Finding:
    """Check that the suite's device exists and has enough memory."""
    import torch

    device, needed = suite.backbone.device, suite.needs.gpu_memory
    if device == "cpu" or not (torch.cuda.is_available() or device == "cuda" or needed):
        return found("machine", "device", f"cpu, {os.cpu_count()} cores")
    if not torch.cuda.is_available():
        reason = f"torch {torch.__version__} finds no CUDA device, the suite needs one with {needed:g} GB"
        return missing("machine", "device", f"{reason}; use a machine with one and a CUDA build of torch")
    gpu = torch.cuda.get_device_properties(0)
    memory = gpu.total_memory / 1e9
    if memory < needed:
        reason = f"{gpu.name} has {memory:.0f} GB, the suite needs {needed:g} GB"
        return missing("machine", "device", f"{reason}; {less_memory(suite.backbone)}")
    return found("machine", "device", f"{gpu.name}, {memory:.0f} GB")


def less_memory(spec: BackboneSpec) -> str:
    """What takes less memory of the GPU than the backbone's present settings."""
    remedies = {
        False: 'lower backbone.batch, or set backbone.cpu_offload = true, or "sequential", the least',
        True: 'lower backbone.batch, or set backbone.cpu_offload = "sequential", in which nothing is trained',
        "sequential": "lower backbone.batch or backbone.resolution",
    }
    return remedies["sequential" if spec.cpu_offload == "sequential" else bool(spec.cpu_offload)]


@cache
def torchvision_finding() -> Finding:
    """Check that torchvision can be imported, with its own operators or with declared ones."""
    try:
        declared = ensure_torchvision_imports()
        import torchvision
    except (ImportError, OSError, RuntimeError) as error:
        remedy = "install the torchvision that was built for this torch"
        return missing("machine", "torchvision", f"cannot be imported ({error}); {remedy}")
    if declared is None:
        return found("machine", "torchvision", torchvision.__version__)
    reason = "its compiled operators do not match this torch; they are unused and were declared"
    return Finding("machine", "torchvision", State.note, f"{torchvision.__version__}: {reason}")


@cache
def cv2_finding() -> Finding:
    """Check that OpenCV can be imported."""
    try:
        import cv2
    except (ImportError, OSError) as error:
        remedy = "uninstall every opencv package, then pip install opencv-python-headless"
        return missing("machine", "cv2", f"cannot be imported ({error}); {remedy}")
    return found("machine", "cv2", f"{cv2.__version__}, {Path(cv2.__file__).parent}")


def backbone_findings(spec: BackboneSpec) -> list[Finding]:
    """Check that the backbone's files exist: one finding for each of its parts, such as `transformer`."""
    if spec.path == NO_BACKBONE:
        return []
    what = spec.path if spec.revision is None else f"{spec.path} at {spec.revision[:12]}"
    try:
        parts = backbone_parts(spec)
    except MethodError as error:
        return [missing("backbone", what, error)]
    return [_part_finding(part, content, spec) for part, content in parts.items()]


def _part_finding(part: str, content: tuple[Path, ...] | MethodError, spec: BackboneSpec) -> Finding:
    """State a part's size and folder, or what is missing of it."""
    if isinstance(content, MethodError):
        # The id or folder of the backbone, by which the suite names its source.
        return missing("backbone", part, f"{content} ({spec.path})")
    size = sum(path.stat().st_size for path in content) / 1e9
    files = "1 file" if len(content) == 1 else f"{len(content)} files"
    return found("backbone", part, f"{content[0].parent}: {files}, {size:.2f} GB")


def method_findings(label: str, suite: Suite) -> list[Finding]:
    """Check that the method can be built and all its files and folders exist."""
    try:
        method = build_method(label, suite.settings)
    except (MethodError, SuiteError) as error:
        return [missing("method", label, error)]
    lines = [_file_finding(label, *need, suite.backbone) for need in required_files(method).items()]
    return lines or [found("method", label, "needs no files")]


def _file_finding(label: str, what: str, path: Path, spec: BackboneSpec) -> Finding:
    """Check one file or folder of a method."""
    path = path.expanduser().absolute()
    flow = path.stem.endswith(EMBEDDED_FLOW.removeprefix(EMBEDDED))
    fitting = EMBEDDED_FLOW if flow else EMBEDDED
    fits = spec.path in (fitting, NO_BACKBONE) or path.is_relative_to(SHIPPED_WEIGHTS / "clip")
    if path.is_relative_to(SHIPPED_WEIGHTS) and not fits:
        reason = f"{what}: the shipped one fits the {fitting} backbone only, not {spec.path}"
        train = f"train or download one and set its path in [methods.{label}]"
        ships = spec.path in SHIPPED_BACKBONES
        remedy = f"set it to {spec.path!r} in [methods.{label}]" if ships else train
        return missing("method", label, f"{reason}; {remedy}")
    if not path.exists() or (path.is_dir() and not any(path.iterdir())):
        remedy = f"create it, or set another path in [methods.{label}]"
        return missing("method", label, f"{what}: {path} does not exist; {remedy}")
    return found("method", label, f"{what}: {path}")


def metric_findings(suite: Suite, *, on_cpu: bool = False) -> list[Finding]:
    """Open every encoder; on the CPU where the suite's device is missing, which has its own finding."""
    from metrics.catalog import examine as open_encoders

    settings = {
        name: {key: value for key, value in own.items() if not (on_cpu and key == "device")}
        for name, own in suite.encoders.items()
    }
    try:
        opened = open_encoders(suite.metrics, settings)
    except MetricError as error:
        return [missing("metric", "encoders", error)]
    return [_encoder_finding(name, fingerprint, suite) for name, fingerprint in opened.items()]


def _encoder_finding(name: str, fingerprint: Any, suite: Suite) -> Finding:
    """State whether the network opens, which file it is, and where it comes from."""
    from metrics.catalog import ENCODERS

    if isinstance(fingerprint, MetricError):
        return missing("metric", name, fingerprint)
    network = str(fingerprint.get("network") or fingerprint.get("detector") or "opens")
    parts = [network, fingerprint["file"]] if "file" in fingerprint else [network]
    path = suite.encoders.get(name, {}).get("path")
    if path:
        return found("metric", name, ", ".join([*parts, str(Path(path).expanduser().absolute())]))
    origin = f"; {ENCODERS[name].origin}" if name in ENCODERS else ""
    return found("metric", name, ", ".join(parts) + origin)


def main() -> None:
    """Print the findings of each suite; the first argument is the comma-separated list of methods."""
    if folder := working_folder():
        sys.path.append(str(folder))
    method_list, *names = sys.argv[1:]
    suites = [open_suite(name).suite for name in names]
    lines = {suite.name: examine(suite, method_labels(method_list.split(","), suite)) for suite in suites}
    findings = {
        name: [dataclasses.asdict(line) for line in suite_lines] for name, suite_lines in lines.items()
    }
    sys.stdout.write(json.dumps(findings))


if __name__ == "__main__":
    main()
