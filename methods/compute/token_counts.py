"""Count the tokens of prompts with the tokenizers of a backbone, without loading its networks."""

import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, Final, Protocol

PROMPT: Final = "(prompt)"
"""Text in the place of a prompt in a chat template."""


class Limit(Protocol):
    """A text encoder's name, the folder of its tokenizer, and how many tokens it reads."""

    @property
    def encoder(self) -> str: ...
    @property
    def tokenizer(self) -> str: ...
    @property
    def tokens(self) -> int | None: ...
    @property
    def is_chat(self) -> bool: ...


def excess_tokens(folder: Path, limits: Sequence[Limit], texts: Sequence[str]) -> list[dict[str, int]]:
    """For each text, the number of tokens that each encoder cuts off because it reads no more; 0 if it fits.

    Encoders of one name count as one: the larger number.
    """
    excess: list[dict[str, int]] = [{limit.encoder: 0 for limit in limits} for _ in texts]
    for limit in limits:
        path = folder / limit.tokenizer
        most = limit.tokens or _own_limit(path)
        before = _tokens_before_prompt(path) if limit.is_chat else 0
        for found, count in zip(excess, _counts(path, texts, limit.encoder == "CLIP"), strict=True):
            found[limit.encoder] = max(found[limit.encoder], before + count - most)
    return excess


def _own_limit(path: Path) -> int:
    return int(json.loads((path / "tokenizer_config.json").read_text("utf-8"))["model_max_length"])


def _counts(path: Path, texts: Sequence[str], is_clip: bool) -> list[int]:
    """Number of tokens of each text, start and end included."""
    if (path / "tokenizer.json").exists():
        from tokenizers import Tokenizer

        whole = Tokenizer.from_file(str(path / "tokenizer.json"))
        whole.no_truncation()
        whole.no_padding()
        return [len(encoding.ids) for encoding in whole.encode_batch(list(texts))]
    tokenizer = _clip_tokenizer(path) if is_clip else _tokenizer(path)
    # verbose: the library would log that a text is too long.
    rows = tokenizer(list(texts), verbose=False).input_ids if texts else []
    return [len(ids) for ids in rows]


def _tokens_before_prompt(path: Path) -> int:
    """Tokens of a chat template before the prompt of its only message."""
    tokenizer = _tokenizer(path)
    message = [{"role": "user", "content": PROMPT}]
    rendered = tokenizer.apply_chat_template(message, tokenize=False, add_generation_prompt=True)
    return len(tokenizer(rendered.partition(PROMPT)[0]).input_ids)


@cache
def _clip_tokenizer(path: Path) -> Any:
    # Importing this class takes a second, reading `tokenizer.json` a few milliseconds.
    from transformers import CLIPTokenizer

    return CLIPTokenizer.from_pretrained(path, local_files_only=True)


@cache
def _tokenizer(path: Path) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(path, local_files_only=True)
