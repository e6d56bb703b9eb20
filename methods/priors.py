"""Requests without the subject, for methods whose tokens name it: the backbone's own pictures."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from PIL.Image import Image

from methods.backbone import Backbone
from methods.interface import Request

Draw = Callable[[Sequence[Request]], list[Image]]


def drawn_apart(requests: Sequence[Request], draw: Draw, backbone: Backbone) -> list[Image]:
    """Those that name the subject by `draw`, the others by the backbone as it is; in the order asked."""
    named = [request for request in requests if request.names_subject]
    others = [request for request in requests if not request.names_subject]
    own = backbone.draw([request.template for request in others], [request.seed for request in others])
    pictures = {True: iter(draw(named) if named else []), False: iter(own)}
    return [next(pictures[request.names_subject]) for request in requests]
