"""The error that methods, backbones and pretraining raise for wrong input."""

from __future__ import annotations


class MethodError(Exception):
    """A method cannot do what was asked; the message says where, what was seen, and what to do."""
