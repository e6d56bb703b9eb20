"""The layout of google/dreambooth: subjects, classes and prompts of objects and animals."""

import csv
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bench.datasets.dreambench import read_listing
from bench.datasets.registry import open_people
from bench.errors import DatasetError
from bench.runs.plan import ImageCounts, make_plan
from bench.suite.suite import DatasetSettings

LISTING = """Classes

subject_name,class
kettle,kettle
rex,dog
old_orange,toy

Prompts

Object Prompts

prompt_list = [
'a {0} {1} on the moon'.format(unique_token, class_token),
'a green {0} {1}'.format(unique_token, class_token)
]

Live Subject Prompts

prompt_list = [
'a {0} {1} wearing a scarf'.format(unique_token, class_token),
'a {0} {1} on the moon'.format(unique_token, class_token),
]
"""


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A clone without the photographs of one subject."""
    rng = np.random.default_rng(0)
    for name in ("kettle", "rex"):
        folder = tmp_path / "dataset" / name
        folder.mkdir(parents=True)
        for number in range(5):
            pixels = rng.integers(0, 255, (24, 24, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / f"{number:02d}.jpg")
    (tmp_path / "dataset" / "prompts_and_classes.txt").write_text(LISTING)
    return tmp_path


def test_subjects_have_a_class_and_are_not_persons(clone: Path) -> None:
    opened = open_people(DatasetSettings("dreambench", str(clone)), Path())
    kettle, rex = opened.chosen
    assert (kettle.phrase, kettle.attributes["kind"], kettle.person) == ("a kettle", "object", False)
    assert (rex.phrase, rex.attributes["kind"], rex.person) == ("a dog", "live", False)
    assert (len(rex.references), len(rex.held_out)) == (4, 1)
    assert opened.remarks[0].startswith("1 of 3 subjects are not in")


def test_path_may_be_the_inner_dataset_folder(clone: Path) -> None:
    outer = open_people(DatasetSettings("dreambench", str(clone)), Path())
    inner = open_people(DatasetSettings("dreambench", str(clone / "dataset")), Path())
    assert inner == outer


def test_own_prompts_depend_on_the_kind_of_subject(clone: Path) -> None:
    settings = DatasetSettings("dreambench", str(clone), own_prompts=True)
    people = open_people(settings, Path()).chosen
    plan = make_plan(["m"], people, (), ImageCounts(), seed=0)
    templates = {cell.id: cell.prompt.template for cell in plan.cells}
    assert templates == {
        "m/kettle/on-the-moon/s1": "{subject} on the moon",
        "m/kettle/green/s1": "{subject}, green",
        "m/rex/wearing-a-scarf/s1": "{subject} wearing a scarf",
        "m/rex/on-the-moon/s1": "{subject} on the moon",
    }
    assert not open_people(replace(settings, own_prompts=False), Path()).chosen[0].own_prompts


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("'a green {0} {1}'", "'green {1}'", r"line \d+: .* expected a prompt with"),
        ("Live Subject Prompts", "", "4 and 0 prompts; expected"),
        ("kettle,kettle\nrex,dog\nold_orange,toy\n", "", "0 subjects"),
    ],
)
def test_malformed_listing_is_refused(old: str, new: str, message: str, clone: Path) -> None:
    path = clone / "dataset" / "prompts_and_classes.txt"
    path.write_text(LISTING.replace(old, new))
    with pytest.raises(DatasetError, match=message):
        read_listing(path)


def templates(clone: Path, line: str) -> dict[str, str]:
    path = clone / "dataset" / "prompts_and_classes.txt"
    first = "'a {0} {1} on the moon'.format(unique_token, class_token),\n'a green"
    path.write_bytes(b"\xef\xbb\xbf" + LISTING.replace(first, f"{line},\n'a green").encode())
    return {prompt.id: prompt.template for prompt in read_listing(path).prompts["object"]}


@pytest.mark.parametrize(
    ("line", "id", "template"),
    [
        (r"'a {0} {1} on the king\'s bed'.format(a, b)", "on-the-king-s-bed", "{subject} on the king's bed"),
        ('"a {0} {1} on the king\'s bed".format(a, b)', "on-the-king-s-bed", "{subject} on the king's bed"),
        ("'a {0} {1} в лесу'.format(a, b)", "line-13", "{subject} в лесу"),
        ("'a {0} {1} Green!'.format(a, b)", "green", "{subject} Green!"),
    ],
)
def test_prompts_are_python_strings_with_unique_ids(line: str, id: str, template: str, clone: Path) -> None:
    green = "green-2" if id == "green" else "green"
    assert templates(clone, line) == {id: template, green: "{subject}, green"}


@pytest.mark.parametrize("line", ["'a {0} {1} with {0}'", "'a {0} {1} in {2}'", r"'a {0} {1} \x'"])
def test_prompts_with_other_slots_or_escapes_are_refused(line: str, clone: Path) -> None:
    with pytest.raises(DatasetError, match=r"line 13: .*; expected a prompt"):
        templates(clone, line)


def test_caption_of_the_suite_must_name_the_subject(clone: Path) -> None:
    with pytest.raises(DatasetError, match="dataset: caption: the caption 'nothing' must contain"):
        open_people(DatasetSettings("dreambench", str(clone), caption="nothing"), Path())


def test_missing_listing_is_refused(clone: Path) -> None:
    (clone / "dataset" / "prompts_and_classes.txt").unlink()
    with pytest.raises(DatasetError, match="expected a clone of google/dreambooth"):
        open_people(DatasetSettings("dreambench", str(clone)), Path())


SUITE = """
name = "things"
metrics = ["fake_metrics:Likeness", "fake_metrics:Faces"]
dataset = { kind = "dreambench", path = ".", references = 3, own_prompts = true }
prompts = { set = "none" }
backbone = { path = "none" }
"""


def test_face_metrics_skip_subjects_that_are_not_persons(clone: Path, bench: Callable[..., int]) -> None:
    (clone / "things.toml").write_text(SUITE)
    out = clone / "run"
    suite = clone / "things.toml"
    assert bench("run", "--suite", suite, "--methods", "fake_method:FakeMethod", "--out", out) == 0
    with (out / "scores.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {(row["value"], row["reason"]) for row in rows if row["metric"] == "faces"} == {
        ("", "not a person")
    }
    assert all(row["value"] for row in rows if row["metric"] == "identity")
    assert len({row["method"] for row in rows if row["metric"] == "faces"}) == 3
