"""Requests without the subject, for methods whose tokens name it: the backbone's own pictures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

from PIL.Image import Image

from methods.interface import Request

if TYPE_CHECKING:
    from methods.backbone import Backbone

Draw = Callable[[Sequence[Request]], list[Image]]

KEPT: Final = 256
"""Pictures that are kept: of 512 pixels, 200 MB."""


def drawn_apart(requests: Sequence[Request], draw: Draw, backbone: Backbone) -> list[Image]:
    """Those that name the subject by `draw`, the others by the backbone as it is; in the order asked."""
    named = [request for request in requests if request.names_subject]
    others = [request for request in requests if not request.names_subject]
    pictures = {True: iter(draw(named) if named else []), False: iter(_own(others, backbone))}
    return [next(pictures[request.names_subject]) for request in requests]


def _own(requests: Sequence[Request], backbone: Backbone) -> list[Image]:
    """The backbone's own pictures, drawn once for all methods and people that ask for the same."""
    kept: dict[Request, Image] = backbone.remembered.setdefault(("somebody else",), {})
    missing = [request for request in dict.fromkeys(requests) if request not in kept]
    drawn = backbone.draw([r.template for r in missing], [r.seed for r in missing])
    there = {**kept, **dict(zip(missing, drawn, strict=True))}
    kept.update((r, there[r]) for r in missing[: max(0, KEPT - len(kept))])
    return [there[request].copy() for request in requests]
