"""Captions of a training set, tokenised in parts."""

from __future__ import annotations

import pytest
import torch
from squares import Squares, small_parts

from methods.tiny_sd import captions
from methods.tiny_sd.captions import caption_bank, sample_captions
from methods.tiny_sd.tokenizer import token_ids


def test_ids_are_those_of_the_captions_of_each_row(monkeypatch: pytest.MonkeyPatch) -> None:
    data = Squares(4, 2)
    tokenizer = small_parts(data).tokenizer
    monkeypatch.setattr(captions, "CAPTIONS", 3)
    bank = caption_bank(data, tokenizer, variants=2, seed=1)
    expected = token_ids(tokenizer, sample_captions(data, variants=2, seed=1))
    assert torch.equal(bank.ids.flatten(0, 2).long(), torch.tensor(expected))
    assert bank.ids.shape[:3] == (8, 2, 2)
