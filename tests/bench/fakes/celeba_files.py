"""Fixtures that write CelebA folders with a few people."""

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bench.datasets.celeba.annotations import ATTRIBUTES
from bench.suite.suite import DatasetSettings

POINTS = " ".join(
    f"{p}_{xy}" for p in ("lefteye", "righteye", "nose", "leftmouth", "rightmouth") for xy in "xy"
)
PARTITIONS = {"train": 0, "valid": 1, "test": 2}
WriteCelebA = Callable[..., Path]


def write_noise(path: Path, seed: int, size: tuple[int, int] = (36, 44)) -> None:
    """Write an image that is unique for the seed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 255, (6, 6, 3), dtype=np.uint8)
    Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC).save(path)


@pytest.fixture
def celeba(tmp_path: Path) -> WriteCelebA:
    """Writes CelebA's files for people given as number -> (partition, number of photographs)."""

    def write(
        people: Mapping[int, tuple[str, int]],
        labels: Mapping[int, set[str]] | None = None,
        anno: str = "",
        eval: str = "",
        img: str = "",
        wild: bool = False,
    ) -> Path:
        root = tmp_path / "celeba"
        rows = [(who, part) for who, (part, count) in people.items() for _ in range(count)]
        names = [f"{number:06d}.jpg" for number in range(1, len(rows) + 1)]
        true_labels = labels or {}
        texts = {
            f"{anno}/list_attr_celeba.txt": [str(len(rows)), " ".join(ATTRIBUTES)]
            + [
                f"{name} "
                + " ".join(
                    " 1" if label in true_labels.get(number, {"Male", "No_Beard"}) else "-1"
                    for label in ATTRIBUTES
                )
                for number, name in enumerate(names, start=1)
            ],
            f"{anno}/identity_CelebA.txt": [
                f"{name} {who}" for name, (who, _) in zip(names, rows, strict=True)
            ],
            f"{eval}/list_eval_partition.txt": [
                f"{name} {PARTITIONS[part]}" for name, (_, part) in zip(names, rows, strict=True)
            ],
            f"{anno}/list_bbox_celeba.txt": [str(len(rows)), "image_id x_1 y_1 width height"]
            + [f"{name}    30  20  40  50" for name in names],
            f"{anno}/list_landmarks_align_celeba.txt": [str(len(rows)), POINTS]
            + [
                f"{name} 69  109  106  113   {60 + 9 * i}  142   73  152  108  154"
                for i, name in enumerate(names)
            ],
        }
        for name, lines in texts.items():
            path = root / name.strip("/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("\n".join(lines) + "\n")
        folder = root / img.strip("/") / ("img_celeba" if wild else "img_align_celeba")
        for number, name in enumerate(names, start=1):
            write_noise(folder / name, number, (120, 100) if wild else (36, 44))
        return root

    return write


@pytest.fixture
def settings() -> Callable[..., DatasetSettings]:
    """Settings with one reference photograph."""

    def make(kind: str, path: Path, **changes: object) -> DatasetSettings:
        return DatasetSettings(kind, str(path), **{"references": 1, **changes})  # type: ignore[arg-type]

    return make
