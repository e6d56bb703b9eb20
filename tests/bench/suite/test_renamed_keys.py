"""Suites of version 0.1 are read with a notice."""

from pathlib import Path

import pytest

from bench.errors import RenamedWarning
from bench.suite.suite import read_suite

OLD = """
name = "old"
metrics = []
[dataset]
kind = "rendered"
at_least = 5
[prompts]
ids = ["blue-background"]
[[prompts.cards]]
id = "hat"
template = "{subject} in a hat"
asks = { hat = "red" }
[methods.mine]
like = "loo-mean"
spoil = "blurred"
[[sweep]]
methods = ["ip-adapter"]
setting = "spoil"
values = ["blurred"]
"""


def test_old_keys_keep_their_meaning() -> None:
    with pytest.warns(RenamedWarning) as noticed:
        suite = read_suite(OLD, Path("old.toml"))
    assert suite.dataset.min_photos == 5
    assert suite.shared_prompts[-1].expected_attributes == {"hat": "red"}
    assert suite.methods == {"mine": {"base": "loo-mean", "corruption": "blurred"}}
    assert suite.settings["ip-adapter@corruption=blurred"] == {"base": "ip-adapter", "corruption": "blurred"}
    notices = sorted(str(notice.message).partition(";")[0] for notice in noticed)
    assert notices == [
        "old.toml: 'asks' is now 'expected_attributes'",
        "old.toml: 'at_least' is now 'min_photos'",
        "old.toml: 'cards' is now 'custom'",
        "old.toml: 'like' is now 'base'",
        "old.toml: 'spoil' is now 'corruption'",
    ]


def test_same_key_in_another_table_is_not_renamed(recwarn: pytest.WarningsRecorder) -> None:
    text = OLD.partition("[dataset]")[0] + '[dataset]\nkind = "rendered"\n[encoders.arcface]\nlike = "x"\n'
    assert read_suite(text, Path("new.toml")).encoders == {"arcface": {"like": "x"}}
    assert not [notice for notice in recwarn if issubclass(notice.category, RenamedWarning)]
