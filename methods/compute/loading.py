"""Errors and log settings for loading pretrained files."""

from __future__ import annotations

import hashlib
import pickle
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, Final

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from methods.errors import MethodError

LOAD_FAULTS: Final = (OSError, ValueError, RuntimeError, KeyError, TypeError, AttributeError, SafetensorError)
"""Errors that diffusers and transformers raise for a missing, truncated or unrelated file."""
UNSUPPORTED_OBJECT: Final = re.compile(r"Unsupported (?:global: GLOBAL|class) ([\w.]+)")
"""The class of an object that `torch.load` refuses to unpickle, in its message."""


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message, or its type."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def read_tensors(path: Path) -> tuple[dict[str, Tensor], Mapping[str, str]]:
    """Return the tensors and the metadata of a safetensors file.

    Raises MethodError where it is missing or truncated, is no such file, or has a value that is not finite.
    """
    try:
        with safe_open(path, "pt") as stored:
            tensors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118  # not a mapping
            metadata = stored.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise MethodError(f"{path}: not a safetensors file ({first_line(error)})") from error
    check_finite(path, tensors)
    return tensors, metadata


def read_torch_file(path: Path, *, classes: Sequence[type] = ()) -> Any:
    """Return the content of a file by `torch.save`, which is read without unpickling.

    Tensors, numbers and texts in lists and dicts are read, and objects of `classes`, whose constructors must
    be harmless. Raises MethodError for other objects, and for a file that is missing, cut or of another kind.
    """
    try:
        with torch.serialization.safe_globals(list(classes)):
            return torch.load(path, map_location="cpu", weights_only=True)
    except (*LOAD_FAULTS, pickle.UnpicklingError, EOFError) as error:
        found = UNSUPPORTED_OBJECT.search(str(error))
        reason = f"contains a pickled {found[1]}" if found else f"cannot be read: {first_line(error)}"
        raise MethodError(
            f"{path}: {reason}; expected tensors by name, which are read without unpickling"
        ) from error


def file_digest(path: Path) -> bytes:
    """SHA-256 of a file's content, computed once per process while size and time are unchanged."""
    status = path.stat()
    return _file_digest(path, status.st_mtime_ns, status.st_size)


@cache
def _file_digest(path: Path, mtime: int, size: int) -> bytes:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").digest()


def check_finite(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Raise MethodError for a value that is infinite or not a number: every image would be empty."""
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not bool(tensor.isfinite().all()):
            raise MethodError(f"{path}: {name} is not finite; train or download the file again")


@contextmanager
def quiet() -> Iterator[None]:
    """Silence the libraries' logs and progress bars; the harness has its own."""
    import diffusers
    import transformers

    verbosity = transformers.logging.get_verbosity(), diffusers.logging.get_verbosity()
    bars = transformers.logging.is_progress_bar_enabled(), diffusers.utils.logging.is_progress_bar_enabled()
    transformers.logging.set_verbosity_error()
    diffusers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    diffusers.utils.logging.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            # diffusers' advice on scheduler settings of a checkpoint.
            warnings.simplefilter("ignore", FutureWarning)
            yield
    finally:
        transformers.logging.set_verbosity(verbosity[0])
        diffusers.logging.set_verbosity(verbosity[1])
        if bars[0]:
            transformers.logging.enable_progress_bar()
        if bars[1]:
            diffusers.utils.logging.enable_progress_bar()
