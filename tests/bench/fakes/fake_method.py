"""A method without a backbone: it writes prompt and seed into the pixels, where a test can read them."""

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
from methods.interface import Checkpoints
from methods.subject import Request, Subject

SIDE = 32


@dataclass(frozen=True)
class FakeMethod:
    """Uses the subject's first caption; settings make each step fail."""

    name: ClassVar[str] = "fake"
    fails_on: str = ""
    """Prompts that contain this text fail."""
    needs: int = 1
    """Required number of reference photos."""
    pause: float = 0.0
    """Seconds per image."""
    fit_fails: bool = False
    mark: str = ""
    """Changes every image."""

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
            raise RuntimeError("the fit failed")
        time.sleep(self.pause)
        (into / "subject.txt").write_text(f"{subject.id} {seed} {subject.references[0].caption}")

    def load(self, fitted: Path, *, backbone: Any) -> "FittedFake":
        return FittedFake((fitted / "subject.txt").read_text(), self)


@dataclass(frozen=True)
class FittedFake:
    """The fitted method."""

    subject: str
    method: FakeMethod

    def generate(self, requests: Sequence[Request]) -> list[Image.Image]:
        # An image depends on its neighbours' seeds, which is the worst case for a resumed run.
        neighbours = " ".join(str(request.seed) for request in requests)
        return [self._stamp(request, neighbours) for request in requests]

    def _stamp(self, request: Request, neighbours: str) -> Image.Image:
        if self.method.fails_on and self.method.fails_on in request.template:
            raise MethodError(f"cannot generate {request.template!r}")
        time.sleep(self.method.pause)
        return stamp(f"{request.seed}|{request.template}|{neighbours}|{self.subject}{self.method.mark}")


@dataclass(frozen=True)
class FakeWithCheckpoints(FakeMethod):
    """Its fit has steps, whose number is the state."""

    steps: int = 4
    log: str = ""
    """File that gets a line for each step."""

    def fit(self, subject: Subject, into: Path, *, backbone: Any, seed: int) -> None:
        self.fit_checkpoints(subject, Checkpoints({self.steps: into}), backbone=backbone, seed=seed)

    def fit_checkpoints(
        self, subject: Subject, checkpoints: Checkpoints, *, backbone: Any, seed: int
    ) -> None:
        if self.fit_fails:
            raise RuntimeError("the fit failed")
        for step in range(1, checkpoints.last + 1):
            time.sleep(self.pause)
            with Path(self.log).open("a") as log:
                log.write(f"{step}\n")
            checkpoints.after_step(lambda folder, step=step: self._write(folder, subject, seed, step))(step)

    def _write(self, folder: Path, subject: Subject, seed: int, step: int) -> None:
        (folder / "subject.txt").write_text(f"{subject.id} {seed} step-{step}")


class ReturnsOneImage(FakeMethod):
    """Returns a single image for any number of requests."""

    def load(self, fitted: Path, *, backbone: Any) -> Any:
        return OneImage()


class OneImage:
    def generate(self, requests: Sequence[Request]) -> list[Image.Image]:
        return [stamp("one")]


def stamp(text: str) -> Image.Image:
    """An image of the text's bytes, followed by noise that depends only on the text."""
    content = text.encode()
    head = len(content).to_bytes(2, "big") + content
    noise = hashlib.shake_128(content).digest(SIDE * SIDE * 3)
    return Image.frombytes("RGB", (SIDE, SIDE), (head + noise)[: SIDE * SIDE * 3])


def read_stamp(image: Image.Image) -> str:
    """The text that `stamp` wrote."""
    content = image.convert("RGB").tobytes()
    return content[2 : 2 + int.from_bytes(content[:2], "big")].decode()


class KillsItsWorker(FakeMethod):
    """Kills its own process when it fits bob."""

    def fit(self, subject: Subject, into: Path, *, backbone: Any, seed: int) -> None:
        if subject.id == "bob":
            os.kill(os.getpid(), signal.SIGKILL)
        super().fit(subject, into, backbone=backbone, seed=seed)
