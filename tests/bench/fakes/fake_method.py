"""A method that needs no backbone: it stamps prompt and seed into the pixels, to be read back by a test."""

import hashlib
import os
import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from PIL import Image

from methods.errors import MethodError
from methods.subject import Request, Subject

SIDE = 32


@dataclass(frozen=True)
class FakeMethod:
    """Knows the subject's first caption, and how each thing can go wrong."""

    name: ClassVar[str] = "fake"
    fails_on: str = ""
    """A word of the prompt that makes drawing fail."""
    needs: int = 1
    """Reference photos."""
    pause: float = 0.0
    """Seconds per picture."""
    fit_fails: bool = False

    @property
    def conditioning_encoders(self) -> frozenset[str]:
        return frozenset({"fake-eye"})

    @property
    def weights(self) -> tuple[Path, ...]:
        return ()

    def unsupported_reason(self, subject: Subject) -> str | None:
        if len(subject.references) < self.needs:
            return f"{subject.id}: {len(subject.references)} photos, fake needs {self.needs}"
        return None

    def fit(self, subject: Subject, into: Path, *, backbone: Any, seed: int) -> None:
        if self.fit_fails:
            raise RuntimeError("the fit fell over")
        time.sleep(self.pause)
        (into / "subject.txt").write_text(f"{subject.id} {seed} {subject.references[0].caption}")

    def load(self, fitted: Path, *, backbone: Any) -> "Stamps":
        return Stamps((fitted / "subject.txt").read_text(), self)


@dataclass(frozen=True)
class Stamps:
    """After fitting."""

    subject: str
    method: FakeMethod

    def generate(self, requests: Sequence[Request]) -> list[Image.Image]:
        # The neighbours' seeds are stamped in too: the worst method there can be for a resumed run.
        neighbours = " ".join(str(request.seed) for request in requests)
        return [self._stamp(request, neighbours) for request in requests]

    def _stamp(self, request: Request, neighbours: str) -> Image.Image:
        if self.method.fails_on and self.method.fails_on in request.template:
            raise MethodError(f"cannot draw {request.template!r}")
        time.sleep(self.method.pause)
        return stamp(f"{request.seed}|{request.template}|{neighbours}|{self.subject}")


class LeavesTooFew(FakeMethod):
    """Returns one picture whatever is asked."""

    def load(self, fitted: Path, *, backbone: Any) -> Any:
        return OnePicture()


class OnePicture:
    def generate(self, requests: Sequence[Request]) -> list[Image.Image]:
        return [stamp("one")]


def stamp(text: str) -> Image.Image:
    """The text as the picture's first bytes, then noise that only the text decides."""
    content = text.encode()
    head = len(content).to_bytes(2, "big") + content
    noise = hashlib.shake_128(content).digest(SIDE * SIDE * 3)
    return Image.frombytes("RGB", (SIDE, SIDE), (head + noise)[: SIDE * SIDE * 3])


def read_stamp(picture: Image.Image) -> str:
    """What `stamp` wrote."""
    content = picture.convert("RGB").tobytes()
    return content[2 : 2 + int.from_bytes(content[:2], "big")].decode()


class KillsItsWorker(FakeMethod):
    """Its process ends without a word when it meets bob."""

    def fit(self, subject: Subject, into: Path, *, backbone: Any, seed: int) -> None:
        if subject.id == "bob":
            os.kill(os.getpid(), signal.SIGKILL)
        super().fit(subject, into, backbone=backbone, seed=seed)
