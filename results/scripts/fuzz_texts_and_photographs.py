"""Damaged text files and photographs for `fuzz_inputs.py`, and what must be true of those that are read."""

import io
import json
import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Final

import numpy as np
from PIL import Image

from bench.cli.dataset_inspection import inspect_dataset
from bench.datasets.celeba.annotations import ATTRIBUTES
from bench.datasets.registry import open_people
from bench.errors import BenchError
from bench.subjects.image_files import load_photo
from bench.suite.suite import BUILT_IN, DatasetSettings, open_suite

LONGEST: Final = 2000
"""Maximum number of characters of a message."""
PEOPLE: Final = ("ada", "bob")
PHOTOS: Final = 3
PIECES: Final = (
    *("\ufeff", "\u2028", "\u200b", "\0", "\x1b[31m", "\r", "{subject}", "{subject", "\ud83d", "a person"),
    *('"', "\\", "{", "}", "[" * 2000, "null", "NaN", "1e999", "9" * 5000, ",", "-", "é", "x" * 70000, "../"),
)
"""Texts that are inserted into files."""
ENCODINGS: Final = ("utf-8-sig", "utf-16", "utf-32", "latin-1", "cp1251", "shift-jis")
FORMATS: Final = {
    "a.png": ("RGB", "RGBA", "L", "LA", "P", "1", "I;16"),
    "a.jpg": ("RGB", "L", "CMYK"),
    "a.webp": ("RGB", "RGBA"),
    "a.tif": ("RGB", "L", "CMYK", "I;16", "I", "F", "1", "P"),
    "a.bmp": ("RGB", "L", "1", "P"),
    "a.gif": ("P", "L"),
}


class Misread(Exception):
    """An input was read as something that it cannot be."""


def damaged(content: bytes, rng: random.Random) -> bytes:
    """One to four changes of bytes."""
    data = bytearray(content)
    for _ in range(rng.randint(1, 4)):
        at, length = rng.randrange(len(data) + 1), rng.randint(1, 8)
        match rng.randrange(5):
            case 0 if data:
                data[min(at, len(data) - 1)] ^= 1 << rng.randrange(8)
            case 1:
                del data[at : at + length]
            case 2:
                data[at:at] = rng.randbytes(length)
            case 3:
                data[at:at] = data[at : at + 20 * length]
            case _:
                del data[at:]
    return bytes(data)


def damage_text(path: Path, rng: random.Random) -> None:
    """Change the bytes, the encoding or the text of a file, or what it is."""
    text = path.read_text(encoding="utf-8")
    match rng.randrange(12):
        case 0:
            path.write_bytes(text.encode(rng.choice(ENCODINGS), errors="replace"))
        case 1:
            path.unlink()
            rng.choice((path.mkdir, lambda: os.mkfifo(path), lambda: path.symlink_to(path)))()
        case 2 | 3 | 4 | 5:
            at = rng.randrange(len(text) + 1)
            changed = text[:at] + rng.choice(PIECES) + text[at:]
            path.write_bytes(changed.encode(errors="surrogatepass"))
        case 6:
            lines = text.splitlines(keepends=True)
            rng.shuffle(lines)
            path.write_text("".join(lines + lines[:1]))
        case _:
            path.write_bytes(damaged(text.encode(), rng))


def write_people(folder: Path) -> None:
    """Two people with three different photographs each, and their captions in text files."""
    rng = np.random.default_rng(0)
    for name in PEOPLE:
        (folder / name).mkdir(parents=True)
        for number in range(PHOTOS):
            pixels = rng.integers(0, 255, (8, 8, 3), dtype=np.uint8)
            Image.fromarray(pixels).resize((32, 32)).save(folder / name / f"{number}.png")
            (folder / name / f"{number}.txt").write_text(f"a photo of {{subject}}, number {number}")


def captions(folder: Path, rng: random.Random) -> Callable[[], None]:
    """A damaged caption, noun or table of captions."""
    write_people(folder)
    person = folder / rng.choice(PEOPLE)
    texts = {f"{number}.png": f"a photo of a person, number {number}" for number in range(PHOTOS)}
    records = [{"file_name": name, "text": text} for name, text in texts.items()]
    contents = {
        "0.txt": "a photo of {subject}, smiling",
        "noun.txt": "woman",
        "captions.json": json.dumps(texts),
        "metadata.jsonl": "\n".join(map(json.dumps, records)),
        "metadata.csv": "\n".join(["file_name,text", *(f'{name},"{text}"' for name, text in texts.items())]),
    }
    name = rng.choice(list(contents))
    if name not in ("0.txt", "noun.txt"):
        for path in person.glob("*.txt"):
            path.unlink()
    (person / name).write_text(contents[name])
    damage_text(person / name, rng)
    return lambda: check_dataset(DatasetSettings("folder", str(folder), references=1))


def celeba(folder: Path, rng: random.Random) -> Callable[[], None]:
    """A damaged list of CelebA."""
    write_people(folder / "source")
    images = sorted((folder / "source").rglob("*.png"))
    pictures = rng.choice(("aligned", "in-the-wild"))
    target = folder / ("img_align_celeba" if pictures == "aligned" else "img_celeba")
    target.mkdir()
    names = [f"{number:06d}.png" for number in range(1, len(images) + 1)]
    for path, name in zip(images, names, strict=True):
        path.rename(target / name)
    labels = [" ".join(rng.choice(("1", "-1")) for _ in ATTRIBUTES) for _ in names]
    lists = {
        "identity_CelebA.txt": [f"{name} {1 + index // PHOTOS}" for index, name in enumerate(names)],
        "list_eval_partition.txt": [f"{name} 2" for name in names],
        "list_attr_celeba.txt": [str(len(names)), " ".join(ATTRIBUTES)]
        + [f"{name} {row}" for name, row in zip(names, labels, strict=True)],
        "list_bbox_celeba.txt": ["image_id x_1 y_1 width height"] + [f"{name} 5 5 20 20" for name in names],
        "list_landmarks_celeba.txt": [f"{name} 9 9 20 9 14 14 10 20 19 20" for name in names],
    }
    for name, lines in lists.items():
        (folder / name).write_text("\n".join(lines) + "\n")
    damage_text(folder / rng.choice(list(lists)), rng)
    settings = DatasetSettings("celeba", str(folder), references=1, pictures=pictures)  # type: ignore[arg-type]
    return lambda: check_dataset(settings)


def dreambench(folder: Path, rng: random.Random) -> Callable[[], None]:
    """A damaged list of DreamBench."""
    write_people(folder)
    path = folder / "prompts_and_classes.txt"
    prompts = [f"'a {{0}} {{1}} on the moon {n}'.format(unique_token, class_token)," for n in range(3)]
    kinds = ("Object Prompts", "Live Subject Prompts")
    parts = ["subject_name,class", "ada,kettle", "bob,dog"]
    path.write_text("\n".join([*parts, *(line for kind in kinds for line in (kind, *prompts))]))
    damage_text(path, rng)
    settings = DatasetSettings("dreambench", str(folder), references=1, own_prompts=True)
    return lambda: check_dataset(settings)


def suites(folder: Path, rng: random.Random) -> Callable[[], None]:
    """A damaged suite file; it is read, not run."""
    path = folder / "suite.toml"
    source = rng.choice(sorted(BUILT_IN.glob("*.toml")))
    folder.mkdir()
    path.write_text(source.read_text(encoding="utf-8"))
    damage_text(path, rng)
    return lambda: check_line(str(open_suite(str(path)).suite.name))


def photographs(folder: Path, rng: random.Random) -> Callable[[], None]:
    """A damaged photograph of some format and mode."""
    name = rng.choice(list(FORMATS))
    mode = rng.choice(FORMATS[name])
    pixels = np.random.default_rng(rng.randrange(100)).integers(0, 255, (24, 24, 3), dtype=np.uint8)
    image = Image.fromarray(pixels).resize((48, 40), Image.Resampling.BICUBIC)
    grey = np.asarray(image.convert("L"))
    match mode:
        case "I;16":
            image = Image.fromarray(grey.astype(np.uint16) * 257)
        case "I" | "F":
            image = Image.fromarray(grey.astype(np.int32 if mode == "I" else np.float32))
        case _:
            image = image.convert(mode)
    content = io.BytesIO()
    image.save(content, Image.registered_extensions()[Path(name).suffix], exif=_exif(rng))
    folder.mkdir()
    (folder / name).write_bytes(damaged(content.getvalue(), rng))
    return lambda: check_photo(folder / name)


def _exif(rng: random.Random) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = rng.randint(0, 9)
    return exif


def check_dataset(settings: DatasetSettings) -> None:
    """Open everything; raises BenchError if a run would refuse it, Misread for impossible captions."""
    summary = inspect_dataset(settings, Path(), open_all=True)
    for line in (*summary.refusals, *summary.remarks):
        check_line(line)
    for used in summary.used:
        for caption in used.captions:
            if caption.count("{subject}") != 1 or not caption.isprintable() or "\ufeff" in caption:
                raise Misread(f"caption {caption!a}")
        check_line(used.noun)
    if summary.refusals:
        raise BenchError(summary.refusals[0])
    open_people(settings, Path())


def check_photo(path: Path) -> None:
    """Open a photograph; raises PhotoError, or Misread if it is not RGB."""
    photo = load_photo(path)
    if photo.mode != "RGB" or min(photo.size) < 8:
        raise Misread(f"{photo.mode}, {photo.size}")


def check_line(line: str) -> None:
    """Raise Misread if a message is not one short line of UTF-8."""
    if len(line) > LONGEST or len(line.splitlines()) != 1 or not line.isprintable():
        raise Misread(f"message {line!a}")
    line.encode()


TARGETS: Final[dict[str, Callable[[Path, random.Random], Callable[[], None]]]] = {
    "captions": captions,
    "celeba": celeba,
    "dreambench": dreambench,
    "suites": suites,
    "photographs": photographs,
}
