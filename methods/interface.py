"""What a personalisation method is: it fits one subject's photographs and draws that subject on request."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from PIL.Image import Image

from methods.subject import Request, Subject

if TYPE_CHECKING:
    from methods.backbone.backbone import Backbone


class Personalised(Protocol):
    """A method after fitting one subject. The generator calls it; it leaves the backbone clean."""

    def generate(self, requests: Sequence[Request]) -> list[Image]:
        """Draw one RGB picture per request, in order; a picture depends on its own request alone."""
        ...


class Method(Protocol):
    """A way to personalise. Implement it by a frozen dataclass whose fields are its settings.

    A method whose weights were trained on people may further say on which, by a property `trained_on`, and
    one that reads files or folders which, by a property `needs` (see the functions of these names).

    The runner calls `objection`, then `fit`, then `load`, possibly in different processes: everything
    that `load` needs must lie in the folder that `fit` wrote. Both hand the backbone back as they got it.
    """

    @property
    def name(self) -> str:
        """The method's own name, as in the catalogue."""
        ...

    @property
    def conditioning_encoders(self) -> frozenset[str]:
        """Names of the encoders the method conditions on, for the leak ledger (`clip-embedded`, ...)."""
        ...

    @property
    def weights(self) -> tuple[Path, ...]:
        """The method's own pretrained files, whose digests enter every picture's fingerprint."""
        ...

    def unsupported_reason(self, subject: Subject) -> str | None:
        """Why this subject cannot be fitted (one clear line), or None."""
        ...

    def fit(self, subject: Subject, into: Path, *, backbone: Backbone, seed: int) -> None:
        """Learn the subject and write what was learnt into the folder `into`, which exists and is empty."""
        ...

    def load(self, fitted: Path, *, backbone: Backbone) -> Personalised:
        """Read what `fit` wrote."""
        ...


def trained_on(method: Method) -> frozenset[str]:
    """Datasets, parts of them, or single people that the method's pretrained weights were trained on.

    `celeba`, `celeba-train`, `celeba-train/2880`: the longer name is a part of the shorter one. What a
    method does not say is taken for nothing.
    """
    found: frozenset[str] = getattr(method, "trained_on", frozenset())
    return found


def needs(method: Method) -> Mapping[str, Path]:
    """Files and folders that must be there before the method can fit, by what they are (`adapter`).

    A method may say so by a property `needs`; of one that does not, its `weights` are asked for.
    """
    found = getattr(method, "needs", None)
    # A method of somebody's own may have a setting of this name.
    return found if isinstance(found, Mapping) else {path.name: path for path in method.weights}
