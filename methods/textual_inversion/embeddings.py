"""New tokens for a backbone's text encoders: added temporarily, and stored in files that diffusers reads."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from methods.backbone.backbone import Backbone
from methods.compute.loading import read_tensors
from methods.errors import MethodError

FILES: Final = ("learned_embeds.safetensors", "learned_embeds_2.safetensors", "learned_embeds_3.safetensors")
"""One file per text encoder, named as by diffusers' textual_inversion scripts."""
TOKEN: Final = "{token}"
"""The place of the embeddings in the phrase for a person."""


def embedding_tokens(vectors: int) -> list[str]:
    """The tokens of the embeddings in prompts, one per vector.

    They are independent of the placeholder: a word such as `ada` would also be found inside `canada`, and the
    tokenizers change capitals.
    """
    return [f"<|personabench-{i}|>" for i in range(vectors)]


def embedding_phrase(vectors: int) -> str:
    """The text that stands for the subject in prompts."""
    return " ".join(embedding_tokens(vectors))


def phrase_of_known_words(vectors: int) -> str:
    """A text with as many tokens as `embedding_phrase`, for a tokenizer without the embeddings' tokens."""
    return " ".join(["a"] * vectors)


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
def tokens_on(
    backbone: Backbone, embeddings: Sequence[Tensor], *, pooled_at_end: bool = False
) -> Iterator[None]:
    """Add `embedding_tokens` to the pipeline: per text encoder the embeddings, (V, D).

    Published configs make transformers take the pooled feature at the token with the highest number, which is
    a new one; `pooled_at_end` takes it at the end of the prompt, as for prompts without new tokens.
    Tokenizers and embedding tables are restored on exit. Raises MethodError where the prompt has no room for
    the tokens.
    """
    encoders = backbone.text_encoders
    clips = [encoder for encoder in encoders if encoder.is_clip]
    tables = [_tables(encoder.network) for encoder in encoders]
    extended = _extended_tokenizers(backbone, len(embeddings[0]))
    modules = [module for encoder in clips for module in encoder.network.modules()]
    pooling: list[Any] = [module for module in modules if pooled_at_end and hasattr(module, "eos_token_id")]
    ends = [module.eos_token_id for module in pooling]
    try:
        for module in pooling:
            module.eos_token_id = clips[-1].tokenizer.eos_token_id
        for i, encoder in enumerate(encoders):
            backbone.set_tokenizer(encoder.tokenizer_name, extended[i])
            for parent, name, table in tables[i]:
                setattr(parent, name, ExtendedEmbedding(table, embeddings[i], len(encoder.tokenizer)))
        yield
    finally:
        for module, end in zip(pooling, ends, strict=True):
            module.eos_token_id = end
        for i, encoder in enumerate(encoders):
            backbone.set_tokenizer(encoder.tokenizer_name, encoder.tokenizer)
            for parent, name, table in tables[i]:
                setattr(parent, name, table)


def _tables(network: nn.Module) -> list[tuple[nn.Module, str, nn.Module]]:
    """The modules of the input embeddings with their parents and names; T5 has two with the same weights."""
    weight = network.get_input_embeddings().weight  # type: ignore[operator]  # of transformers
    found: list[tuple[nn.Module, str, nn.Module]] = []
    for path, module in network.named_modules():
        if isinstance(module, nn.Embedding) and module.weight is weight:
            parent, _, name = path.rpartition(".")
            found.append((network.get_submodule(parent), name, module))
    return found


def _extended_tokenizers(backbone: Backbone, vectors: int) -> list[Any]:
    """Return copies of the tokenizers with the tokens of the embeddings, cached for the run."""
    key = ("tokenizers", vectors)
    if key not in backbone.cache:
        copies = []
        for tokenizer, *_ in backbone.text_encoders:
            # Two tokens mark the beginning and the end of a prompt.
            if vectors > tokenizer.model_max_length - 2:
                raise MethodError(
                    f"textual-inversion: vectors is {vectors}; a prompt of this text encoder has "
                    f"{tokenizer.model_max_length - 2} tokens"
                )
            extended = copy.deepcopy(tokenizer)
            extended.add_tokens(embedding_tokens(vectors))
            copies.append(extended)
        backbone.cache[key] = copies
    tokenizers: list[Any] = backbone.cache[key]
    return tokenizers


def check_text_encoders(backbone: Backbone) -> None:
    """Raise MethodError for a T5 or a Qwen3, for which the published layouts have no embeddings."""
    if not all(encoder.is_clip for encoder in backbone.text_encoders):
        others = [type(e.network).__name__ for e in backbone.text_encoders if not e.is_clip]
        raise MethodError(
            f"published embeddings are for CLIP, and this backbone, of the family {backbone.family}, also "
            f"reads {', '.join(others)}; use textual-inversion, or a backbone of the families sd1, sd2 or "
            "sdxl"
        )


def check_placeholder(backbone: Backbone, placeholder: str) -> None:
    """Raise MethodError where a tokenizer has the word: diffusers would not load its embeddings."""
    for tokenizer, *_ in backbone.text_encoders:
        # `tokenize` gives a known word as one token; the vocabulary also has pieces of words.
        if placeholder in tokenizer.get_vocab() or len(tokenizer.tokenize(placeholder)) == 1:
            raise MethodError(
                f"textual-inversion: {placeholder!r} is already in the vocabulary; choose another word"
            )


def word_embeddings(backbone: Backbone, word: str) -> list[Tensor]:
    """Return a word's embedding per text encoder, (D,), float32; the mean where it has several tokens."""
    found = []
    for tokenizer, encoder, *_ in backbone.text_encoders:
        ids = tokenizer(word, add_special_tokens=False).input_ids
        if not ids:
            raise MethodError(
                f"textual-inversion: the tokenizer cannot encode initializer {word!r}; set another word"
            )
        rows = encoder.get_input_embeddings().weight[torch.tensor(ids, device=backbone.device)]
        found.append(rows.detach().float().mean(dim=0))
    return found


def save_embeddings(placeholder: str, embeddings: Sequence[Tensor], into: Path) -> None:
    """Write one file per text encoder, for `pipe.load_textual_inversion`."""
    for name, rows in zip(FILES, embeddings, strict=False):
        tensors = {placeholder: rows.detach().float().cpu().contiguous()}
        save_file(tensors, into / name, metadata={"format": "pt"})


def read_embeddings(folder: Path, backbone: Backbone) -> list[Tensor]:
    """Read the embeddings, (V, D) for each text encoder of the backbone; raises MethodError."""
    found: list[Tensor] = []
    for name, (_, encoder, *_) in zip(FILES, backbone.text_encoders, strict=False):
        if not (folder / name).is_file():
            raise MethodError(f"{folder}: no {name}; fit the person again")
        tensors, _ = read_tensors(folder / name)
        width = encoder.config.hidden_size
        shapes = [tuple(value.shape) for value in tensors.values()]
        if len(shapes) != 1 or len(shapes[0]) != 2 or shapes[0][1] != width:
            raise MethodError(f"{folder / name}: tensors of shape {shapes}; expected one of width {width}")
        found += tensors.values()
    if len({len(rows) for rows in found}) != 1:
        raise MethodError(f"{folder}: the text encoders have different numbers of vectors; fit again")
    return found
