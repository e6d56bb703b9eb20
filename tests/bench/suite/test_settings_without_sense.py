"""A number that is not finite, out of range or absurd is refused in one line, before anything is loaded."""

from pathlib import Path

import pytest

from bench.errors import SuiteError
from bench.suite.suite import read_suite

SUITE = """
name = "x"
metrics = ["a"]
TOP
[dataset]
kind = "folder"
DATASET
[prompts]
PROMPTS
[[prompts.custom]]
id = "own"
template = "{subject} here"
CUSTOM
[backbone]
BACKBONE
[methods.m]
METHOD
[encoders.e]
ENCODER
[needs]
NEEDS
[[sweep]]
methods = ["m"]
setting = "scale"
values = [1.0, VALUE]
"""
PLACES = ("TOP", "DATASET", "PROMPTS", "CUSTOM", "BACKBONE", "METHOD", "ENCODER", "NEEDS", "VALUE")


def suite_with(place: str, line: str) -> str:
    text = SUITE
    for other in PLACES:
        text = text.replace(other, line if other == place else "2.0" if other == "VALUE" else "")
    return text


def test_suite_of_these_tests_is_valid() -> None:
    suite = read_suite(suite_with("TOP", ""), Path("x.toml"))
    assert suite.settings.keys() == {"m", "m@scale=1.0", "m@scale=2.0"}


@pytest.mark.parametrize(
    ("place", "line", "message"),
    [
        ("TOP", "seed = -1", "seed = -1; expected a number from 0 to"),
        ("TOP", "samples = 0", "samples = 0; expected a number from 1 to 1,000,000"),
        ("TOP", "samples = 100000000000000000000", "samples = 100000000000000000000; expected"),
        ("TOP", "fits = 0", "fits = 0"),
        ("DATASET", "seed = -5", "dataset: seed = -5"),
        ("DATASET", "references = -1", "dataset: references = -1; expected a number from 0"),
        ("DATASET", "held_out = 0", "dataset: held_out = 0"),
        ("DATASET", "identities = 0", "dataset: identities = 0"),
        ("DATASET", "min_photos = 0", "dataset: min_photos = 0"),
        ("DATASET", "others = 99999999999999999999", "dataset: others = "),
        ("DATASET", 'noun = ""', "dataset: noun = ''; expected a noun"),
        ("DATASET", 'noun = "a\\nb"', "dataset: noun = "),
        ("DATASET", 'noun = "{subject}"', "dataset: noun = '{subject}'"),
        ("PROMPTS", "priors = -1", "prompts: priors = -1"),
        ("PROMPTS", "recaptions = -1", "prompts: recaptions = -1"),
        ("PROMPTS", "count = -1", "prompts: count = -1"),
        ("CUSTOM", 'suits = "lvie"', "suits = 'lvie'; did you mean 'live'?"),
        ("CUSTOM", "expected_attributes = { hat = nan }", "expected_attributes: hat = nan"),
        ("CUSTOM", "expected_attributes = { hat = [1] }", "hat = [1]; expected a string"),
        ("BACKBONE", "guidance = nan", "backbone: guidance = nan; expected a finite number"),
        ("BACKBONE", "guidance = inf", "backbone: guidance = inf"),
        ("BACKBONE", "guidance = -5.0", "backbone: guidance = -5.0; expected a number from 1 to 1,000"),
        ("BACKBONE", "resolution = 0", "backbone: resolution = 0"),
        ("BACKBONE", "resolution = 100", "backbone: resolution = 100; expected a multiple of 8"),
        ("BACKBONE", "resolution = -64", "backbone: resolution = -64"),
        ("BACKBONE", "resolution = 1000000", "backbone: resolution = 1000000"),
        ("BACKBONE", "steps = 0", "backbone: steps = 0"),
        ("BACKBONE", "steps = 1001", "backbone: steps = 1001; expected a number from 1 to 1,000"),
        ("BACKBONE", "batch = 0", "backbone: batch = 0"),
        ("METHOD", "scale = nan", "methods: m: scale = nan; expected a finite number"),
        ("METHOD", "scales = [1.0, -inf]", "methods: m: scales = -inf"),
        ("METHOD", "deep = { er = nan }", "methods: m: deep: er = nan"),
        ("ENCODER", "threshold = inf", "encoders: e: threshold = inf"),
        ("NEEDS", "disk = -1", "needs: disk = -1.0; expected a number from 0"),
        ("NEEDS", "gpu_memory = nan", "needs: gpu_memory = nan"),
        ("VALUE", "nan", "sweep: values = nan; expected a finite number"),
        ("VALUE", "[1]", "sweep: values: [1]; expected a number"),
    ],
    ids=lambda value: value if len(value) < 30 else "",
)
def test_setting_without_sense_is_refused(place: str, line: str, message: str) -> None:
    with pytest.raises(SuiteError) as error:
        read_suite(suite_with(place, line), Path("x.toml"))
    assert str(error.value).startswith("x.toml: ")
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_metric_named_twice_is_refused() -> None:
    with pytest.raises(SuiteError, match="metrics: 'a' is named twice"):
        read_suite(suite_with("TOP", "").replace('["a"]', '["a", "b", "a"]'), Path("x.toml"))


@pytest.mark.parametrize("kind", ["methods", "encoders"])
def test_row_that_is_no_table_is_refused(kind: str) -> None:
    text = suite_with("TOP", "").replace(f"[{kind}.", f"[{kind}]\nx = 3\n[{kind}.")
    with pytest.raises(SuiteError, match=f"{kind}: x = 3; expected a table"):
        read_suite(text, Path("x.toml"))


def test_deeply_nested_file_is_refused() -> None:
    with pytest.raises(SuiteError, match="not TOML"):
        read_suite(f"x = {'[' * 5000}{']' * 5000}", Path("x.toml"))


@pytest.mark.parametrize("value", ["[]", "{}", "[nan]", "1"])
def test_sweep_of_a_setting_that_is_no_name_is_refused(value: str) -> None:
    text = suite_with("TOP", "").replace('setting = "scale"', f"setting = {value}")
    with pytest.raises(SuiteError, match="sweep: setting = "):
        read_suite(text, Path("x.toml"))
