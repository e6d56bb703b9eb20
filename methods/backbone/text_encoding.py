"""What a backbone's text encoders say of sentences, as its U-Net wants to be told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

Family = Literal["sd1", "sd2", "sdxl"]


@dataclass(frozen=True)
class TextFeatures:
    """What the text encoders say of sentences."""

    tokens: Tensor
    """(N, L, D): what cross-attention reads. SD 1 and 2: the last hidden states; SDXL: both encoders' last
    but one, side by side."""
    pooled: Tensor
    """(N, C), the state at the end of the sentence; SDXL: that of the second encoder, projected."""

    def __getitem__(self, rows: Tensor | slice) -> TextFeatures:
        """Some of the sentences."""
        if isinstance(rows, Tensor):
            rows = rows.to(self.tokens.device)
        return TextFeatures(self.tokens[rows], self.pooled[rows])


def family_of(pipe: Any) -> Family:
    """Which of the three layouts a loaded pipeline has."""
    config = pipe.unet.config
    if config.addition_embed_type == "text_time":
        return "sdxl"
    return "sd2" if config.use_linear_projection else "sd1"


def encoders_of(pipe: Any) -> list[tuple[Any, Any]]:
    """The pipeline's tokenizers, each with its encoder."""
    pairs = [(pipe.tokenizer, pipe.text_encoder)]
    if getattr(pipe, "text_encoder_2", None) is not None:
        pairs.append((pipe.tokenizer_2, pipe.text_encoder_2))
    return pairs


def text_features(pipe: Any, prompts: Sequence[str], device: torch.device) -> TextFeatures:
    """Features of sentences, padded to the tokenizers' length as when drawing, as `encode_prompt` makes them.

    The empty sentence is what guidance reads where there is no negative prompt: zeros where an SDXL folder
    says `force_zeros_for_empty_prompt`.
    """
    both = family_of(pipe) == "sdxl"
    tokens, pooled = [], None
    for tokenizer, encoder in encoders_of(pipe):
        ids = tokenizer(
            list(prompts),
            padding="max_length",
            max_length=tokenizer.model_max_length,
            truncation=True,
            return_tensors="pt",
        ).input_ids
        output = encoder(ids.to(device), output_hidden_states=both)
        tokens.append(output.hidden_states[-2] if both else output.last_hidden_state)
        pooled = output.text_embeds if hasattr(output, "text_embeds") else output.pooler_output
    assert pooled is not None
    features = TextFeatures(torch.cat(tokens, dim=-1), pooled)
    if both and pipe.config.force_zeros_for_empty_prompt:
        said = torch.tensor([bool(prompt) for prompt in prompts], device=pooled.device)
        features = TextFeatures(
            features.tokens.where(said[:, None, None], 0), features.pooled.where(said[:, None], 0)
        )
    return features


def conditioning(
    pipe: Any, text: TextFeatures, *, resolution: int, time_ids: Tensor | None = None
) -> dict[str, Any]:
    """The U-Net's keyword arguments for `text`."""
    if family_of(pipe) != "sdxl":
        return {"encoder_hidden_states": text.tokens}
    if time_ids is None:
        whole = [resolution, resolution, 0, 0, resolution, resolution]
        time_ids = torch.tensor([whole] * len(text.tokens))
    sizes = time_ids.to(text.pooled.device, text.pooled.dtype)
    return {
        "encoder_hidden_states": text.tokens,
        "added_cond_kwargs": {"text_embeds": text.pooled, "time_ids": sizes},
    }
