"""Measured seconds and peak memory of a block."""

import time

import pytest

from bench.runner.resources import measured


def test_seconds_include_the_whole_block() -> None:
    with measured() as cost:
        time.sleep(0.1)
    assert 0.1 <= cost.seconds < 5
    assert cost.gpu_mb is None


def test_peak_includes_memory_freed_before_the_end() -> None:
    with measured() as before:
        pass
    with measured() as cost:
        block = bytearray(200 * 2**20)
        block[::4096] = b"x" * len(block[::4096])
        time.sleep(0.2)
        del block
    assert cost.memory_mb > before.memory_mb + 150


def test_block_that_raises_is_timed() -> None:
    with pytest.raises(ZeroDivisionError), measured() as cost:
        _ = 1 / 0
    assert cost.seconds > 0
