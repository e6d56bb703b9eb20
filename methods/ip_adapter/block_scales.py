"""Weights of the image tokens by block of the U-Net, nested as in diffusers' `set_ip_adapter_scale`.

`{"down": {"block_2": [0.0, 1.0]}, "up": {"block_0": 0.5}}`: a block has one number, or one for each of its
transformers. Blocks without a number have 0.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from methods.errors import MethodError

BlockScales = dict[str, Any]
Blocks = Mapping[str, int]
"""Number of transformers by block: `down.block_1`, `mid`."""

PARTS: Final = ("down", "mid", "up")
LIMIT: Final = 100
"""Largest absolute value, as of a setting that is one number."""


def check_block_scales(method: str, scale: float | BlockScales, blocks: Blocks | None = None) -> None:
    """Raise MethodError for scales that diffusers would ignore or refuse; `blocks` are those of the U-Net."""
    for place, value in _leaves(scale) if isinstance(scale, dict) else ():
        part = place.partition(".")[0]
        values = value if isinstance(value, list | tuple) else [value]
        if part not in PARTS or not values or not all(map(_is_scale, values)):
            raise MethodError(
                f"{method}: scale of {place} is {value!r}; expected numbers from -{LIMIT} to {LIMIT} "
                f"for blocks of {', '.join(PARTS)}, such as up = {{ block_0 = 0.5 }}"
            )
        if blocks is None:
            continue
        # A part without blocks stands for all of its blocks.
        named = [place] if place in blocks else [b for b in blocks if b.startswith(f"{place}.block")]
        if not named:
            raise MethodError(f"{method}: scale of {place}; this backbone has {', '.join(blocks)}")
        for block in named:
            if len(values) not in (1, blocks[block]):
                raise MethodError(
                    f"{method}: scale of {place} has {len(values)} numbers; {block} has {blocks[block]} "
                    "transformers"
                )


def _leaves(scale: BlockScales) -> Iterator[tuple[str, Any]]:
    """The values by block: `up.block_0`, or `up` for all blocks of a part."""
    for part, value in scale.items():
        if isinstance(value, dict):
            yield from ((f"{part}.{block}", own) for block, own in value.items())
        else:
            yield part, value


def _is_scale(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= LIMIT
