"""Requests without the subject, for methods whose tokens name it: the backbone's own pictures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Final

from PIL.Image import Image

from methods.subject import Request

if TYPE_CHECKING:
    from methods.backbone.backbone import Backbone

Draw = Callable[[Sequence[Request]], list[Image]]

KEPT: Final = 256
"""Pictures that are kept: of 512 pixels, 200 MB."""


def apart(requests: Sequence[Request], named: Draw, others: Draw) -> list[Image]:
    """Those that name the subject by `named`, the others by `others`; in the order asked."""
    asked = {kind: [r for r in requests if r.names_subject is kind] for kind in (True, False)}
    pictures = {
        True: iter(named(asked[True]) if asked[True] else []),
        False: iter(others(asked[False]) if asked[False] else []),
    }
    return [next(pictures[request.names_subject]) for request in requests]


def drawn_apart(requests: Sequence[Request], draw: Draw, backbone: Backbone) -> list[Image]:
    """As `apart`, the others by the backbone as it is."""
    return apart(requests, draw, partial(_own, backbone=backbone))


def _own(requests: Sequence[Request], backbone: Backbone) -> list[Image]:
    """The backbone's own pictures, drawn once for all methods and people that ask for the same."""
    kept: dict[Request, Image] = backbone.remembered.setdefault(("somebody else",), {})
    missing = [request for request in dict.fromkeys(requests) if request not in kept]
    drawn = backbone.generate([r.template for r in missing], [r.seed for r in missing], few=True)
    there = {**kept, **dict(zip(missing, drawn, strict=True))}
    kept.update((r, there[r]) for r in missing[: max(0, KEPT - len(kept))])
    return [there[request].copy() for request in requests]
