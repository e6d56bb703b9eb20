"""Features on disk: what is read equals what was written, whatever happened to the files in between."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from metrics.encoders.runtime.feature_store import MAX_ROW, FeatureStore
from metrics.encoders.runtime.image_cache import ImageCache, Row

PARTS = {"network": "tiny 0123456789ab", "resize": "none"}
ROWS = {
    b"a" * 16: np.array([1.5, np.nan, -np.inf, 5e-324]),
    b"b" * 16: np.array([], np.float64),
    b"\0" * 16: np.linspace(0, 1, 7),
}
"""Rows of several lengths; one key ends in zeros."""


@pytest.fixture
def lines() -> list[str]:
    """What the store warned of."""
    return []


@pytest.fixture
def opened(tmp_path: Path, lines: list[str]) -> Callable[[], FeatureStore]:
    """Opens the store as another process would."""
    return lambda: FeatureStore(tmp_path / "features", lines.append)


def stored(store: FeatureStore, rows: dict[bytes, Row], encoder: str = "tiny") -> Path:
    """Store rows and return their file."""
    before = set(store.folder.rglob("*.safetensors"))
    store.features(encoder, PARTS).put(rows)
    store.flush()
    (path,) = set(store.folder.rglob("*.safetensors")) - before
    return path


def equal(found: dict[bytes, Row], expected: dict[bytes, Row]) -> bool:
    return found.keys() == expected.keys() and all(
        found[key].dtype == row.dtype and found[key].tobytes() == row.tobytes()
        for key, row in expected.items()
    )


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16, np.int64])
def test_rows_come_back_bit_for_bit(opened: Callable[[], FeatureStore], dtype: type) -> None:
    whole = dtype is np.int64
    rows = {key: (row[:1] if whole else row).astype(dtype) for key, row in ROWS.items()}
    stored(opened(), rows)
    assert equal(opened().features("tiny", PARTS).get([*rows, b"c" * 16]), rows)


@pytest.mark.parametrize("lengths", [(0,), (0, 0), (3, 0), (0, 3), (2, 0, 2)])
def test_rows_may_be_empty_such_as_those_of_images_without_a_face(
    opened: Callable[[], FeatureStore], lines: list[str], lengths: tuple[int, ...]
) -> None:
    rows = {bytes([i]) * 16: np.arange(float(length)) for i, length in enumerate(lengths)}
    store = opened()
    store.features("eye", {}).put(rows)
    store.flush()
    found = opened().features("eye", {}).get(rows.keys())
    assert {key: row.tolist() for key, row in found.items()} == {k: row.tolist() for k, row in rows.items()}
    assert {row.dtype for row in found.values()} == {np.dtype(np.float64)}
    assert lines == []


def test_rows_can_be_read_before_they_are_on_disk(opened: Callable[[], FeatureStore]) -> None:
    features = opened().features("tiny", PARTS)
    features.put(ROWS)
    assert equal(features.get(list(ROWS)), ROWS)
    assert not list(opened().folder.rglob("*.safetensors"))


@pytest.mark.parametrize("other", [{**PARTS, "resize": "bicubic"}, {**PARTS, "code": "1"}, {}])
def test_another_setting_has_its_own_features(
    opened: Callable[[], FeatureStore], other: dict[str, str]
) -> None:
    stored(opened(), ROWS)
    assert opened().features("tiny", other).get(list(ROWS)) == {}
    assert opened().features("other", PARTS).get(list(ROWS)) == {}


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-9])


def flip_last_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def replace_by_text(path: Path) -> None:
    path.write_text("<html>not found</html>")


@pytest.mark.parametrize("damage", [cut, flip_last_bit, replace_by_text, lambda path: path.write_bytes(b"")])
def test_a_damaged_file_is_reported_in_one_line_and_its_rows_are_absent(
    opened: Callable[[], FeatureStore], lines: list[str], damage: Callable[[Path], object]
) -> None:
    whole = {b"w" * 16: np.arange(3.0)}
    path = stored(opened(), ROWS)
    stored(opened(), whole)
    damage(path)
    features = opened().features("tiny", PARTS)
    assert equal(features.get([*ROWS, *whole]), whole)
    assert equal(features.get([*ROWS, *whole]), whole)
    assert len(lines) == 1
    assert lines[0].startswith(f"{path}: damaged features are computed again (")
    assert "\n" not in lines[0]
    # Stored again by this run, and nothing is reported by the next.
    stored(opened(), ROWS)
    assert equal(opened().features("tiny", PARTS).get(list(ROWS)), ROWS)
    assert len(lines) == 1


def test_two_runs_at_once_share_their_rows(opened: Callable[[], FeatureStore], lines: list[str]) -> None:
    one, other = (opened().features("tiny", PARTS) for _ in range(2))
    assert one.get(list(ROWS)) == other.get(list(ROWS)) == {}
    one.put(ROWS)
    other.put({**ROWS, b"d" * 16: np.arange(2.0)})
    one.flush()
    other.flush()
    assert equal(one.get(list(ROWS)), ROWS)
    assert len(opened().features("tiny", PARTS).get([*ROWS, b"d" * 16])) == 4
    assert lines == []


def test_a_file_that_another_process_deleted_is_absent(
    opened: Callable[[], FeatureStore], lines: list[str]
) -> None:
    path = stored(opened(), ROWS)
    features = opened().features("tiny", PARTS)
    assert features.get([b"z" * 16]) == {}
    path.unlink()
    assert features.get(list(ROWS)) == {}
    assert lines == []


def test_a_folder_that_cannot_be_written_is_reported_once(tmp_path: Path, lines: list[str]) -> None:
    (tmp_path / "file").write_text("in the way")
    store = FeatureStore(tmp_path / "file", lines.append)
    for key, row in ROWS.items():
        features = store.features("tiny", PARTS)
        features.put({key: row})
        features.flush()
    assert len(lines) == 1
    assert lines[0].startswith(f"features are not kept: {tmp_path / 'file'} cannot be written (")


def test_the_least_recently_used_files_are_deleted_above_the_limit(
    opened: Callable[[], FeatureStore], lines: list[str]
) -> None:
    old, new = (stored(opened(), {bytes([i]) * 16: np.zeros(1000)}) for i in range(2))
    time.sleep(0.01)
    # Reading counts as use.
    opened().features("tiny", PARTS).get([b"\0" * 16])
    old.touch()
    FeatureStore(opened().folder, lines.append, max_bytes=10_000)
    assert old.exists()
    assert not new.exists()


def test_very_large_rows_are_not_stored(opened: Callable[[], FeatureStore]) -> None:
    store = opened()
    store.features("tiny", PARTS).put({b"l" * 16: np.zeros(MAX_ROW // 8 + 1)})
    store.flush()
    assert not list(store.folder.rglob("*.safetensors"))


def test_stored_images_are_not_encoded(opened: Callable[[], FeatureStore]) -> None:
    calls: list[int] = []

    def compute(images: list[Image.Image]) -> Sequence[Row]:
        calls.append(len(images))
        return [np.array(image.getpixel((0, 0)), np.float64) for image in images]

    pictures = [Image.new("RGB", (2, 2), (value, 0, 0)) for value in range(4)]
    caches = []
    for known in (2, 4):
        store = opened()
        cache = ImageCache(compute)
        cache.store = store.features("tiny", PARTS)
        cache(pictures[:known])
        store.flush()
        caches.append(cache)
    assert calls == [2, 2]
    assert all(
        (a == b).all() for a, b in zip(caches[1](pictures), ImageCache(compute)(pictures), strict=True)
    )


WRITER = """
import sys
import numpy as np
from pathlib import Path
from metrics.encoders.runtime.feature_store import FeatureStore

store = FeatureStore(Path(sys.argv[1]), print)
features = store.features("tiny", {})
for i in range(10**6):
    features.put({i.to_bytes(16): np.full(20_000, float(i))})
    features.flush()
    print(i, flush=True)
"""


def test_a_killed_writer_leaves_whole_rows_only(tmp_path: Path, lines: list[str]) -> None:
    writer = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert writer.stdout is not None
    for _ in range(5):
        last = int(writer.stdout.readline())
    writer.send_signal(signal.SIGKILL)
    writer.wait()
    writer.stdout.close()
    keys = [i.to_bytes(16) for i in range(last + 1)]
    found = FeatureStore(tmp_path, lines.append).features("tiny", {}).get(keys)
    assert equal(found, {key: np.full(20_000, float(i)) for i, key in enumerate(keys)})
    assert lines == []
