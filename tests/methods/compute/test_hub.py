"""Hub ids, and the commit that they need."""

from types import SimpleNamespace
from typing import Any

import huggingface_hub
import pytest
from huggingface_hub.errors import GatedRepoError

from methods.compute.hub import is_hub_id, snapshot
from methods.errors import MethodError


@pytest.mark.parametrize(
    ("path", "expected"), [("owner/name", True), ("./folder", False), ("~/name", False), ("a/b/c", False)]
)
def test_hub_ids_are_told_from_paths(path: str, expected: bool) -> None:
    assert is_hub_id(path) is expected


def test_a_branch_is_no_commit() -> None:
    with pytest.raises(MethodError, match="needs the 40 digits of a commit"):
        snapshot("owner/vae", "main", ["config.json"], fetch=False)


def test_gated_model_needs_an_accepted_licence(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> str:
        response: Any = SimpleNamespace(headers={}, request=None)
        raise GatedRepoError("403 Client Error", response=response)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", refuse)
    with pytest.raises(MethodError, match=r"'owner/gated': gated; accept the licence .* hf auth login"):
        snapshot("owner/gated", "0" * 40, ["config.json"], fetch=True)
