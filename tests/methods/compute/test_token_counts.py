"""Token counts of prompts, from tokenizers in the two layouts of their files."""

import json
import shutil
from pathlib import Path

from methods.compute.token_counts import excess_tokens


def test_both_layouts_of_a_tokenizer_give_the_same_counts(sd_folder: Path, tmp_path: Path) -> None:
    shutil.copytree(sd_folder / "tokenizer", tmp_path / "tokenizer_2")
    model = json.loads((tmp_path / "tokenizer_2" / "tokenizer.json").read_text())["model"]
    (tmp_path / "tokenizer_2" / "tokenizer.json").unlink()
    (tmp_path / "tokenizer_2" / "vocab.json").write_text(json.dumps(model["vocab"]))
    merges = [pair if isinstance(pair, str) else " ".join(pair) for pair in model["merges"]]
    (tmp_path / "tokenizer_2" / "merges.txt").write_text("\n".join(["#version: 0.2", *merges]))
    texts = ["", "a man", "a photo of a woman, smiling, " * 20]
    counts = excess_tokens(sd_folder, texts)
    assert counts[0] == counts[1] == 0 < counts[2]
    assert excess_tokens(tmp_path, texts) == counts


def test_the_longest_count_of_two_tokenizers_is_used(sd_folder: Path, tmp_path: Path) -> None:
    for name, most in (("tokenizer", 6), ("tokenizer_2", 3)):
        config = shutil.copytree(sd_folder / "tokenizer", tmp_path / name) / "tokenizer_config.json"
        config.write_text(json.dumps({**json.loads(config.read_text()), "model_max_length": most}))
    plain = excess_tokens(tmp_path, ["a man, smiling, smiling"])[0]
    shutil.rmtree(tmp_path / "tokenizer_2")
    assert plain == excess_tokens(tmp_path, ["a man, smiling, smiling"])[0] + 3
