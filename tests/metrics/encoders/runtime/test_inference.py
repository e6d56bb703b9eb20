"""Shared inference helpers."""

from __future__ import annotations

import time

from metrics.encoders.runtime.inference import map_in_threads


def test_results_keep_the_order_of_the_items() -> None:
    def slow_for_the_first(item: int) -> int:
        time.sleep(0.05 if item == 0 else 0)
        return item * item

    assert map_in_threads(slow_for_the_first, range(20)) == [item * item for item in range(20)]
    assert map_in_threads(slow_for_the_first, []) == []
