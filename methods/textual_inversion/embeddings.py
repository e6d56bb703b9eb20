"""New words for a backbone's text encoders: on them for a while, and in files that diffusers reads."""

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
"""One for each text encoder, as diffusers' textual_inversion scripts write them."""
_TOKENIZERS: Final = ("tokenizer", "tokenizer_2")


def words_of(placeholder: str, vectors: int) -> list[str]:
    """The words behind a placeholder of several vectors, by diffusers' names: `<x>`, `<x>_1`, `<x>_2`."""
    return [placeholder, *(f"{placeholder}_{i}" for i in range(1, vectors))]


class WordsBeside(nn.Module):
    """A frozen table of embeddings with a few rows of its own after it."""

    def __init__(self, frozen: nn.Module, own: Tensor, first: int) -> None:
        super().__init__()
        self.frozen, self.first = frozen, first
        # No parameter of the module: whoever made it keeps it.
        self.rows = [own]

    @property
    def weight(self) -> Tensor:
        """The frozen table, whose type and place the encoder asks for."""
        weight: Tensor = self.frozen.weight  # type: ignore[assignment]  # an nn.Embedding
        return weight

    def forward(self, ids: Tensor) -> Tensor:
        known: Tensor = self.frozen(ids.clamp(max=self.first - 1))
        own = self.rows[0].to(known.dtype)[(ids - self.first).clamp(min=0)]
        return torch.where((ids >= self.first)[..., None], own, known)


@contextmanager
def words_on(backbone: Backbone, placeholder: str, own: Sequence[Tensor]) -> Iterator[None]:
    """The backbone's pipeline knows the placeholder: for each text encoder the words' embeddings, (V, D).

    Its tokenizers and embedding tables are put back as they were. Raises MethodError where a tokenizer
    knows the placeholder already.
    """
    pipe, encoders = backbone.pipe, encoders_of(backbone.pipe)
    tokenizers = [tokenizer for tokenizer, _ in encoders]
    tables = [encoder.get_input_embeddings() for _, encoder in encoders]
    taught = _taught(backbone, placeholder, len(own[0]))
    try:
        for place, (tokenizer, encoder) in enumerate(encoders):
            setattr(pipe, _TOKENIZERS[place], taught[place])
            encoder.set_input_embeddings(WordsBeside(tables[place], own[place], len(tokenizer)))
        yield
    finally:
        for place, (_, encoder) in enumerate(encoders):
            setattr(pipe, _TOKENIZERS[place], tokenizers[place])
            encoder.set_input_embeddings(tables[place])


def _taught(backbone: Backbone, placeholder: str, vectors: int) -> list[Any]:
    """Copies of the tokenizers that know the words; made once a run."""
    key = ("tokenizers", placeholder, vectors)
    if key not in backbone.remembered:
        copies = []
        for tokenizer, _ in encoders_of(backbone.pipe):
            # A word of one piece is one the text encoder has a meaning for.
            if len(tokenizer.tokenize(placeholder)) == 1:
                raise MethodError(
                    f"textual-inversion: the tokenizer knows {placeholder!r} already; choose another word"
                )
            taught = copy.deepcopy(tokenizer)
            taught.add_tokens(words_of(placeholder, vectors))
            copies.append(taught)
        backbone.remembered[key] = copies
    known: list[Any] = backbone.remembered[key]
    return known


def embeddings_of(backbone: Backbone, word: str) -> list[Tensor]:
    """For each text encoder the embedding of a word, (D,), float32; of several pieces, their mean."""
    found = []
    for tokenizer, encoder in encoders_of(backbone.pipe):
        ids = tokenizer(word, add_special_tokens=False).input_ids
        if not ids:
            raise MethodError(f"textual-inversion: the tokenizer has nothing for initializer {word!r}")
        rows = encoder.get_input_embeddings().weight[torch.tensor(ids, device=backbone.device)]
        found.append(rows.detach().float().mean(dim=0))
    return found


def save_words(into: Path, placeholder: str, own: Sequence[Tensor]) -> None:
    """Write what `pipe.load_textual_inversion` reads: one file for each text encoder."""
    for name, rows in zip(FILES, own, strict=False):
        tensors = {placeholder: rows.detach().float().cpu().contiguous()}
        save_file(tensors, into / name, metadata={"format": "pt"})


def read_words(folder: Path, encoders: int) -> tuple[str, list[Tensor]]:
    """The placeholder, and its embeddings for each of so many text encoders; raises MethodError."""
    found: list[tuple[str, Tensor]] = []
    for name in FILES[:encoders]:
        if not (folder / name).is_file():
            raise MethodError(f"{folder}: no {name}; fit the person again")
        found += load_file(folder / name).items()
    return found[0][0], [rows for _, rows in found]
