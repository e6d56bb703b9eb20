"""Errors and log settings for loading pretrained files."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from safetensors import SafetensorError

LOAD_FAULTS: Final = (OSError, ValueError, RuntimeError, KeyError, TypeError, AttributeError, SafetensorError)
"""Errors that diffusers and transformers raise for a missing, truncated or unrelated file."""


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message, or its type."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


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
