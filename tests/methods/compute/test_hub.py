"""Hub ids, and the commit that they need."""

import pytest

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
