"""Requests without the subject, for methods that leave the backbone's weights unchanged."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from typing import TYPE_CHECKING, Final, Generic, TypeVar

from PIL.Image import Image

from methods.subject import Request

if TYPE_CHECKING:
    from methods.backbone.backbone import Backbone

T = TypeVar("T")
Generate = Callable[[Sequence[Request]], list[Image]]

CACHE_SIZE: Final = 256
"""Maximum number of cached images: 200 MB at 512 pixels, 800 MB at 1024."""


def generate_split(
    requests: Sequence[Request], with_subject: Generate, without_subject: Generate
) -> list[Image]:
    """Generate requests that name the subject by one function, the others by another; in request order."""
    by_kind = {kind: [r for r in requests if r.names_subject is kind] for kind in (True, False)}
    images = {
        True: iter(with_subject(by_kind[True]) if by_kind[True] else []),
        False: iter(without_subject(by_kind[False]) if by_kind[False] else []),
    }
    return [next(images[request.names_subject]) for request in requests]


class KeptChange(Generic[T]):
    """A change to the backbone, such as a LoRA, that stays between the batches of one person."""

    def __init__(self, backbone: Backbone, change: Callable[[], AbstractContextManager[T]]) -> None:
        self.backbone, self.change = backbone, change
        self._kept: tuple[T, int] | None = None

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Make the change once for all uses of `on` within the body."""
        with self.backbone.clean(), self.change() as value:
            self._kept = value, self.backbone.state.restored
            try:
                yield
            finally:
                self._kept = None

    @contextmanager
    def on(self) -> Iterator[T]:
        """Context with the change made; an error in an earlier batch has undone it, so it is made again."""
        if self._kept is not None and self._kept[1] == self.backbone.state.restored:
            yield self._kept[0]
            return
        with self.backbone.clean(), self.change() as value:
            yield value


def generate_with_class_images(
    requests: Sequence[Request], generate: Generate, backbone: Backbone
) -> list[Image]:
    """Generate requests that name the subject by `generate`, the others by the unchanged backbone."""
    return generate_split(requests, generate, partial(_backbone_images, backbone=backbone))


def _backbone_images(requests: Sequence[Request], backbone: Backbone) -> list[Image]:
    """Return the backbone's own images, cached for all methods and people with the same requests."""
    cached: dict[Request, Image] = backbone.cache.setdefault(("prior images",), {})
    missing = [request for request in dict.fromkeys(requests) if request not in cached]
    new = backbone.generate([r.template for r in missing], [r.seed for r in missing], small_batches=True)
    images = {**cached, **dict(zip(missing, new, strict=True))}
    cached.update((r, images[r]) for r in missing[: max(0, CACHE_SIZE - len(cached))])
    return [images[request].copy() for request in requests]
