"""New tokens for a backbone's text encoders: added temporarily, and stored in files that diffusers reads."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from methods.backbone.backbone import Backbone
from methods.backbone.text_encoding import encoders_of
from methods.errors import MethodError

FILES: Final = ("learned_embeds.safetensors", "learned_embeds_2.safetensors")
"""One file per text encoder, named as by diffusers' textual_inversion scripts."""
_TOKENIZERS: Final = ("tokenizer", "tokenizer_2")


def placeholder_tokens(placeholder: str, vectors: int) -> list[str]:
    """Return the tokens of a placeholder with several vectors, as in diffusers: `<x>`, `<x>_1`, `<x>_2`."""
    return [placeholder, *(f"{placeholder}_{i}" for i in range(1, vectors))]


class ExtendedEmbedding(nn.Module):
    """A frozen embedding table extended by trainable rows."""

    def __init__(self, frozen: nn.Module, new: Tensor, first: int) -> None:
        super().__init__()
        self.frozen, self.first = frozen, first
        # In a list, so that it is not registered as a parameter of the text encoder.
        self.rows = [new]

    @property
    def weight(self) -> Tensor:
        """The frozen table; the encoder reads its dtype and device."""
        weight: Tensor = self.frozen.weight  # type: ignore[assignment]  # an nn.Embedding
        return weight

    def forward(self, ids: Tensor) -> Tensor:
        known: Tensor = self.frozen(ids.clamp(max=self.first - 1))
        new = self.rows[0].to(known.dtype)[(ids - self.first).clamp(min=0)]
        return torch.where((ids >= self.first)[..., None], new, known)


@contextmanager
def tokens_on(backbone: Backbone, placeholder: str, embeddings: Sequence[Tensor]) -> Iterator[None]:
    """Add the placeholder's tokens to the pipeline: per text encoder the embeddings, (V, D).

    Tokenizers and embedding tables are restored on exit. Raises MethodError where a tokenizer already has
    the placeholder.
    """
    pipe, encoders = backbone.pipe, encoders_of(backbone.pipe)
    tokenizers = [tokenizer for tokenizer, _ in encoders]
    tables = [encoder.get_input_embeddings() for _, encoder in encoders]
    extended = _extended_tokenizers(backbone, placeholder, len(embeddings[0]))
    try:
        for i, (tokenizer, encoder) in enumerate(encoders):
            setattr(pipe, _TOKENIZERS[i], extended[i])
            encoder.set_input_embeddings(ExtendedEmbedding(tables[i], embeddings[i], len(tokenizer)))
        yield
    finally:
        for i, (_, encoder) in enumerate(encoders):
            setattr(pipe, _TOKENIZERS[i], tokenizers[i])
            encoder.set_input_embeddings(tables[i])


def _extended_tokenizers(backbone: Backbone, placeholder: str, vectors: int) -> list[Any]:
    """Return copies of the tokenizers with the placeholder's tokens, cached for the run."""
    key = ("tokenizers", placeholder, vectors)
    if key not in backbone.cache:
        copies = []
        for tokenizer, _ in encoders_of(backbone.pipe):
            # A word of a single token has a trained embedding.
            if len(tokenizer.tokenize(placeholder)) == 1:
                raise MethodError(
                    f"textual-inversion: {placeholder!r} is already in the vocabulary; choose another word"
                )
            extended = copy.deepcopy(tokenizer)
            extended.add_tokens(placeholder_tokens(placeholder, vectors))
            copies.append(extended)
        backbone.cache[key] = copies
    tokenizers: list[Any] = backbone.cache[key]
    return tokenizers


def word_embeddings(backbone: Backbone, word: str) -> list[Tensor]:
    """Return a word's embedding per text encoder, (D,), float32; the mean where it has several tokens."""
    found = []
    for tokenizer, encoder in encoders_of(backbone.pipe):
        ids = tokenizer(word, add_special_tokens=False).input_ids
        if not ids:
            raise MethodError(f"textual-inversion: the tokenizer cannot encode initializer {word!r}")
        rows = encoder.get_input_embeddings().weight[torch.tensor(ids, device=backbone.device)]
        found.append(rows.detach().float().mean(dim=0))
    return found


def save_embeddings(into: Path, placeholder: str, embeddings: Sequence[Tensor]) -> None:
    """Write one file per text encoder, for `pipe.load_textual_inversion`."""
    for name, rows in zip(FILES, embeddings, strict=False):
        tensors = {placeholder: rows.detach().float().cpu().contiguous()}
        save_file(tensors, into / name, metadata={"format": "pt"})


def read_embeddings(folder: Path, encoders: int) -> tuple[str, list[Tensor]]:
    """Read the placeholder and its embeddings for a number of text encoders; raises MethodError."""
    found: list[tuple[str, Tensor]] = []
    for name in FILES[:encoders]:
        if not (folder / name).is_file():
            raise MethodError(f"{folder}: no {name}; fit the person again")
        found += load_file(folder / name).items()
    return found[0][0], [rows for _, rows in found]
