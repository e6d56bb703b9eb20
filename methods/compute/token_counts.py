"""Count the tokens of prompts with the tokenizers of a backbone, without loading its networks."""

import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, Final

TOKENIZERS: Final = ("tokenizer", "tokenizer_2")
"""Folders of the tokenizers in a diffusers folder; SDXL has both."""


def excess_tokens(folder: Path, texts: Sequence[str]) -> list[int]:
    """For each text, the number of tokens that are cut off because an encoder reads no more; 0 if it fits."""
    excess = [0] * len(texts)
    for path in (folder / name for name in TOKENIZERS):
        if path.is_dir():
            for row, (count, most) in enumerate(_counts(path, texts)):
                excess[row] = max(excess[row], count - most)
    return excess


def _counts(path: Path, texts: Sequence[str]) -> list[tuple[int, int]]:
    """Number of tokens of each text, start and end included, and the number that the encoder reads."""
    if (path / "tokenizer.json").exists():
        from tokenizers import Tokenizer

        most = int(json.loads((path / "tokenizer_config.json").read_text("utf-8"))["model_max_length"])
        whole = Tokenizer.from_file(str(path / "tokenizer.json"))
        whole.no_truncation()
        whole.no_padding()
        return [(len(encoding.ids), most) for encoding in whole.encode_batch(list(texts))]
    tokenizer = _clip_tokenizer(path)
    # verbose: the library would log that a text is too long.
    rows = tokenizer(list(texts), verbose=False).input_ids if texts else []
    return [(len(ids), tokenizer.model_max_length) for ids in rows]


@cache
def _clip_tokenizer(path: Path) -> Any:
    # Importing this class takes a second, reading `tokenizer.json` a few milliseconds.
    from transformers import CLIPTokenizer

    return CLIPTokenizer.from_pretrained(path, local_files_only=True)
