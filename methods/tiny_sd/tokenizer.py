"""The tokenizer of the tiny Stable Diffusion: a CLIPTokenizer whose merges are trained on captions."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Final

from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, trainers
from transformers import CLIPTokenizer

MAX_LENGTH: Final = 48
"""Longest prompt in tokens, with start and end token. The longest caption has 41."""

RARE_TOKENS: Final = ("sks", "ohwx", "zwx", "vrm")
"""Words that no caption contains, one token each, as identifiers of a person for fine-tuning."""

# Words of likely prompts that no caption contains; otherwise they would be split into letters.
EXTRA_WORDS: Final = (
    "portrait picture image painting drawing cartoon sketch close up of the his her boy girl child lady guy "
    "in on at by cap beanie sunglasses scarf jacket sweater dress suit tie happy crying sleeping eyes closed "
    "open looking up down beach city street forest snow night day sunny studio light dark orange brown gold "
    "silver old"
)


def learn_tokenizer(captions: Iterable[str], *, vocabulary: int = 1400) -> CLIPTokenizer:
    """Train byte-pair merges on `captions`, in CLIP's format: lower case, end-of-word suffix."""
    byte_pairs = Tokenizer(models.BPE(end_of_word_suffix="</w>"))
    byte_pairs.normalizer = normalizers.Lowercase()
    words = Regex(r"[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+")
    byte_pairs.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(words, behavior="removed", invert=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        min_frequency=1,
        initial_alphabet=alphabet,
        end_of_word_suffix="</w>",
        show_progress=False,
    )
    rare = [" ".join(RARE_TOKENS)] * 50
    byte_pairs.train_from_iterator([*captions, *[EXTRA_WORDS] * 3, *rare], trainer)
    return _as_clip(byte_pairs, alphabet)


def _as_clip(byte_pairs: Tokenizer, alphabet: list[str]) -> CLIPTokenizer:
    model = json.loads(byte_pairs.to_str())["model"]
    vocabulary = dict(model["vocab"])
    for letter in alphabet:
        for token in (letter, letter + "</w>"):
            vocabulary.setdefault(token, len(vocabulary))
    for token in ("<|startoftext|>", "<|endoftext|>"):
        vocabulary[token] = len(vocabulary)
    merges = [tuple(m.split(" ")) if isinstance(m, str) else tuple(m) for m in model["merges"]]
    return CLIPTokenizer(vocab=vocabulary, merges=merges, model_max_length=MAX_LENGTH)


def token_ids(tokenizer: CLIPTokenizer, captions: list[str]) -> list[list[int]]:
    """Rows of exactly `tokenizer.model_max_length` ids, padded and truncated as in Stable Diffusion."""
    rows: list[list[int]] = tokenizer(
        captions, padding="max_length", truncation=True, max_length=tokenizer.model_max_length
    ).input_ids
    return rows
