"""What a personalisation method is: it fits one subject's photographs and draws that subject on request."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, Protocol

from PIL.Image import Image

if TYPE_CHECKING:
    from methods.backbone import Backbone


SLOT: Final = "{subject}"


@dataclass(frozen=True)
class Photo:
    """One captioned photograph of the subject."""

    image: Image
    """RGB, upright, any size."""
    caption: str
    """A sentence with the slot `{subject}`, such as `a photo of {subject}, smiling`."""


@dataclass(frozen=True)
class Subject:
    """All that a method may know of a person: never the held-out photographs it is judged by."""

    id: str
    noun: str
    """The class noun without article: `man`, `woman`, `person`, `dog`."""
    references: tuple[Photo, ...]

    @property
    def phrase(self) -> str:
        """The plain noun phrase that fills a caption's slot: `a man`, `an elephant`."""
        article = "an" if self.noun[:1].lower() in "aeiou" else "a"
        return f"{article} {self.noun}"


@dataclass(frozen=True)
class Request:
    """One picture to draw.

    A template without the slot, such as `a photo of a man`, asks for somebody else of that noun: the
    personalised model as it stands, without whatever names the subject. The backbone's changed weights
    (LoRA) stay loaded, for they are the model; an adapter's image tokens are its name for the subject and
    stay away, so that it draws the backbone's own picture.
    """

    template: str
    """The prompt with the slot `{subject}`, which the method fills with its own words."""
    seed: int
    """The seed of this picture's starting noise; the same for every method."""

    @property
    def names_subject(self) -> bool:
        """Whether the subject is asked for."""
        return SLOT in self.template


EMBEDDED: Final = "embedded"


@dataclass(frozen=True)
class BackboneSpec:
    """Which backbone, and how it draws."""

    path: str = EMBEDDED
    """A Stable Diffusion (1, 2 or XL) folder in diffusers' layout, a hub id, a single `.safetensors` file,
    or `embedded` for the one that ships here."""
    revision: str | None = None
    """The hub's commit, 40 digits, which a hub id needs; of no meaning for a folder."""
    variant: str | None = None
    """Which of a folder's weights, such as `fp16` for `model.fp16.safetensors`; None: the unmarked."""
    config: str | None = None
    """For a single file: the folder, or hub id and commit (`owner/name@commit`), of the model it was made
    from, whose configs, tokenizers and scheduler it goes with. Above all they say what the U-Net predicts."""
    scheduler: str = "own"
    """`ddim`, `dpm++`, `euler`, `unipc`, `pndm`, or `own` for the folder's."""
    steps: int = 30
    guidance: float = 7.5
    negative_prompt: str = ""
    resolution: int | None = None
    """Side of a picture in pixels; None is the one the U-Net was made for."""
    dtype: Literal["fp32", "fp16", "bf16"] = "fp32"
    device: Literal["auto", "cpu", "cuda"] = "auto"
    batch: int = 8
    """Pictures drawn at once. Always exactly so many: a picture's bytes depend on the batch's size."""
    attention_slicing: bool = False
    """Draw with attention to one picture at a time: less memory, slower. A method's own layers stay whole."""
    vae_slicing: bool = False
    """Decode and encode one picture at a time."""
    vae_tiling: bool = False
    """Decode and encode large pictures in overlapping tiles, with faint differences where they meet."""
    cpu_offload: bool = False
    """Each network on the GPU only while it works: fits a small GPU, slower."""
    compile: bool = False
    """Draw with a compiled U-Net (`torch.compile`): minutes to begin with, then faster. Needs a compiler."""


FLAW: Final = "flaw"
"""Key of a picture's `info` by which it says why it shows nothing: `nan` where it was not numbers."""


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
    def sees(self) -> frozenset[str]:
        """Names of the encoders the method conditions on, for the leak ledger (`clip-embedded`, ...)."""
        ...

    @property
    def weights(self) -> tuple[Path, ...]:
        """The method's own pretrained files, whose digests enter every picture's fingerprint."""
        ...

    def objection(self, subject: Subject) -> str | None:
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


class MethodError(Exception):
    """A method cannot do what was asked; the message says where, what was seen, and what to do."""
