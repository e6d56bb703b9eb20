"""The contract of a personalisation method: fit one subject's photographs, then generate images of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal, Protocol, runtime_checkable

from PIL.Image import Image

from methods.subject import Request, Subject, Wording

if TYPE_CHECKING:
    from methods.backbone.backbone import Backbone

Role = Literal["floor", "ceiling", "method"]
"""Lower bound of identity, upper bound of identity, or a method to compare with both."""


Saved = Callable[[int], None]
"""Called with a number of steps when the state after them is saved."""


@dataclass(frozen=True)
class Checkpoints:
    """States of one fit to save: folders, which exist and are empty, by number of steps."""

    folders: Mapping[int, Path]
    saved: Saved = lambda steps: None

    @property
    def last(self) -> int:
        """The largest number of steps, after which training ends."""
        return max(self.folders)

    def after_step(self, write: Callable[[Path], None]) -> Saved:
        """Return the function that a training loop calls after each step, with the number of steps so far."""

        def after(steps: int) -> None:
            if steps in self.folders:
                write(self.folders[steps])
                self.saved(steps)

        return after


class Personalised(Protocol):
    """A method after fitting one subject. The runner calls it; it leaves the backbone unchanged."""

    def generate(self, requests: Sequence[Request]) -> list[Image]:
        """Return one RGB image per request, in order; an image depends on its own request alone.

        A class may also have `session()`, a context in which a change to the backbone, such as a LoRA, stays
        loaded between the calls of `generate`. The runner opens it around the batches of one person, outside
        their timing.
        """
        ...


class Method(Protocol):
    """A personalisation method: a frozen dataclass whose fields are its settings.

    The runner calls `unsupported_reason`, then `fit`, then `load`, possibly in different processes: `load`
    reads nothing but the folder that `fit` wrote. Both leave the backbone unchanged. `MethodBase` has
    defaults for all members but `name`, `fit` and `load`.
    """

    @property
    def name(self) -> str:
        """The method's own name, as in the catalogue."""
        ...

    @property
    def conditioning_encoders(self) -> frozenset[str]:
        """Names of the encoders the method conditions on (`clip-embedded`, ...).

        A metric that uses the same encoder is marked as overlapping.
        """
        ...

    @property
    def optimised_against(self) -> frozenset[str]:
        """Names of the encoders in the training loss or reward of the pretrained weights, or of `fit`.

        A metric that uses the same encoder is marked as overlapping.
        """
        ...

    @property
    def weights(self) -> tuple[Path, ...]:
        """The method's own pretrained files, whose digests are part of every image's fingerprint."""
        ...

    @property
    def trained_on(self) -> frozenset[str]:
        """Datasets, parts of them, or single people that the pretrained weights were trained on.

        `celeba`, `celeba-train`, `celeba-train/2880`: the longer name is a part of the shorter one.
        """
        ...

    @property
    def required_files(self) -> Mapping[str, Path]:
        """Files and folders that must exist before `fit`, by what they are (`adapter`)."""
        ...

    @property
    def role(self) -> Role:
        """The method's place in a comparison; a class attribute."""
        ...

    @property
    def generates_class_images(self) -> bool:
        """Whether requests without the subject are supported; a literal in the class body."""
        ...

    def unsupported_reason(self, subject: Subject) -> str | None:
        """Return one line on why this subject cannot be fitted, or None."""
        ...

    def wording(self, subject: Subject) -> Wording | None:
        """Return the texts that are encoded for this subject, whose photographs may be empty; or None."""
        ...

    def fit(self, subject: Subject, into: Path, *, backbone: Backbone, seed: int) -> None:
        """Learn the subject and write the result into the folder `into`, which exists and is empty."""
        ...

    def load(self, fitted: Path, *, backbone: Backbone) -> Personalised:
        """Read what `fit` wrote."""
        ...


@runtime_checkable
class SavesCheckpoints(Protocol):
    """A method whose fit can save its state after several numbers of steps; the runner makes a row of each.

    A state must be the same whichever others are saved.
    """

    @property
    def steps(self) -> int:
        """Number of steps of the whole fit, which a schedule of the learning rate depends on."""
        ...

    def fit_checkpoints(
        self, subject: Subject, checkpoints: Checkpoints, *, backbone: Backbone, seed: int
    ) -> None:
        """As `fit`, with the state after each number of steps in its own folder, which `load` reads."""
        ...


class MethodBase:
    """Defaults for the optional members of `Method`: no encoders, no weights, at least one reference."""

    role: ClassVar[Role] = "method"
    generates_class_images: ClassVar[bool] = True
    has_costs: ClassVar[bool] = True

    @property
    def name(self) -> str:
        raise NotImplementedError

    @property
    def conditioning_encoders(self) -> frozenset[str]:
        return frozenset()

    @property
    def optimised_against(self) -> frozenset[str]:
        return frozenset()

    @property
    def weights(self) -> tuple[Path, ...]:
        return ()

    @property
    def trained_on(self) -> frozenset[str]:
        return frozenset()

    @property
    def required_files(self) -> Mapping[str, Path]:
        return {path.name: path for path in self.weights}

    def unsupported_reason(self, subject: Subject) -> str | None:
        if not subject.references:
            return f"{subject.id}: no reference photos; {self.name} needs at least 1"
        return None

    def wording(self, subject: Subject) -> Wording | None:
        return Wording(subject.phrase)


def role_of(method: Method) -> Role:
    """`method.role`; `method` for a class without the member."""
    role: Role = getattr(method, "role", "method")
    return role


def trained_on(method: Method) -> frozenset[str]:
    """`method.trained_on`; empty for a class without the member that does not derive from `MethodBase`."""
    found: frozenset[str] = getattr(method, "trained_on", frozenset())
    return found


def optimised_against(method: Method) -> frozenset[str]:
    """`method.optimised_against`; empty for a class without the member, as `trained_on`."""
    found: frozenset[str] = getattr(method, "optimised_against", frozenset())
    return found


def wording(method: Method, subject: Subject) -> Wording | None:
    """`method.wording(subject)`; the plain noun phrase for a class without the member, as `trained_on`."""
    own = getattr(method, "wording", None)
    found: Wording | None = own(subject) if own is not None else Wording(subject.phrase)
    return found


def required_files(method: Method) -> Mapping[str, Path]:
    """`method.required_files`; its `weights` for a class without the member, as `trained_on`."""
    weights = {path.name: path for path in method.weights}
    found: Mapping[str, Path] = getattr(method, "required_files", weights)
    return found
