"""Changes of an object's attributes are found and undone."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from methods.compute.object_record import ObjectRecord


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("number", 2),
        ("table", torch.tensor([1.0, 3.0])),
        ("array", np.array([2])),
        ("settings", {"a": 2}),
        ("settings", {"a": 1, "b": 0}),
        ("added", True),
        ("part", object()),
    ],
)
def test_a_changed_attribute_is_found_and_reset(key: str, value: object) -> None:
    owner = SimpleNamespace(
        number=1, table=torch.tensor([1.0, 2.0]), array=np.array([1]), settings={"a": 1}, part=object()
    )
    record = ObjectRecord.of(owner)
    assert record.differences(owner) == []
    setattr(owner, key, value)
    assert record.differences(owner) == [key]
    record.reset()
    assert record.differences(owner) == []
    assert hasattr(owner, key) is (key != "added")


def test_a_table_changed_in_place_is_found_and_reset() -> None:
    owner = SimpleNamespace(table=torch.tensor([1.0, 2.0]))
    record = ObjectRecord.of(owner)
    owner.table.mul_(2)
    assert record.differences(owner) == ["table"]
    record.reset()
    assert owner.table.tolist() == [1.0, 2.0]
    assert record.differences(SimpleNamespace(table=owner.table)) == ["replaced"]
