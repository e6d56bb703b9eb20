"""Checks that an optimisation learned something."""

from __future__ import annotations

from typing import Final

from torch import Tensor

from methods.errors import MethodError

SCALE_SEARCH: Final = 16
"""Skipped steps after which the loss scale, 2^16 at first, is 1."""


def check_losses(name: str, losses: Tensor) -> None:
    """Raise MethodError for a loss that is not finite; `losses` is (steps,)."""
    if not bool(losses.isfinite().all()):
        step = int(losses.isfinite().logical_not().nonzero()[0]) + 1
        raise MethodError(
            f"{name}: the loss of step {step} is not finite; lower learning_rate, or use bf16 or fp32"
        )


def check_skipped(name: str, skipped: int, steps: int) -> None:
    """Raise MethodError where fp16 overflowed in so many steps that little was learned.

    The loss scale starts high and is found by skipping steps; a short fit has few to skip.
    """
    if skipped > min(SCALE_SEARCH, steps // 2) + steps // 20:
        raise MethodError(
            f"{name}: {skipped} of {steps} steps were skipped, because gradients overflowed in fp16; train "
            "in bf16 or fp32, or with more steps"
        )
