"""Text encoders of a pipeline and their output for prompts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

import torch
from torch import Tensor

NUMBERS: Final = ("", "_2", "_3")
"""Ends of the names of a pipeline's text encoders and tokenizers."""
CACHE_BYTES: Final = 2**30
"""Most bytes of encoded prompts in a cache: those of 256 prompts of FLUX.1 in bf16."""


@dataclass(frozen=True)
class TextFeatures:
    """Text encoder outputs for N prompts."""

    tokens: Tensor
    """(N, L, D): input of attention. SD 1 and 2: the last hidden states; SDXL: the penultimate hidden states
    of both encoders, concatenated."""
    pooled: Tensor
    """(N, C), the state of the end-of-text token; SDXL: that of the second encoder, projected; FLUX.2: none,
    C is 0."""

    def __getitem__(self, rows: Tensor | slice) -> TextFeatures:
        """Select prompts by row."""
        if isinstance(rows, Tensor):
            rows = rows.to(self.tokens.device)
        return TextFeatures(self.tokens[rows], self.pooled[rows])


@dataclass
class PromptCache:
    """Encoded prompts in main memory; above `limit` bytes, those that were used longest ago are dropped."""

    limit: int = CACHE_BYTES
    rows: dict[tuple[object, ...], list[Tensor]] = field(default_factory=dict)
    """The tensors of a prompt by kind, batch size and prompt, in the order of their last use."""

    def encoded(
        self, kind: str, prompts: Sequence[str], encode: Callable[[Sequence[str]], Sequence[Tensor]]
    ) -> list[Tensor]:
        """Return what `encode` returns for N prompts, tensors (N, ...), in main memory.

        `encode` is called for missing prompts only, always with N prompts, as in a batch without a cache:
        a prompt's bits may depend on the size of its batch.
        """
        keys = [(kind, len(prompts), prompt) for prompt in prompts]
        missing = list(dict.fromkeys(key for key in keys if key not in self.rows))
        if missing:
            padded = missing + missing[-1:] * (len(prompts) - len(missing))
            tensors = encode([prompt for *_, prompt in padded])
            for row, key in enumerate(missing):
                self.rows[key] = [tensor[row].to("cpu", copy=True) for tensor in tensors]
        found = [self.rows.pop(key) for key in dict.fromkeys(keys)]
        self.rows |= zip(dict.fromkeys(keys), found, strict=True)
        columns = zip(*(self.rows[key] for key in keys), strict=True)
        stacked = [torch.stack(column) for column in columns]
        self._drop_oldest()
        return stacked

    def _drop_oldest(self) -> None:
        sizes = {key: sum(tensor.nbytes for tensor in row) for key, row in self.rows.items()}
        excess = sum(sizes.values()) - self.limit
        for key, size in sizes.items():
            if excess <= 0:
                break
            del self.rows[key]
            excess -= size


class TextEncoder(NamedTuple):
    """A text encoder with its tokenizer, and their names in the pipeline."""

    tokenizer: Any
    network: Any
    name: str
    """`text_encoder_2`."""
    tokenizer_name: str

    @property
    def is_clip(self) -> bool:
        """Whether the encoder is a CLIP text tower, which has a pooled state; else a T5 or a Qwen3."""
        return "CLIP" in type(self.network).__name__


def text_encoders_of(pipe: Any) -> list[TextEncoder]:
    """Return the text encoders that a pipeline has, in its order."""
    found = []
    for number in NUMBERS:
        network = getattr(pipe, f"text_encoder{number}", None)
        if network is not None:
            name = f"tokenizer{number}"
            found.append(TextEncoder(getattr(pipe, name), network, f"text_encoder{number}", name))
    return found


def token_ids(tokenizer: Any, prompts: Sequence[str], length: int | None = None) -> Tensor:
    """Tokens of N prompts, (N, L), padded and cut to `length`; None means the tokenizer's own."""
    ids: Tensor = tokenizer(
        list(prompts),
        padding="max_length",
        max_length=length or tokenizer.model_max_length,
        truncation=True,
        return_tensors="pt",
    ).input_ids
    return ids


def where_filled(prompts: Sequence[str], filled: Tensor, empty: Tensor | int) -> Tensor:
    """The rows of `filled` for prompts with text, and of `empty` for empty prompts."""
    has_text = torch.tensor([bool(prompt) for prompt in prompts], device=filled.device)
    return filled.where(has_text.view(-1, *(1,) * (filled.dim() - 1)), empty)


def cast(arguments: Mapping[str, Any], dtype: torch.dtype) -> dict[str, Any]:
    """Cast the tensors of a network's keyword arguments; image embeddings, a list, stay as they are."""
    nested = {key: cast(value, dtype) for key, value in arguments.items() if isinstance(value, Mapping)}
    tensors = {key: value.to(dtype) for key, value in arguments.items() if isinstance(value, Tensor)}
    return {**arguments, **nested, **tensors}
