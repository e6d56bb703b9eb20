"""The clock and the memory."""

import time

import pytest

from bench.runner.resources import measured


def test_the_clock_holds_the_block() -> None:
    with measured() as cost:
        time.sleep(0.1)
    assert 0.1 <= cost.seconds < 5
    assert cost.gpu_mb is None


def test_a_peak_that_is_gone_at_the_end_is_seen() -> None:
    with measured() as before:
        pass
    with measured() as cost:
        block = bytearray(200 * 2**20)
        block[::4096] = b"x" * len(block[::4096])
        time.sleep(0.2)
        del block
    assert cost.memory_mb > before.memory_mb + 150


def test_time_is_taken_of_what_fails_too() -> None:
    with pytest.raises(ZeroDivisionError), measured() as cost:
        _ = 1 / 0
    assert cost.seconds > 0
