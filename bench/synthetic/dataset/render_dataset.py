"""Render a split of disjoint identities, in blocks that can be resumed."""

import io
import json
import shutil
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from bench.atomic_io import write_text, write_whole
from bench.synthetic.dataset.photograph import photograph
from bench.synthetic.dataset.shipped_set import ship_test_set
from bench.synthetic.parameters.splits import Split, identity_seeds
from bench.synthetic.renderer.render import RENDERER, SIZE

__all__ = ["render_photos", "ship_test_set"]

Progress = Callable[[int, int], None]
"""Called with the numbers of finished identities and of all identities."""

BLOCK = 20
"""Number of identities in one part file."""


@dataclass(frozen=True)
class Block:
    """Consecutive identities that are rendered into one part file."""

    first_seed: int
    identities: int
    views: int
    folder: Path

    @property
    def path(self) -> Path:
        return self.folder / f"{self.first_seed:07d}-{self.identities}x{self.views}.npz"


def render_photos(
    split: Split,
    identities: int,
    views: int,
    out: Path,
    *,
    processes: int = 2,
    progress: Progress | None = None,
) -> None:
    """Write `photos.npy`, `photos.jsonl` and `card.json`; finished blocks are not rendered again."""
    started = time.monotonic()
    seeds = identity_seeds(split, identities)
    parts = out / "parts"
    parts.mkdir(parents=True, exist_ok=True)
    _delete_outdated_parts(parts)
    blocks = [Block(seeds[i], min(BLOCK, identities - i), views, parts) for i in range(0, identities, BLOCK)]
    missing = [block for block in blocks if not block.path.exists()]
    done = sum(block.identities for block in blocks if block.path.exists())
    for block in _rendered(missing, processes):
        done += block.identities
        if progress:
            progress(done, identities)
    _assemble(blocks, out)
    card = {
        "split": split,
        "identities": identities,
        "views": views,
        "size": SIZE,
        "identity_seeds": [seeds[0], seeds[-1]],
        "renderer": RENDERER,
        "seconds": round(time.monotonic() - started, 1),
    }
    write_text(out / "card.json", json.dumps(card, indent=2) + "\n")
    shutil.rmtree(parts)


def render_block(block: Block) -> Block:
    """Render one part file and write it atomically."""
    pixels, records = [], []
    for seed in range(block.first_seed, block.first_seed + block.identities):
        for photo, image in photograph(seed, range(block.views), SIZE):
            records.append(photo.line)
            pixels.append(image)
    content = io.BytesIO()
    np.savez(content, pixels=np.stack(pixels), records=np.array(records))
    write_whole(block.path, content.getvalue())
    return block


def _rendered(blocks: list[Block], processes: int) -> Iterator[Block]:
    if processes == 1:
        yield from map(render_block, blocks)
        return
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        for finished in as_completed([pool.submit(render_block, block) for block in blocks]):
            yield finished.result()


def _assemble(blocks: list[Block], out: Path) -> None:
    """Concatenate the part files in the order of their seeds."""
    count = sum(block.identities * block.views for block in blocks)
    temporary = out / "photos.npy.partial"
    pixels = np.lib.format.open_memmap(temporary, mode="w+", dtype=np.uint8, shape=(count, SIZE, SIZE, 3))
    lines: list[str] = []
    for block in blocks:
        with np.load(block.path) as part:
            pixels[len(lines) : len(lines) + len(part["pixels"])] = part["pixels"]
            lines += [str(line) for line in part["records"]]
    pixels.flush()
    temporary.rename(out / "photos.npy")
    write_text(out / "photos.jsonl", "\n".join(lines) + "\n")


def _delete_outdated_parts(parts: Path) -> None:
    """Delete part files of another renderer version."""
    version_file = parts / "renderer"
    if version_file.exists() and version_file.read_text() != RENDERER:
        for part in parts.glob("*.npz"):
            part.unlink()
    write_text(version_file, RENDERER)
