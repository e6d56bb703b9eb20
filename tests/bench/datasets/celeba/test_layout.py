"""Copies of CelebA as they are found: CSV annotations, nested folders, byte order marks, missing lists."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from bench.datasets.celeba.annotations import ATTRIBUTES
from bench.datasets.registry import open_dataset, open_people
from bench.errors import DatasetError
from bench.subjects import face_crops
from bench.subjects.image_files import Box, FaceCrop
from bench.subjects.photo_checks import check_people
from bench.suite.suite import DatasetSettings

Settings = Callable[..., DatasetSettings]
WriteCelebA = Callable[..., Path]
PEOPLE = {7: ("train", 3), 2880: ("test", 4), 31: ("test", 3)}
HEADERS = {
    "list_attr_celeba": " ".join(ATTRIBUTES),
    "identity_CelebA": "identity",
    "list_eval_partition": "partition",
    "list_bbox_celeba": "x_1 y_1 width height",
    "list_landmarks_align_celeba": "a b c d e f g h i j",
}
OFFICIAL_HEADER_LINES = {"list_attr_celeba": 2, "list_bbox_celeba": 2, "list_landmarks_align_celeba": 2}


def to_csv(root: Path) -> None:
    """Convert the annotations to CSV files with a header, as in the widespread copies."""
    for name, header in HEADERS.items():
        path = root / f"{name}.txt"
        lines = path.read_text().splitlines()[OFFICIAL_HEADER_LINES.get(name, 0) :]
        rows = [",".join(line.split()) for line in (f"image_id {header}", *lines)]
        path.with_suffix(".csv").write_text("\r\n".join(rows))
        path.unlink()


def with_marks(root: Path) -> None:
    for path in root.glob("*.txt"):
        path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())


def with_headers(root: Path) -> None:
    """Header lines where the official files have none, and none where they have them."""
    for name in ("identity_CelebA", "list_eval_partition"):
        path = root / f"{name}.txt"
        path.write_text(f"9\nimage_id {HEADERS[name]}\n{path.read_text()}")
    for name in ("list_bbox_celeba", "list_landmarks_align_celeba"):
        path = root / f"{name}.txt"
        path.write_text("".join(path.read_text().splitlines(keepends=True)[2:]))


def nested(root: Path) -> None:
    """`celeba/Anno/`, and the folder of images within folders of its name."""
    inner = root / "celeba" / "Anno"
    inner.mkdir(parents=True)
    for path in root.glob("*.txt"):
        path.rename(inner / path.name)
    folder = root / "celeba" / "img_align_celeba" / "img_align_celeba"
    folder.mkdir(parents=True)
    (root / "img_align_celeba").rename(folder / "img_align_celeba")


def with_doubled_lines(root: Path) -> None:
    for name in ("identity_CelebA.txt", "list_eval_partition.txt"):
        path = root / name
        path.write_text(path.read_text() + path.read_text())


def with_other_files(root: Path) -> None:
    """Captions and latents next to the images."""
    for path in sorted((root / "img_align_celeba").iterdir()):
        for suffix in (".txt", ".npz", ".jpg.txt"):
            path.with_suffix(suffix).write_text("no image")


@pytest.mark.parametrize(
    "change", [to_csv, with_marks, with_headers, nested, with_doubled_lines, with_other_files]
)
def test_every_copy_gives_the_same_photographs(
    change: Callable[[Path], None], celeba: WriteCelebA, settings: Settings
) -> None:
    def photographs() -> list[tuple[str, str, str]]:
        people = open_people(settings("celeba", root), Path()).chosen
        assert check_people(people) == []
        return [(who.id, p.path.name, p.caption) for who in people for p in (*who.references, *who.held_out)]

    root = celeba(PEOPLE)
    before = photographs()
    assert len(before) == 7
    change(root)
    assert photographs() == before


def test_jpg_is_used_where_a_photograph_has_several_formats(celeba: WriteCelebA, settings: Settings) -> None:
    root = celeba(PEOPLE)
    for path in sorted((root / "img_align_celeba").iterdir()):
        shutil.copy(path, path.with_suffix(".bmp"))
    dataset = open_dataset(settings("celeba", root), Path())
    assert {photo.path.suffix for name in dataset.names() for photo in dataset.photos(name)} == {".jpg"}
    assert any(remark.startswith("10 images are ignored") for remark in dataset.remarks)


def test_without_attributes_all_captions_are_plain_and_that_is_said(
    celeba: WriteCelebA, settings: Settings
) -> None:
    root = celeba(PEOPLE)
    (root / "list_attr_celeba.txt").unlink()
    people = open_people(settings("celeba", root, noun="person", caption="{subject} poses"), Path())
    assert people.remarks[0].startswith("no list_attr_celeba: all photographs have the caption '{subject} p")
    for who in people.chosen:
        assert (who.noun, who.attributes) == ("person", {})
        assert {(p.caption, len(p.attributes)) for p in who.references} == {("{subject} poses", 0)}
    with pytest.raises(DatasetError, match="dataset: caption: the caption 'nobody' must contain"):
        open_dataset(settings("celeba", root, caption="nobody"), Path())


def write_face(path: Path) -> None:
    """A picture of 400 x 300 pixels with a person on the right side."""
    (who,) = open_people(DatasetSettings("rendered", identities=1), Path()).chosen
    photo = who.references[0].load().resize((160, 160), Image.Resampling.LANCZOS)
    image = Image.new("RGB", (400, 300), "grey")
    image.paste(photo, (230, 20))
    image.save(path, quality=95)


def test_without_boxes_yunet_finds_the_face(celeba: WriteCelebA, settings: Settings) -> None:
    root = celeba({5: ("test", 2)}, wild=True)
    (root / "list_bbox_celeba.txt").unlink()
    write_face(root / "img_celeba" / "000001.jpg")
    dataset = open_dataset(settings("celeba", root, pictures="in-the-wild"), Path())
    assert any("2 photographs have no box" in line and "YuNet" in line for line in dataset.remarks)
    with_face, without = dataset.photos("c00005")
    assert with_face.part == FaceCrop()
    square = with_face.load()
    assert square.width == square.height < 300
    assert without.load().size == (120, 100)
    assert with_face.content() != with_face.path.read_bytes()


def test_without_boxes_and_without_yunet_the_whole_image_is_used(
    celeba: WriteCelebA, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = celeba({5: ("test", 2)}, wild=True)
    (root / "list_bbox_celeba.txt").unlink()
    for module in (face_crops, sys.modules["bench.datasets.celeba.dataset"]):
        monkeypatch.setattr(module, "detector", lambda: None)
    dataset = open_dataset(settings("celeba", root, pictures="in-the-wild"), Path())
    assert any(line.endswith("list_bbox_celeba: the whole image is used") for line in dataset.remarks)
    assert [photo.load().size for photo in dataset.photos("c00005")] == [(120, 100), (120, 100)]


@pytest.mark.parametrize(
    ("box", "part"),
    [
        ("-20 -10 60 60", Box(0, 0, 100, 100)),
        ("70 20 40 500", Box(20, 0, 120, 100)),
        ("500 20 40 50", FaceCrop()),
        ("30 20 0 50", FaceCrop()),
    ],
)
def test_boxes_outside_the_image_are_not_used(
    box: str, part: Box | FaceCrop, celeba: WriteCelebA, settings: Settings
) -> None:
    root = celeba({5: ("test", 2)}, wild=True)
    path = root / "list_bbox_celeba.txt"
    path.write_text(path.read_text().replace("000001.jpg    30  20  40  50", f"000001.jpg {box}"))
    photo = open_dataset(settings("celeba", root, pictures="in-the-wild"), Path()).photos("c00005")[0]
    assert photo.part == part


def test_lists_in_another_encoding_are_refused(celeba: WriteCelebA, settings: Settings) -> None:
    root = celeba(PEOPLE)
    path = root / "identity_CelebA.txt"
    path.write_text(path.read_text(), encoding="utf-16")
    with pytest.raises(DatasetError, match=r"identity_CelebA\.txt: the text is encoded in UTF-16"):
        open_dataset(settings("celeba", root), Path())


FULL = 202_599
MEASURE = """
import json, resource, sys, time
from pathlib import Path
from bench.datasets.registry import open_dataset
from bench.suite.suite import DatasetSettings
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
began = time.process_time()
dataset = open_dataset(DatasetSettings("celeba", sys.argv[1], partition="all", references=1), Path())
people = len(dataset.names())
seconds = time.process_time() - began
kilobytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
print(json.dumps([people, seconds, kilobytes]))
"""


def test_full_dataset_opens_quickly_with_little_memory(tmp_path: Path) -> None:
    rows = range(1, FULL + 1)
    bits = [" 1" if place % 3 else " -1" for place in range(43)]
    values = ["".join(bits[i : i + 40]) for i in range(3)]
    head = f"{FULL}\n{' '.join(ATTRIBUTES)}\n"
    (tmp_path / "list_attr_celeba.txt").write_text(
        head + "".join(f"{i:06d}.jpg {values[i % 3]}\n" for i in rows)
    )
    (tmp_path / "identity_CelebA.txt").write_text("".join(f"{i:06d}.jpg {1 + i % 10177}\n" for i in rows))
    (tmp_path / "list_eval_partition.txt").write_text("".join(f"{i:06d}.jpg {i % 3}\n" for i in rows))
    folder = tmp_path / "img_align_celeba"
    folder.mkdir()
    # Writing all images would take too long: two images each of a hundred people.
    for i in range(1, 101):
        (folder / f"{i:06d}.jpg").touch()
        (folder / f"{i + 10177:06d}.jpg").touch()
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, str(tmp_path)], capture_output=True, text=True, check=True
    )
    people, seconds, kilobytes = json.loads(done.stdout)
    assert people == 100
    assert seconds < 10
    assert kilobytes < 300_000
