"""Atomic and durable writes: the order of the operations, links, leftovers, full disks."""

import errno
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from safetensors import SafetensorError

from bench.atomic_io import (
    folder_digest,
    fresh_folder,
    is_full_disk,
    read_json,
    refusal,
    remove_leftovers,
    write_json,
    write_whole,
)
from bench.errors import StoreError

pytestmark = pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="finds names by /proc/self/fd")


@dataclass
class Disk:
    """Records fsync and rename, and what a power cut before each of them would leave of every file."""

    root: Path
    operations: list[str] = field(default_factory=list)
    after_a_cut: list[dict[str, bytes]] = field(default_factory=list)
    synced: dict[int, bytes] = field(default_factory=dict)

    def fsync(self, opened: int) -> None:
        path = Path(f"/proc/self/fd/{opened}").readlink()
        self.record(f"sync {self.name(path)}")
        if path.is_file():
            self.synced[path.stat().st_ino] = path.read_bytes()

    def rename(self, source: Path, target: Path) -> None:
        self.record(f"rename {self.name(target)}")

    def record(self, operation: str) -> None:
        self.operations.append(operation)
        # The worst that ext4 does: names are there, contents are not.
        files = (path for path in self.root.rglob("*") if path.is_file())
        self.after_a_cut.append({self.name(p): self.synced.get(p.stat().st_ino, b"") for p in files})

    def name(self, path: Path) -> str:
        return path.relative_to(self.root).as_posix()


@pytest.fixture
def disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Disk:
    disk = Disk(tmp_path)
    real_fsync, real_replace = os.fsync, os.replace

    def fsync(opened: int) -> None:
        disk.fsync(opened)
        real_fsync(opened)

    def replace(source: Path, target: Path) -> None:
        disk.rename(source, target)
        real_replace(source, target)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "replace", replace)
    return disk


def test_file_is_flushed_before_it_gets_its_name(disk: Disk) -> None:
    write_whole(disk.root / "a.json", b"{}")
    assert disk.operations == ["sync .a.json.partial", "rename a.json"]


def test_folder_is_flushed_from_the_inside_out_before_it_gets_its_name(disk: Disk) -> None:
    with fresh_folder(disk.root / "fits" / "ada") as into:
        (into / "inner").mkdir()
        (into / "inner" / "weights").write_bytes(b"w")
        (into / "phrase").write_bytes(b"p")
    partial = "fits/.ada.partial"
    assert disk.operations == [
        f"sync {partial}/inner/weights",
        f"sync {partial}/inner",
        f"sync {partial}/phrase",
        f"sync {partial}",
        "rename fits/ada",
        "sync fits",
    ]


def test_no_power_cut_leaves_a_record_beside_an_incomplete_folder(disk: Disk) -> None:
    for content in (b"first", b"second"):
        (disk.root / "ada.json").unlink(missing_ok=True)
        with fresh_folder(disk.root / "ada") as into:
            (into / "weights").write_bytes(content)
        write_json(disk.root / "ada.json", {"content": content.decode()})
        disk.record("end")
    vouched = [files for files in disk.after_a_cut if "ada.json" in files]
    assert len(vouched) == 2
    for files in vouched:
        record = files["ada.json"].decode()
        assert files["ada/weights"].decode() in record
        assert files["ada/weights"]


def test_temporary_name_that_is_a_link_is_not_followed(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "file").write_text("kept")
    run = tmp_path / "run"
    run.mkdir()
    (run / ".a.json.partial").symlink_to(outside / "file")
    (run / ".fit.partial").symlink_to(outside)
    write_whole(run / "a.json", b"new")
    with fresh_folder(run / "fit") as into:
        (into / "file").write_text("new")
    assert (outside / "file").read_text() == "kept"
    assert (run / "a.json").read_bytes() == b"new"
    assert not (run / "a.json").is_symlink()
    assert not (run / "fit").is_symlink()


def test_link_that_appears_between_the_steps_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "outside").write_text("kept")
    real_open = os.open

    def opened(path: Path, *options: int) -> int:
        if Path(path).name == ".a.json.partial":
            Path(path).symlink_to(tmp_path / "outside")
        return real_open(path, *options)

    monkeypatch.setattr(os, "open", opened)
    with pytest.raises(StoreError, match="File exists"):
        write_whole(tmp_path / "a.json", b"new")
    assert (tmp_path / "outside").read_text() == "kept"


def test_leftovers_of_killed_runs_are_removed(tmp_path: Path) -> None:
    (tmp_path / "fits" / ".ada.partial" / "inner").mkdir(parents=True)
    (tmp_path / "fits" / ".bob.json.partial").write_bytes(b"x")
    (tmp_path / "fits" / "ada").mkdir()
    (tmp_path / "fits" / "a.partial").write_bytes(b"x")
    remove_leftovers(tmp_path)
    assert sorted(path.name for path in (tmp_path / "fits").iterdir()) == ["a.partial", "ada"]


def _changed(folder: Path) -> Iterator[Callable[[], object]]:
    yield lambda: (folder / "weights").write_bytes(b"")
    yield lambda: (folder / "weights").rename(folder / "other")
    yield lambda: (folder / "inner").mkdir()
    yield lambda: (folder / "other").unlink()


def test_every_change_of_a_folder_changes_its_digest(tmp_path: Path) -> None:
    (tmp_path / "weights").write_bytes(b"w")
    found = [folder_digest(tmp_path)]
    for change in _changed(tmp_path):
        change()
        found.append(folder_digest(tmp_path))
    assert len(set(found)) == len(found)


def _chained() -> Exception:
    try:
        try:
            raise OSError(errno.EDQUOT, "Disk quota exceeded")
        except OSError as cause:
            raise ValueError("the weights cannot be written") from cause
    except ValueError as error:
        return error


@pytest.mark.parametrize(
    ("error", "full"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), True),
        (SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)"), True),
        (RuntimeError("PytorchStreamWriter failed writing file data/0: file write failed"), True),
        (RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 576 vs 534"), True),
        (OSError("1000000 requested and 38336 written"), True),
        (OSError(errno.EROFS, "Read-only file system"), True),
        (_chained(), True),
        (OSError(errno.EACCES, "Permission denied"), False),
        (SafetensorError("I/O error: No such file or directory (os error 2)"), False),
        (ValueError("os error 281"), False),
    ],
    ids=lambda value: str(value)[:40],
)
def test_full_disk_is_recognised_in_the_errors_of_every_library(error: Exception, full: bool) -> None:
    assert is_full_disk(error) is full


def test_remedy_fits_the_error(tmp_path: Path) -> None:
    full, locked = OSError(errno.ENOSPC, "No space"), OSError(errno.EROFS, "Read-only file system")
    assert "free some space" in str(refusal(tmp_path, full))
    assert "choose another folder" in str(refusal(tmp_path, locked))


def test_deeply_nested_json_is_no_record(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("[" * 100_000)
    assert read_json(tmp_path / "a.json") == {}
