"""Errors and log settings shared by everything that loads pretrained files."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import diffusers
import transformers
from safetensors import SafetensorError

LOAD_FAULTS: Final = (OSError, ValueError, RuntimeError, KeyError, TypeError, AttributeError, SafetensorError)
"""What the loaders of diffusers and transformers raise for a missing, cut or foreign file."""


def first_line(error: BaseException) -> str:
    """What an error says, cut to one line."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


@contextmanager
def quiet() -> Iterator[None]:
    """Loading says nothing: the harness has its own progress bars."""
    loud = transformers.logging.get_verbosity(), diffusers.logging.get_verbosity()
    bars = transformers.logging.is_progress_bar_enabled(), diffusers.utils.logging.is_progress_bar_enabled()
    transformers.logging.set_verbosity_error()
    diffusers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    diffusers.utils.logging.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            # The pipeline's advice on a folder's scheduler settings.
            warnings.simplefilter("ignore", FutureWarning)
            yield
    finally:
        transformers.logging.set_verbosity(loud[0])
        diffusers.logging.set_verbosity(loud[1])
        if bars[0]:
            transformers.logging.enable_progress_bar()
        if bars[1]:
            diffusers.utils.logging.enable_progress_bar()
