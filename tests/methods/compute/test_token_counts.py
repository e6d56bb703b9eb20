"""Token counts of prompts, from tokenizers in the two layouts of their files."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tiny_transformers import FlowFolders

from methods.backbone.families import flux, flux_2, stable_diffusion_3
from methods.backbone.locate import locate_checkpoint
from methods.backbone.spec import TextLimit
from methods.compute.token_counts import excess_tokens

CLIPS = (TextLimit("CLIP", "tokenizer"), TextLimit("CLIP", "tokenizer_2"))


def test_both_layouts_of_a_tokenizer_give_the_same_counts(sd_folder: Path, tmp_path: Path) -> None:
    shutil.copytree(sd_folder / "tokenizer", tmp_path / "tokenizer_2")
    model = json.loads((tmp_path / "tokenizer_2" / "tokenizer.json").read_text())["model"]
    (tmp_path / "tokenizer_2" / "tokenizer.json").unlink()
    (tmp_path / "tokenizer_2" / "vocab.json").write_text(json.dumps(model["vocab"]))
    merges = [pair if isinstance(pair, str) else " ".join(pair) for pair in model["merges"]]
    (tmp_path / "tokenizer_2" / "merges.txt").write_text("\n".join(["#version: 0.2", *merges]))
    texts = ["", "a man", "a photo of a woman, smiling, " * 20]
    counts = excess_tokens(sd_folder, CLIPS[:1], texts)
    assert counts[0] == counts[1] == {"CLIP": 0}
    assert counts[2]["CLIP"] > 0
    assert excess_tokens(tmp_path, CLIPS[1:], texts) == counts


def test_the_longest_count_of_two_tokenizers_is_used(sd_folder: Path, tmp_path: Path) -> None:
    for name, most in (("tokenizer", 6), ("tokenizer_2", 3)):
        config = shutil.copytree(sd_folder / "tokenizer", tmp_path / name) / "tokenizer_config.json"
        config.write_text(json.dumps({**json.loads(config.read_text()), "model_max_length": most}))
    both, first = (
        excess_tokens(tmp_path, clips, ["a man, smiling, smiling"])[0]["CLIP"] for clips in (CLIPS, CLIPS[:1])
    )
    assert both == first + 3


@pytest.mark.parametrize(
    ("family", "encoder", "between"), [("sd3", "T5", " "), ("flux", "T5", " "), ("flux2", "Qwen3", "")]
)
def test_each_encoder_reads_as_much_as_the_backbone_lets_it(
    family: str, encoder: str, between: str, flow_folders: FlowFolders
) -> None:
    """Texts of 120 tokens of T5, or of letters, which are tokens of the small Qwen3."""
    backbone = flow_folders.backbone(family)
    backbone = replace(backbone, spec=replace(backbone.spec, max_sequence_length=100), cache={})
    limits, words = backbone.source.text_limits(100), ["a"] * 120
    (excess,) = excess_tokens(backbone.folder, limits, [between.join(words)])
    kept = len(words) - excess[encoder]
    assert 60 < kept < 100
    # CLIP reads 77 tokens, with start and end.
    assert excess.get("CLIP", 45) == 45
    plain, last, beyond = (
        backbone.encode_text([between.join([*words[:place], other, *words[place + 1 :]])]).tokens
        for place, other in ((0, "a"), (kept - 1, "dog"), (kept, "dog"))
    )
    assert not torch.equal(last, plain)
    assert torch.equal(beyond, plain)


def test_limits_are_those_of_the_families(flow_folders: FlowFolders) -> None:
    own = {"sd3": stable_diffusion_3.T5_TOKENS, "flux": flux.T5_TOKENS, "flux2": flux_2.TOKENS}
    for family, tokens in own.items():
        limits = flow_folders.backbone(family).source.text_limits(None)
        assert [limit.tokens for limit in limits if limit.encoder != "CLIP"] == [tokens]
    without = locate_checkpoint(replace(flow_folders.backbone("sd3").spec, t5=False), fetch=False)
    assert {limit.encoder for limit in without.text_limits(None)} == {"CLIP"}
