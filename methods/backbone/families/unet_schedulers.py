"""Samplers for U-Nets by name, with the noise schedule of the checkpoint."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any, Final

from diffusers import (
    DDIMScheduler,
    DPMSolverMultistepScheduler,
    EulerDiscreteScheduler,
    PNDMScheduler,
    UniPCMultistepScheduler,
)

from methods.errors import MethodError

SCHEDULERS: Final[Mapping[str, tuple[Any, Mapping[str, Any]]]] = {
    "ddim": (DDIMScheduler, {"clip_sample": False}),
    # Without Karras sigmas: on a cosine schedule steps repeat, and diffusers then indexes past the end.
    "dpm++": (DPMSolverMultistepScheduler, {"algorithm_type": "dpmsolver++", "use_karras_sigmas": False}),
    "euler": (EulerDiscreteScheduler, {}),
    "unipc": (UniPCMultistepScheduler, {}),
    "pndm": (PNDMScheduler, {"skip_prk_steps": True}),
}


def make_scheduler(name: str, own: Any, *, karras: bool = False) -> Any:
    """Return the sampler called `name`, with the noise schedule of the checkpoint's own scheduler.

    `karras` replaces its noise levels; raises MethodError for a sampler without them.
    """
    if name != "own" and name not in SCHEDULERS:
        raise MethodError(f"backbone: unknown scheduler {name!r}; known: own, {', '.join(SCHEDULERS)}")
    cls, options = (type(own), {}) if name == "own" else SCHEDULERS[name]
    if karras:
        if "use_karras_sigmas" not in inspect.signature(cls.__init__).parameters:
            raise MethodError(
                f"backbone: {cls.__name__} has no Karras sigmas; use scheduler = 'dpm++', 'euler' or 'unipc'"
            )
        options = {**options, "use_karras_sigmas": True}
    return cls.from_config(own.config, **options) if options or name != "own" else own
