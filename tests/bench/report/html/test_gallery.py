"""The rows of the gallery, and the disagreement of face networks."""

from pathlib import Path
from urllib.parse import unquote

import pytest
from fake_run import cell, column, finished_run, scores

from bench.analysis.comparison_table import compare
from bench.report.html.gallery import NO_IMAGES, GallerySource, face_disagreement, gallery_data
from bench.report.html.thumbnails import Thumbnails
from bench.runs.finished_run import read_run

ONE, OTHER = column("identity", "one"), column("identity", "other")


def test_disagreement_is_the_largest_difference_of_ranks() -> None:
    rows = [*scores(ONE, "a", "ada", [0.1, 0.2, 0.3, 0.4]), *scores(OTHER, "a", "ada", [9.0, 6.0, 7.0, 8.0])]
    run = finished_run((ONE, OTHER), [cell("a", "ada", f"p{i}") for i in range(4)], rows)
    found = face_disagreement(run, compare(run).image_columns)
    # Ranks 1, 2, 3, 4 of 4 against 4, 1, 2, 3.
    assert [found["a", "ada", f"p{i}", 1] for i in range(4)] == pytest.approx([0.75, 0.25, 0.25, 0.25])


def test_image_that_one_network_does_not_score_has_no_disagreement() -> None:
    rows = [*scores(ONE, "a", "ada", [0.1, 0.2]), *scores(OTHER, "a", "ada", ["no face found", 0.3])]
    run = finished_run((ONE, OTHER), [cell("a", "ada", f"p{i}") for i in range(2)], rows)
    assert face_disagreement(run, compare(run).image_columns) == {("a", "ada", "p1", 1): 0.0}


def test_run_without_images_has_no_rows(tmp_path: Path) -> None:
    run = finished_run((ONE,), [cell("a", "ada", "p0")], scores(ONE, "a", "ada", [0.1]))
    data = gallery_data(compare(run), GallerySource({}, Thumbnails(tmp_path / "t"), tmp_path / "page.html"))
    assert (data["rows"], data["remark"]) == ([], NO_IMAGES)


def test_row_has_one_seed_and_the_scores_of_its_image(run_folder: Path) -> None:
    run = read_run(run_folder)
    source = GallerySource({}, Thumbnails(run_folder / "x_images"), run_folder / "x.html")
    data = gallery_data(compare(run), source)
    assert len(data["rows"]) == len(run.cells)
    row = next(row for row in data["rows"] if (row["person"], row["sample"]) == ("bob", 2))
    (shown,) = row["cells"]
    original = next(
        c for c in run.cells if (c.identity, c.prompt, c.sample) == ("bob", row["prompt"], row["sample"])
    )
    assert (shown["seed"], shown["fingerprint"]) == (original.seed, original.picture)
    assert (run_folder / unquote(shown["full"])).is_file()
    for i, metric in enumerate(data["metrics"]):
        own = next(
            s
            for s in run.scores
            if (s.identity, s.prompt, s.sample, s.metric)
            == ("bob", row["prompt"], row["sample"], metric["title"].partition(" ")[0])
            and s.method == original.method
        )
        assert shown["scores"].get(i) == (own.value if own.value is None else pytest.approx(own.value, 1e-5))


def test_missing_image_has_a_reason(run_folder: Path) -> None:
    run = read_run(run_folder)
    path = next((run_folder / "images").rglob("*.png"))
    path.unlink()
    source = GallerySource({}, Thumbnails(run_folder / "x_images"), run_folder / "x.html")
    cells = [c for row in gallery_data(compare(run), source)["rows"] for c in row["cells"]]
    assert [c["problem"] for c in cells if not c["image"]] == ["the image is not in the run folder"]


def test_groups_and_overlaps_of_the_run(known_folder: Path, tmp_path: Path) -> None:
    run = read_run(known_folder)
    data = gallery_data(compare(run), GallerySource({}, Thumbnails(tmp_path / "t"), tmp_path / "page.html"))
    assert {group["name"]: group["people"] for group in data["groups"]} == {
        "noun: man": ("bob", "dan"),
        "noun: woman": ("ada", "cleo", "eva", "fay"),
    }
    sface = next(metric for metric in data["metrics"] if metric["title"] == "identity (sface)")
    notes = dict(zip(run.methods, sface["overlap"], strict=True))
    assert notes.pop("leaky").startswith("† Not ranked: the method is conditioned")
    assert set(notes.values()) == {""}
