"""How networks look at pictures."""

from __future__ import annotations

import time

from metrics.encoders.runtime.inference import side_by_side


def test_answers_come_in_order_whichever_is_ready_first() -> None:
    def slow_for_the_first(item: int) -> int:
        time.sleep(0.05 if item == 0 else 0)
        return item * item

    assert side_by_side(slow_for_the_first, range(20)) == [item * item for item in range(20)]
    assert side_by_side(slow_for_the_first, []) == []
