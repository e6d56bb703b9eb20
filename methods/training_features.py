"""All that frozen networks say of a training set, computed once: latents, patch tokens, sentences."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from methods.backbone import Backbone
from methods.image_encoder import ImageEncoder
from methods.interface import MethodError
from methods.pictures import from_bytes
from methods.training import Progress
from methods.training_set import TrainingSet

EMBEDS = "embeds.npy"
STORED = ("latents", "patches", "sentences", "pooled", "captions")


@dataclass(frozen=True)
class TrainingFeatures:
    """N photographs and their mirror images; M distinct sentences, the first of which is empty.

    The second axis of `latents`, `patches` and `captions` is (as it is, mirrored).
    """

    latents: Tensor
    """N x 2 x C x h x w, half."""
    patches: Tensor
    """N x 2 x L x E, half: the image encoder's last layer but one."""
    sentences: Tensor
    """M x T x D, half: the text encoder's tokens."""
    pooled: Tensor
    """M x P, half: the text encoder's state at each sentence's end."""
    captions: Tensor
    """N x 2 x variants, indices into the sentences."""
    embeds: Tensor | None
    """N x 2 x P, half: the image encoder's projected embeddings; None where nobody asked for them."""
    nothing: Tensor
    """L x E: patch tokens of no picture."""
    order: Tensor
    """Rows sorted by person."""
    start: Tensor
    """Where each person's rows begin in `order`."""
    count: Tensor
    """How many rows each person has."""

    def caption_of(self, rows: Tensor, mirrored: Tensor, generator: torch.Generator) -> Tensor:
        """One of each photograph's sentences, as an index."""
        variant = torch.randint(self.captions.shape[2], rows.shape, generator=generator)
        return self.captions[rows, mirrored.long(), variant.to(rows.device)]

    def people(self, *, photos: int) -> Tensor:
        """The persons with at least so many photographs."""
        return torch.nonzero(self.count >= photos).squeeze(1)

    def photos_of(self, people: Tensor, count: int, generator: torch.Generator) -> Tensor:
        """`count` different photographs of each person, in random order: rows, (B, count)."""
        chance = torch.rand(len(people), int(self.count.max()), generator=generator)
        has = torch.arange(chance.shape[1])[None] < self.count[people][:, None]
        chosen = chance.masked_fill(~has, 2).argsort(dim=1)[:, :count]
        return self.order[self.start[people][:, None] + chosen]


def training_features(
    data: TrainingSet,
    work: Path,
    *,
    backbone: Backbone,
    encoder: ImageEncoder,
    variants: int = 2,
    embeddings: bool = False,
    progress: Progress,
) -> TrainingFeatures:
    """Read the features from `work`, or compute them and write them there, for this and later trainings.

    The folder's name says what they were made of, so other weights or photographs never read them.
    `variants` captions are drawn for each photograph and for each mirror image.
    """
    if len(data.pixels) == 0:
        raise MethodError("training set: no photographs")
    folder = work / f"features-{_key(data, backbone, encoder, variants)}"
    if not folder.is_dir():
        _compute(folder, data, backbone, encoder, variants, progress)
    if embeddings and not (folder / EMBEDS).is_file():
        _compute_embeddings(folder, data, encoder, progress)
    stored: dict[str, Tensor | None] = {
        name: torch.from_numpy(np.load(folder / f"{name}.npy", mmap_mode="c")) for name in STORED
    }
    stored["embeds"] = torch.from_numpy(np.load(folder / EMBEDS)) if embeddings else None
    order = np.argsort(data.identities, kind="stable")
    _, start, count = np.unique(data.identities[order], return_index=True, return_counts=True)
    device = backbone.device
    if device.type == "cuda":
        stored = {name: tensor.to(device) if tensor is not None else None for name, tensor in stored.items()}
    return TrainingFeatures(
        **stored,  # type: ignore[arg-type]  # only the embeddings may be missing
        nothing=encoder.nothing()[0],
        order=torch.from_numpy(order),
        start=torch.from_numpy(start),
        count=torch.from_numpy(count),
    )


def _key(data: TrainingSet, backbone: Backbone, encoder: ImageEncoder, variants: int) -> str:
    """Of all that the features depend on; neither the U-Net nor the decoder is among it."""
    pipe = backbone.pipe
    said = (variants, backbone.resolution, encoder.mean, encoder.std, pipe.vae.config.scaling_factor)
    digest = hashlib.sha256(repr((said, sorted(pipe.tokenizer.get_vocab().items()))).encode())
    for part in (pipe.vae.encoder, pipe.vae.quant_conv, pipe.text_encoder, encoder.model):
        for value in part.state_dict().values() if part is not None else ():
            digest.update(value.cpu().float().contiguous().numpy().tobytes())
    for chunk in _chunks(len(data.pixels), 4096):
        digest.update(np.ascontiguousarray(data.pixels[chunk]).tobytes())
    for row in range(0, len(data.pixels), 97):
        digest.update(data.template(row, mirrored=False).encode())
    return digest.hexdigest()[:16]


def _compute(
    folder: Path,
    data: TrainingSet,
    backbone: Backbone,
    encoder: ImageEncoder,
    variants: int,
    progress: Progress,
) -> None:
    beside = folder.with_name(f".{folder.name}")
    shutil.rmtree(beside, ignore_errors=True)
    beside.mkdir(parents=True)
    captions, sentences = _captions(data, variants)
    np.save(beside / "captions.npy", captions)
    total = 4 * len(data.pixels) + len(sentences)
    done = 0

    def advance(rows: int) -> None:
        nonlocal done
        done += rows
        progress(done, total, "features of the training set")

    def latents(pixels: Tensor) -> Tensor:
        return backbone.encode_pixels(_sized(pixels, backbone.resolution))

    def patches(pixels: Tensor) -> Tensor:
        return encoder.of_pixels(_sized(pixels, encoder.size))

    for name, encode in (("latents", latents), ("patches", patches)):
        _encode_pictures(beside / f"{name}.npy", data, encode, advance)
    _encode_sentences(beside, sentences, backbone, advance)
    beside.replace(folder)


def _compute_embeddings(folder: Path, data: TrainingSet, encoder: ImageEncoder, progress: Progress) -> None:
    """Beside the others, later: only the base IP-Adapter reads them."""

    def embed(pixels: Tensor) -> Tensor:
        return encoder.embeddings_of_pixels(_sized(pixels, encoder.size))

    done = 0

    def advance(rows: int) -> None:
        nonlocal done
        done += rows
        progress(done, 2 * len(data.pixels), "embeddings of the training set")

    beside = folder / f".{EMBEDS}"
    _encode_pictures(beside, data, embed, advance)
    beside.replace(folder / EMBEDS)


def _encode_pictures(
    path: Path, data: TrainingSet, encode: Callable[[Tensor], Tensor], advance: Callable[[int], None]
) -> None:
    stored: NDArray[np.float16] | None = None
    for chunk in _chunks(len(data.pixels), 64):
        pixels = from_bytes(data.pixels[chunk])
        for side, view in enumerate((pixels, pixels.flip(3))):
            features = encode(view).cpu().half().numpy()
            if stored is None:
                shape = (len(data.pixels), 2, *features.shape[1:])
                stored = np.lib.format.open_memmap(path, "w+", np.float16, shape)
            stored[chunk, side] = features
            advance(len(features))


def _encode_sentences(
    folder: Path, sentences: list[str], backbone: Backbone, advance: Callable[[int], None]
) -> None:
    tokens: NDArray[np.float16] | None = None
    pooled = []
    for chunk in _chunks(len(sentences), 256):
        features = backbone.encode_text(sentences[chunk])
        values = features.tokens.cpu().half().numpy()
        if tokens is None:
            shape = (len(sentences), *values.shape[1:])
            tokens = np.lib.format.open_memmap(folder / "sentences.npy", "w+", np.float16, shape)
        tokens[chunk] = values
        pooled.append(features.pooled.cpu().half().numpy())
        advance(len(values))
    np.save(folder / "pooled.npy", np.concatenate(pooled))


def _captions(data: TrainingSet, variants: int) -> tuple[NDArray[np.int64], list[str]]:
    rng = np.random.default_rng(variants)
    place = {"": 0}
    captions = np.empty((len(data.pixels), 2, variants), np.int64)
    for row in range(len(data.pixels)):
        for side in (0, 1):
            for variant in range(variants):
                sentence = data.caption(row, rng, mirrored=bool(side))
                captions[row, side, variant] = place.setdefault(sentence, len(place))
    return captions, list(place)


def _sized(pixels: Tensor, size: int) -> Tensor:
    if pixels.shape[-1] == size:
        return pixels
    return torch.nn.functional.interpolate(
        pixels, (size, size), mode="bicubic", antialias=True, align_corners=False
    ).clamp(0, 1)


def _chunks(length: int, size: int) -> Iterator[slice]:
    return (slice(start, min(start + size, length)) for start in range(0, length, size))
