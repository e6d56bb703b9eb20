"""Computes the outputs of the frozen networks on a training set and writes them to a folder."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from methods.backbone.backbone import Backbone
from methods.backbone.images import from_bytes
from methods.compute.atomic_io import atomic_file, atomic_folder
from methods.encoders.clip_vision import ImageEncoder
from methods.errors import MethodError
from methods.pretraining.dataset import TrainingSet
from methods.pretraining.loop import Progress

EMBEDDINGS_FILE = "embeds.npy"
TIME_IDS_FILE = "time_ids.npy"
ROWS = 64
"""Photographs per pass of the image encoder."""
PIXELS = 4 * 512**2
"""Pixels per pass of the autoencoder."""
ARRAYS = ("latents", "patches", "sentences", "pooled", "captions")
"""Names of the other files, without `.npy`."""


def cache_key(data: TrainingSet, backbone: Backbone, encoder: ImageEncoder, variants: int) -> str:
    """A digest of everything that the features depend on; the denoising network is not part of it."""
    scale = backbone.latent_scale
    settings: tuple[Any, ...] = (
        variants,
        backbone.resolution,
        encoder.mean,
        encoder.std,
        scale.factor,
    )
    if scale.shift:
        settings += ("shift", scale.shift)
    if scale.mean is not None and scale.deviation is not None:
        settings += (scale.mean.flatten().tolist(), scale.deviation.flatten().tolist())
    if backbone.spec.clip_skip is not None:
        settings += ("clip_skip", backbone.spec.clip_skip)
    if backbone.spec.max_sequence_length is not None:
        settings += ("max_sequence_length", backbone.spec.max_sequence_length)
    vocabulary = sorted(backbone.text_encoders[0].tokenizer.get_vocab().items())
    digest = hashlib.sha256(repr((settings, vocabulary)).encode())
    for part in (*backbone.encoder_networks, encoder.model):
        for value in part.state_dict().values():
            digest.update(value.cpu().float().contiguous().numpy().tobytes())
    content = getattr(data, "content_key", None)
    if content is not None:
        digest.update(content.encode())
        return digest.hexdigest()[:16]
    for chunk in _chunks(len(data.pixels), ROWS):
        digest.update(np.ascontiguousarray(data.pixels[chunk]).tobytes())
    for row in range(len(data.pixels)):
        digest.update(data.template(row, mirrored=False).encode())
    return digest.hexdigest()[:16]


def compute_features(
    folder: Path,
    data: TrainingSet,
    backbone: Backbone,
    encoder: ImageEncoder,
    variants: int,
    progress: Progress,
) -> None:
    """Write the files of `ARRAYS` to `folder`, which must not exist."""
    captions, sentences = _captions(data, variants)
    total = 4 * len(data.pixels) + len(sentences)
    done = 0

    def advance(rows: int) -> None:
        nonlocal done
        done += rows
        progress(done, total, "features of the training set")

    def latents(pixels: Tensor) -> Tensor:
        return backbone.encode_pixels(_resized(pixels, backbone.resolution))

    def patches(pixels: Tensor) -> Tensor:
        return encoder.of_pixels(_resized(pixels, encoder.size))

    with atomic_folder(folder) as temporary:
        np.save(temporary / "captions.npy", captions)
        _encode_images(temporary / "latents.npy", data, latents, advance, _rows_of(backbone.resolution))
        _encode_images(temporary / "patches.npy", data, patches, advance)
        _encode_sentences(temporary, sentences, backbone, advance)


def compute_embeddings(folder: Path, data: TrainingSet, encoder: ImageEncoder, progress: Progress) -> None:
    """Add the image embeddings to an existing folder; only the base IP-Adapter reads them."""

    def embed(pixels: Tensor) -> Tensor:
        return encoder.embeddings_of_pixels(_resized(pixels, encoder.size))

    done = 0

    def advance(rows: int) -> None:
        nonlocal done
        done += rows
        progress(done, 2 * len(data.pixels), "embeddings of the training set")

    with atomic_file(folder / EMBEDDINGS_FILE) as temporary:
        _encode_images(temporary, data, embed, advance)


def compute_time_ids(folder: Path, data: TrainingSet, side: int) -> None:
    """Add SDXL's original size, crop position and size, N x 6, to an existing folder.

    The photographs are central squares of `side` pixels; the crop's position counts in those pixels.
    """
    ids = np.empty((len(data.pixels), 6), np.int64)
    for row in range(len(ids)):
        height, width = data.original_size(row)
        scale = side / min(height, width)
        margins = [round((length * scale - side) / 2) for length in (height, width)]
        ids[row] = (height, width, *margins, side, side)
    with atomic_file(folder / TIME_IDS_FILE) as temporary, temporary.open("wb") as file:
        np.save(file, ids)


def _rows_of(side: int) -> int:
    """Photographs per pass of the autoencoder: at most 2.5 GiB of activations in fp32."""
    return min(ROWS, max(1, PIXELS // side**2))


def _encode_images(
    path: Path,
    data: TrainingSet,
    encode: Callable[[Tensor], Tensor],
    advance: Callable[[int], None],
    rows: int = ROWS,
) -> None:
    stored: NDArray[np.float16] | None = None
    for chunk in _chunks(len(data.pixels), rows):
        pixels = from_bytes(data.pixels[chunk])
        for side, view in enumerate((pixels, pixels.flip(3))):
            features = encode(view).cpu().half().numpy()
            if not np.isfinite(features).all():
                raise MethodError(f"{path.stem}: rows {chunk.start} to {chunk.stop} overflow fp16")
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
    """Caption indices, N x 2 x variants, and the distinct sentences; index 0 is the empty sentence."""
    rng = np.random.default_rng(variants)
    index = {"": 0}
    captions = np.empty((len(data.pixels), 2, variants), np.int64)
    for row in range(len(data.pixels)):
        for side in (0, 1):
            for variant in range(variants):
                sentence = data.caption(row, rng, mirrored=bool(side))
                captions[row, side, variant] = index.setdefault(sentence, len(index))
    return captions, list(index)


def _resized(pixels: Tensor, size: int) -> Tensor:
    if pixels.shape[-1] == size:
        return pixels
    return torch.nn.functional.interpolate(
        pixels, (size, size), mode="bicubic", antialias=True, align_corners=False
    ).clamp(0, 1)


def _chunks(length: int, size: int) -> Iterator[slice]:
    return (slice(start, min(start + size, length)) for start in range(0, length, size))
