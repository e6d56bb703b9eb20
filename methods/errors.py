"""The error that methods, backbones and pretraining raise for wrong input."""

from __future__ import annotations


class MethodError(Exception):
    """A method cannot do what was requested; one line with the place, the value found and the next step."""
