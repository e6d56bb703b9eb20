"""`metrics.catalog.examine`: every encoder opened, or the reason why it cannot be."""

import pytest

from metrics.catalog import examine
from metrics.interface import MetricError


def test_each_encoder_is_opened_once_after_what_it_is_built_from() -> None:
    seen = examine(["identity@sface", "copying@sface", "detected@yunet", "prompt-match@attributes"])
    assert list(seen) == ["yunet", "sface", "attributes"]
    assert not [found for found in seen.values() if isinstance(found, MetricError)]
    assert all(found for found in seen.values())


def test_what_cannot_be_opened_is_told_and_the_others_still_are() -> None:
    seen = examine(
        ["prompt-match@clip", "is@efficientnet-lite0", "no_such_module:Metric", "nonsense"],
        {"efficientnet-lite0": {"device": "cuda:77"}},
    )
    told = {name: str(found) for name, found in seen.items() if isinstance(found, MetricError)}
    assert set(told) == {"clip", "efficientnet-lite0", "no_such_module:Metric", "nonsense"}
    assert "no path given" in told["clip"]
    assert "cannot be opened" in told["efficientnet-lite0"]
    assert "unknown metric 'nonsense'" in told["nonsense"]


def test_settings_of_an_unknown_encoder_are_refused() -> None:
    with pytest.raises(MetricError, match="unknown encoder 'clap'; did you mean 'clip'"):
        examine(["prompt-match@clip"], {"clap": {}})
