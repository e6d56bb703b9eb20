"""The backbone of a run before it is loaded: its files and device, and how a process opens it."""

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, Literal

from bench.suite.suite import NO_BACKBONE
from bench.torchvision_compat import ensure_torchvision_imports
from methods.backbone.spec import BackboneSpec, TextLimit
from methods.backbone_access import device_of, excess_tokens, locate_backbone, open_backbone

Device = Literal["auto", "cpu", "cuda"]
THREAD_VARIABLES: Final = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
"""Read by torch and numpy when they are imported."""


@dataclass(frozen=True)
class BackboneSource:
    """A backbone whose files were found, but not loaded; can be pickled."""

    spec: BackboneSpec
    device: Literal["cpu", "cuda"]
    folder: Path
    """Folder of the configs."""
    files: tuple[Path, ...]
    denoiser: str
    """The class of the backbone's family, `module:Class`."""
    text_limits: tuple[TextLimit, ...]

    @property
    def file_bytes(self) -> int:
        """Size of all files."""
        return sum(path.stat().st_size for path in self.files)

    def excess_tokens(self, texts: Sequence[str]) -> list[dict[str, int]]:
        """How many tokens of each text each text encoder cuts off; 0 if the text fits."""
        return excess_tokens(self.folder, self.text_limits, texts)


def find_backbone(spec: BackboneSpec, device: Device) -> BackboneSource | None:
    """Find the backbone's files and check that they are complete; None for a suite without a backbone.

    Raises MethodError where it is missing.
    """
    if spec.path == NO_BACKBONE:
        return None
    chosen = spec if device == "auto" else replace(spec, device=device)
    location = locate_backbone(chosen, fetch=True)
    return BackboneSource(
        chosen,
        device_of(chosen),
        location.folder,
        location.files(),
        location.denoiser,
        location.text_limits(chosen.max_sequence_length),
    )


def opened(source: BackboneSource | None) -> Any:
    """The backbone, loaded once per process; None where there is none. Raises MethodError if it is broken."""
    ensure_torchvision_imports()
    if source is None or source.device == "cpu":
        use_one_thread()
    return _loaded(source)


@lru_cache(maxsize=1)
def _loaded(source: BackboneSource | None) -> Any:
    return None if source is None else open_backbone(source.spec)


def use_one_thread() -> None:
    """Compute with one thread in this process.

    The sums of several threads depend on their number, so images would depend on the machine. Several
    processes use the cores better, too.
    """
    for name in THREAD_VARIABLES:
        os.environ[name] = "1"
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(1)


@contextmanager
def environment(**variables: str) -> Iterator[None]:
    """Set environment variables for the processes that are started inside the block."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
