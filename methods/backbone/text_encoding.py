"""Encode prompts into U-Net conditioning."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from methods.backbone.spec import Family


@dataclass(frozen=True)
class TextFeatures:
    """Text encoder outputs for N prompts."""

    tokens: Tensor
    """(N, L, D): input of cross-attention. SD 1 and 2: the last hidden states; SDXL: the penultimate hidden
    states of both encoders, concatenated."""
    pooled: Tensor
    """(N, C), the state of the end-of-text token; SDXL: that of the second encoder, projected."""

    def __getitem__(self, rows: Tensor | slice) -> TextFeatures:
        """Select prompts by row."""
        if isinstance(rows, Tensor):
            rows = rows.to(self.tokens.device)
        return TextFeatures(self.tokens[rows], self.pooled[rows])


def family_of(pipe: Any) -> Family:
    """Return the family of a loaded pipeline."""
    config = pipe.unet.config
    if config.addition_embed_type == "text_time":
        return "sdxl"
    return "sd2" if config.use_linear_projection else "sd1"


def encoders_of(pipe: Any) -> list[tuple[Any, Any]]:
    """Return the pipeline's tokenizers, each with its text encoder."""
    pairs = [(pipe.tokenizer, pipe.text_encoder)]
    if getattr(pipe, "text_encoder_2", None) is not None:
        pairs.append((pipe.tokenizer_2, pipe.text_encoder_2))
    return pairs


def text_features(
    pipe: Any, prompts: Sequence[str], device: torch.device, *, clip_skip: int | None = None
) -> TextFeatures:
    """Encode prompts as the pipeline's `encode_prompt` does, padded to the tokenizers' length.

    The empty prompt gives the features that guidance uses without a negative prompt: zeros where an SDXL
    checkpoint sets `force_zeros_for_empty_prompt`.
    """
    is_sdxl = family_of(pipe) == "sdxl"
    tokens, pooled = [], None
    for tokenizer, encoder in encoders_of(pipe):
        ids = tokenizer(
            list(prompts),
            padding="max_length",
            max_length=tokenizer.model_max_length,
            truncation=True,
            return_tensors="pt",
        ).input_ids
        output = encoder(ids.to(device), output_hidden_states=is_sdxl or clip_skip is not None)
        plain = output.hidden_states[-2] if is_sdxl else output.last_hidden_state
        tokens.append(plain if clip_skip is None else _skipped(encoder, output, plain, prompts, clip_skip))
        pooled = output.text_embeds if hasattr(output, "text_embeds") else output.pooler_output
    assert pooled is not None
    features = TextFeatures(torch.cat(tokens, dim=-1), pooled)
    if is_sdxl and pipe.config.force_zeros_for_empty_prompt:
        filled = torch.tensor([bool(prompt) for prompt in prompts], device=pooled.device)
        features = TextFeatures(
            features.tokens.where(filled[:, None, None], 0), features.pooled.where(filled[:, None], 0)
        )
    return features


def _skipped(encoder: Any, output: Any, plain: Tensor, prompts: Sequence[str], clip_skip: int) -> Tensor:
    """Hidden states before the last layers; of the empty prompt the plain ones, as in the pipelines."""
    tokens: Tensor
    if plain is output.last_hidden_state:
        norm = getattr(encoder, "text_model", encoder).final_layer_norm
        tokens = norm(output.hidden_states[-(clip_skip + 1)])
    else:
        tokens = output.hidden_states[-(clip_skip + 2)]
    filled = torch.tensor([bool(prompt) for prompt in prompts], device=tokens.device)
    return tokens.where(filled[:, None, None], plain)


def conditioning(
    pipe: Any, text: TextFeatures, *, resolution: int, time_ids: Tensor | None = None
) -> dict[str, Any]:
    """Return the U-Net's keyword arguments for `text`; see `Backbone.conditioning`."""
    if family_of(pipe) != "sdxl":
        return {"encoder_hidden_states": text.tokens}
    if time_ids is None:
        uncropped = [resolution, resolution, 0, 0, resolution, resolution]
        time_ids = torch.tensor([uncropped] * len(text.tokens))
    sizes = time_ids.to(text.pooled.device, text.pooled.dtype)
    return {
        "encoder_hidden_states": text.tokens,
        "added_cond_kwargs": {"text_embeds": text.pooled, "time_ids": sizes},
    }


def cast(said: Mapping[str, Any], dtype: torch.dtype) -> dict[str, Any]:
    """Cast the tensors of the U-Net's keyword arguments; image embeddings, a list, stay as they are."""
    nested = {key: cast(value, dtype) for key, value in said.items() if isinstance(value, Mapping)}
    tensors = {key: value.to(dtype) for key, value in said.items() if isinstance(value, Tensor)}
    return {**said, **nested, **tensors}
