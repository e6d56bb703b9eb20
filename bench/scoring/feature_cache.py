"""The features of images that scoring keeps on disk, for later runs of the same encoders."""

import os
import platform
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from bench.scoring.suite_metrics import Metrics, components_of, fingerprint_parts, settings_of
from metrics.catalog import keep_features, open_feature_store

VARIABLE: Final = "PERSONABENCH_CACHE"
"""Environment variable with the cache folder; empty for none."""
Warn = Callable[[str], None]


@contextmanager
def kept_features(metrics: Metrics, folder: Path | None, warn: Warn) -> Iterator[None]:
    """Inside the block, encoders read known features from the cache folder, and store new ones.

    Features are found by the encoder (weights, settings, versions, code, machine) and by the pixels of the
    image. None as the folder keeps nothing. A folder that cannot be written is reported in one line.
    """
    if folder is None:
        yield
        return
    store = open_feature_store(folder / "features", warn)
    machine = _machine()
    for metric in metrics.all:
        for part in components_of(metric):
            if hasattr(part, "fingerprint"):
                keep_features(part, store, {**settings_of(part), **fingerprint_parts(part), **machine})
    try:
        yield
    finally:
        store.flush()


def cache_folder(chosen: Path | None) -> Path | None:
    """The chosen folder, or that of the environment variable, or the user's; None if there is none."""
    if chosen is not None:
        return chosen
    if VARIABLE in os.environ:
        return Path(os.environ[VARIABLE]).expanduser() if os.environ[VARIABLE] else None
    with suppress(RuntimeError):  # no home folder
        return _user_caches() / "personabench"
    return None


def _user_caches() -> Path:
    """Where the platform keeps the caches of programs."""
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")


def _machine() -> dict[str, str]:
    """Processor and GPU: libraries choose their kernels by them, which changes last digits."""
    torch = sys.modules.get("torch")
    cuda = torch is not None and torch.cuda.is_available()
    return {
        "processor": f"{platform.machine()} {_processor()}",
        "gpu": torch.cuda.get_device_name() if torch is not None and cuda else "",
    }


def _processor() -> str:
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor()
