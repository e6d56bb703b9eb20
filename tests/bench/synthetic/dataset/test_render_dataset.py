import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bench.synthetic.dataset import render_dataset as dataset
from bench.synthetic.dataset.photo_files import load_photos
from bench.synthetic.dataset.photograph import photograph
from bench.synthetic.dataset.render_dataset import Block, render_block, render_photos
from bench.synthetic.dataset.shipped_set import PLAIN_VIEWS, shipped_people, stratified_views
from bench.synthetic.geometry.head_model import HEAD_FILE
from bench.synthetic.parameters.persona import sample_persona
from bench.synthetic.parameters.shot import sample_shot
from bench.synthetic.parameters.splits import FIRST_SEED, MAX_IDENTITIES, identity_seeds

SHIPPED = HEAD_FILE.parent / "test"


def contents(folder: Path) -> tuple[bytes, bytes]:
    return (folder / "photos.npy").read_bytes(), (folder / "photos.jsonl").read_bytes()


@pytest.fixture
def short_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dataset, "BLOCK", 1)


def test_splits_are_disjoint() -> None:
    ranges = [identity_seeds(split, MAX_IDENTITIES) for split in FIRST_SEED]
    ranges.sort(key=lambda seeds: seeds[0])
    assert all(one[-1] < other[0] for one, other in pairwise(ranges))


def test_too_many_identities_for_a_split_are_refused() -> None:
    with pytest.raises(ValueError, match="train: 1000001 identities"):
        identity_seeds("train", MAX_IDENTITIES + 1)


@pytest.mark.usefixtures("short_blocks")
def test_number_of_processes_does_not_change_a_byte(tmp_path: Path) -> None:
    for processes in (1, 2):
        render_photos("validation", 2, 2, tmp_path / str(processes), processes=processes)
    assert contents(tmp_path / "1") == contents(tmp_path / "2")


@pytest.mark.usefixtures("short_blocks")
def test_only_missing_blocks_are_rendered_again(tmp_path: Path) -> None:
    render_photos("test", 2, 1, tmp_path / "whole", processes=1)
    parts = tmp_path / "resumed" / "parts"
    parts.mkdir(parents=True)
    (parts / "renderer").write_text(dataset.RENDERER)
    render_block(Block(FIRST_SEED["test"], 1, 1, parts))
    reported: list[tuple[int, int]] = []
    render_photos(
        "test", 2, 1, tmp_path / "resumed", processes=1, progress=lambda *done: reported.append(done)
    )
    assert reported == [(2, 2)]
    assert contents(tmp_path / "resumed") == contents(tmp_path / "whole")
    assert not parts.exists()


@pytest.mark.usefixtures("short_blocks")
def test_blocks_of_another_renderer_version_are_discarded(tmp_path: Path) -> None:
    parts = tmp_path / "parts"
    parts.mkdir()
    (parts / "renderer").write_text("older")
    Block(FIRST_SEED["test"], 1, 1, parts).path.write_bytes(b"not an archive")
    render_photos("test", 1, 1, tmp_path, processes=1)
    assert len(load_photos(tmp_path).records) == 1


def test_photos_are_read_back_with_their_records(tmp_path: Path) -> None:
    render_photos("train", 1, 3, tmp_path, processes=1)
    photos = load_photos(tmp_path)
    assert photos.pixels.shape == (3, 64, 64, 3)
    assert [(photo.identity, photo.view) for photo in photos.records] == [(0, 0), (0, 1), (0, 2)]
    assert photos.records[0].template.startswith("a photo of {subject}, ")
    for image, (photo, fresh) in zip(photos.pixels, photograph(0, range(3), 64), strict=True):
        assert np.array_equal(image, fresh), photo
    card = json.loads((tmp_path / "card.json").read_text())
    assert card["identity_seeds"] == [0, 0]
    assert card["renderer"] == dataset.RENDERER


def test_missing_records_are_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "photos.npy", np.zeros((1, 8, 8, 3), np.uint8))
    (tmp_path / "photos.jsonl").write_text("")
    with pytest.raises(ValueError, match="1 images but 0 records"):
        load_photos(tmp_path)


def test_stratified_views_contain_enough_plain_views() -> None:
    for seed in range(40):
        persona = sample_persona(seed)
        views = stratified_views(persona, 12)
        shots = [sample_shot(persona, view) for view in views]
        plain = [s for s in shots if (s.glasses, s.hat, s.pose) == ("none", "none", "front")]
        assert len(set(views)) == 12
        assert len(plain) >= PLAIN_VIEWS


def test_shipped_images_are_readable_and_listed() -> None:
    records = [json.loads(line) for line in (SHIPPED / "people.jsonl").read_text().splitlines()]
    assert len(records) == 32 * 12
    assert len({record["identity"] for record in records}) == 32
    for record in records:
        with Image.open(SHIPPED / record["identity"] / f"{record['view']:02d}.webp") as image:
            assert (image.size, image.mode) == ((64, 64), "RGB")


def test_shipped_images_match_the_renderer() -> None:
    name, persona = next(iter(shipped_people(32).items()))
    views = stratified_views(persona, 12)[:2]
    for number, (_, fresh) in enumerate(photograph(persona.seed, views, 64)):
        with Image.open(SHIPPED / name / f"{number:02d}.webp") as image:
            shipped = np.asarray(image, int)
        # BLAS and SIMD of other processors round the last bit differently, which can change edge pixels.
        difference = np.abs(shipped - fresh)
        assert (difference > 2).mean() < 0.002


def test_assets_are_small() -> None:
    assert sum(path.stat().st_size for path in HEAD_FILE.parent.rglob("*") if path.is_file()) < 12e6
