"""A copy of an object's attributes, to find and undo changes: modules, configs, schedulers, tokenizers."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from torch import Tensor, equal, nn

PLAIN: Final = (int, float, str, bool, tuple, list, dict, np.ndarray, Tensor)
"""Types whose values are compared; other objects are compared by identity."""
IGNORED: Final = frozenset({"training", "deprecation_warnings", "_diffusers_version"})
IGNORED_OF_MODULES: Final = IGNORED | {
    *("_hf_hook", "_diffusers_hook", "_old_forward", "_buffers", "_is_torch_compile", "_weight_conversions"),
    # Checkpointing is on in training mode only.
    *(
        "gradient_checkpointing",
        "_gradient_checkpointing_func",
        "_require_grads_hook",
        "_require_grads_hooks",
    ),
}
"""Attributes without effect on an image, or with a check of their own."""


@dataclass(frozen=True)
class ObjectRecord:
    """An object and its attributes; of a config, which is a dict, also its items, as `[key]`."""

    owner: Any
    attributes: dict[str, Any]

    @classmethod
    def of(cls, owner: Any) -> ObjectRecord:
        return cls(owner, {key: _copied(value) for key, value in _attributes(owner).items()})

    def differences(self, now: Any) -> list[str]:
        """Names of attributes with another value; an attribute that is None equals a missing one.

        `now` is the object that has the owner's place: the owner itself, or another config.
        """
        if now is not self.owner and not isinstance(now, dict):
            return ["replaced"]
        current = _attributes(now)
        changed = [key for key, value in self.attributes.items() if not _same(value, current.get(key))]
        added = [key for key in current.keys() - self.attributes.keys() if current[key] is not None]
        return changed + sorted(added)

    def reset(self) -> None:
        """Give the object its recorded attributes and items, and no others."""
        if isinstance(self.owner, OrderedDict):
            for key in [key for key in self.owner if key not in IGNORED]:
                OrderedDict.__delitem__(self.owner, key)
            # By the base class: a config of diffusers refuses changes of its items.
            for key, value in self.attributes.items():
                if key[0] == "[":
                    OrderedDict.__setitem__(self.owner, key[1:-1], _copied(value))
        current, ignored = vars(self.owner), _ignored(self.owner)
        for key in current.keys() - ignored - self.attributes.keys():
            del current[key]
        for key, value in self.attributes.items():
            if key[0] != "[":
                _put(current, key, value)


def _attributes(owner: Any) -> Mapping[str, Any]:
    ignored = _ignored(owner)
    found = {key: value for key, value in vars(owner).items() if key not in ignored}
    if isinstance(owner, dict):
        found |= {f"[{key}]": value for key, value in owner.items() if key not in ignored}
    return found


def _ignored(owner: Any) -> frozenset[str]:
    if isinstance(owner, nn.Module):
        # Model offload replaces `forward` at every call, sequential offload when LoRA is loaded or removed.
        is_offloaded = hasattr(owner, "_hf_hook") or hasattr(owner, "_diffusers_hook")
        return IGNORED_OF_MODULES | ({"forward"} if is_offloaded else frozenset())
    if hasattr(owner, "components"):
        # A pipeline keeps the state of its last call in private attributes.
        return IGNORED | {key for key in vars(owner) if key.startswith("_")}
    return IGNORED


def _copied(value: Any) -> Any:
    if isinstance(value, Tensor) and not isinstance(value, nn.Parameter):
        return value.detach().clone()
    if isinstance(value, dict) and not _config_attributes(value):
        return {key: _copied(item) for key, item in value.items()}
    return value.copy() if isinstance(value, list | np.ndarray) else value


def _config_attributes(value: Any) -> dict[str, Any]:
    """The attributes of a config of diffusers, which is a dict with a record of its own; else empty."""
    return getattr(value, "__dict__", {})


def _same(old: Any, new: Any) -> bool:
    if old is new:
        return True
    if isinstance(old, dict) and isinstance(new, dict):
        return all(_same(old.get(key), new.get(key)) for key in old.keys() | new.keys())
    if type(old) is not type(new) or isinstance(old, nn.Parameter):
        return False
    if isinstance(old, Tensor):
        return old.shape == new.shape and equal(old.cpu(), new.cpu())
    if isinstance(old, np.ndarray):
        return np.array_equal(old, new)
    if "AttnProcessor" in type(old).__name__ and not isinstance(old, nn.Module):
        # diffusers makes its own processors anew when it removes an adapter.
        return bool(vars(old) == vars(new))
    return isinstance(old, PLAIN) and bool(old == new)


def _put(current: dict[str, Any], key: str, value: Any) -> None:
    if isinstance(value, dict) and not _config_attributes(value) and isinstance(current.get(key), dict):
        # In place, because torch keeps references to the dicts of hooks.
        current[key].clear()
        current[key].update(value)
    else:
        current[key] = _copied(value)
