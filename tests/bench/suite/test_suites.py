"""The built-in suites: their comments agree with their settings, and all names are known."""

import re
import shlex
from collections.abc import Callable
from dataclasses import fields
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import typer
from PIL import Image

from bench.cli.train import app as train
from bench.doctor.diagnosis import dataset_findings
from bench.doctor.finding import State
from bench.errors import SuiteError
from bench.runs.row_methods import build_method, method_labels
from bench.suite.suite import BUILT_IN, Suite, SuiteFile, open_suite, read_suite, suite_names
from methods.catalog import AGGREGATORS, METHODS
from metrics.catalog import ENCODERS, METRICS

STUDY = (
    "study-ablations",
    "study-costs",
    "study-layers",
    "study-main",
    "study-photos",
    "study-spoiled",
    "study-trade-off",
)
NAMES = (
    *("celeba-flux", "celeba-flux2-klein", "celeba-kontext", "celeba-sd15", "celeba-sd35", "celeba-sdxl"),
    *("dreambench-sd15", "openpeople-sd15", "personalisation", "smoke", *STUDY, "tiny", "tiny-unet"),
)
ROOT = Path(__file__).parents[3]
REAL = tuple(name for name in NAMES if name.startswith(("celeba", "dreambench", "openpeople")))
FLOW = ("celeba-flux", "celeba-flux2-klein", "celeba-kontext", "celeba-sd35")
"""Suites on transformers, which have fewer published adapters."""
DREAMBENCH = 30
"""Number of subjects in DreamBench, all of which the suite uses."""
LISTING = """subject_name,class
rex,dog
clock,clock
gone,vase

Object Prompts
'a {0} {1} here'.format(unique_token, class_token),
Live Subject Prompts
'a {0} {1} there'.format(unique_token, class_token),
"""

each_suite = pytest.mark.parametrize("file", [*map(open_suite, NAMES)], ids=NAMES)
each_real_suite = pytest.mark.parametrize("file", [*map(open_suite, REAL)], ids=REAL)


def images_per_row(file: SuiteFile) -> int:
    """Number of images per method; every subject gets the prompts of one kind."""
    suite = file.suite
    prompts = [prompt for prompt in suite.shared_prompts if prompt.suits in ("", "live")]
    each = (len(prompts) + suite.prompts.recaptions) * suite.samples + suite.prompts.priors
    return (suite.dataset.identities or DREAMBENCH) * each * suite.fits


def settings_of(file: SuiteFile) -> list[str]:
    """Every string among the settings of methods and encoders."""
    tables = (*file.suite.methods.values(), *file.suite.encoders.values())
    return [value for table in tables for value in table.values() if isinstance(value, str)]


def test_shipped_suites() -> None:
    assert tuple(suite_names()) == NAMES


@each_suite
def test_every_suite_states_its_needs_duration_and_disk_space(file: SuiteFile) -> None:
    assert file.suite.name == file.path.stem
    assert file.suite.about
    assert file.suite.needs.time
    assert file.suite.needs.disk > 0
    head = file.text.partition("\nname = ")[0]
    assert all(re.search(rf"^# {word} +\S", head, re.MULTILINE) for word in ("Needs", "Takes", "Disk"))
    assert max(map(len, file.text.splitlines())) <= 110


@each_real_suite
def test_numbers_in_the_comments_match_the_settings(file: SuiteFile) -> None:
    stated = re.search(r"([\d,]+) images per row", file.text)
    assert stated
    assert int(stated[1].replace(",", "")) == images_per_row(file)
    assert f"about {file.suite.needs.time.split()[1]} hours" in file.text
    gigabytes = {float(text) for text in re.findall(r"([\d.]+) GB for the run folder", file.text)}
    assert gigabytes == {file.suite.needs.disk}
    assert f"a CUDA device with {file.suite.needs.gpu_memory:g} GB" in file.text


@each_real_suite
def test_estimated_durations_state_their_basis(file: SuiteFile) -> None:
    assert "counted, not measured" in file.suite.needs.time
    assert "TFLOP" in file.text


@each_suite
def test_every_name_in_a_suite_is_known(file: SuiteFile) -> None:
    assert set(file.suite.metrics) <= set(METRICS)
    assert len(set(file.suite.metrics)) == len(file.suite.metrics)
    assert set(file.suite.encoders) <= set(ENCODERS)
    assert {table.get("base", name) for name, table in file.suite.methods.items()} <= set(METHODS)
    assert {row for sweep in file.suite.sweep for row in sweep.methods} <= {*METHODS, *file.suite.methods}


@pytest.mark.parametrize("name", [*STUDY, *FLOW])
def test_every_row_of_the_suite_can_be_built(name: str) -> None:
    file = open_suite(name)
    for label in method_labels(["all"], file.suite):
        build_method(label, file.suite.settings)


def test_training_script_makes_all_networks_of_the_study() -> None:
    script = (ROOT / "results" / "scripts" / "train_study.sh").read_text()
    aggregators = re.search(r"for aggregator in (.*); do", script)
    assert aggregators
    assert set(aggregators[1].split()) == set(AGGREGATORS)
    made = {name for name in re.findall(r"--name (\S+)", script) if "$" not in name}
    made |= {f"loo-{name}" for name in aggregators[1].split()}
    needed = {
        str(table["network"])
        for name in STUDY
        for table in open_suite(name).suite.methods.values()
        if "network" in table
    }
    assert needed == {
        f"results/study-networks/{name}.safetensors" for name in made if not name.endswith("-first")
    }


def test_training_script_contains_only_valid_commands() -> None:
    """Every line is parsed by the command line, without running it."""
    script = (ROOT / "results" / "scripts" / "train_study.sh").read_text().replace("\\\n", " ")
    variables = dict(re.findall(r'^(\w+)="(.*)"$', script, re.MULTILINE))
    lines = [line.strip() for line in script.splitlines() if line.strip().startswith("bench train loo")]
    assert len(lines) == 13
    for line in lines:
        for _ in range(2):
            for name, value in variables.items():
                line = line.replace(f"${name}", value)
        parsed_training(line.replace("$aggregator", "mean"))


def parsed_training(line: str) -> tuple[str, dict[str, Any]]:
    """The command and its options, parsed by the command line without running it."""
    words = shlex.split(line.partition(" (")[0])[2:]
    context = typer.main.get_command(train).make_context("train", words, resilient_parsing=False)
    command = context.command.get_command(context, words[0])
    return words[0], command.make_context(words[0], words[1:]).params


def trainings_of(file: SuiteFile) -> dict[str, tuple[str, dict[str, Any]]]:
    """The training commands of a suite by the file that they are listed for."""
    sources = file.suite.needs.sources
    return {path: parsed_training(text) for path, text in sources.items() if text.startswith("bench train")}


@each_real_suite
def test_every_training_command_makes_the_file_that_it_is_listed_for(file: SuiteFile) -> None:
    for path, (command, options) in trainings_of(file).items():
        assert f"{options['out']}/{options['name']}.safetensors" == path
        backbone = file.suite.backbone
        assert options["base"] == f"{backbone.path}@{backbone.revision}"
        tables = [table for table in file.suite.methods.values() if path in table.values()]
        assert {table["encoder"] for table in tables} == {str(options["encoder"])}
        if command == "loo":
            assert f"loo-{options['aggregator']}" == options["name"]


def test_no_two_trainings_of_the_suites_write_one_checkpoint() -> None:
    """A checkpoint is named after the weights, in a folder of the dataset's name, people and size."""
    made: dict[tuple[object, ...], tuple[str, dict[str, Any]]] = {}
    for file in map(open_suite, REAL):
        for command, options in trainings_of(file).values():
            place = tuple(options[key] for key in ("checkpoints", "dataset", "people", "side", "name"))
            assert made.setdefault(place, (command, options)) == (command, options), file.suite.name
    assert len(made) == 18


@each_real_suite
def test_every_hub_id_is_pinned_to_a_commit(file: SuiteFile) -> None:
    revisions = [file.suite.backbone.revision]
    revisions += [
        table.get("revision") for table in file.suite.encoders.values() if "/" in table.get("path", "")
    ]
    assert len(revisions) == 3
    assert all(re.fullmatch("[0-9a-f]{40}", revision or "") for revision in revisions)
    downloads = [text for text in file.suite.needs.sources.values() if text.startswith("hf download")]
    assert downloads
    assert all(re.search("--revision [0-9a-f]{40}", text) for text in downloads)


@each_real_suite
def test_every_download_has_a_source(file: SuiteFile) -> None:
    sources = file.suite.needs.sources
    paths = [text for text in settings_of(file) if text.startswith("models/")]
    assert len(paths) >= 8 or file.suite.name in FLOW
    hubs = [text for text in settings_of(file) if re.fullmatch(r"[\w-]+/[\w.-]+", text)]
    for path in (*paths, *hubs, file.suite.backbone.path, file.suite.dataset.path or "openpeople"):
        assert any(source in path for source in sources), path


@each_real_suite
def test_every_source_is_used_by_the_suite(file: SuiteFile) -> None:
    named = [*settings_of(file), file.suite.backbone.path, file.suite.dataset.path, file.suite.dataset.kind]
    for source in file.suite.needs.sources:
        assert source.endswith("buffalo_l") or any(source in text for text in named), source


def test_suites_on_celeba_with_10_people_have_the_same_people_prompts_and_metrics() -> None:
    """Their runs can be joined in a leaderboard."""
    suites = [open_suite(name).suite for name in ("celeba-sdxl", *FLOW)]
    assert len({(repr(s.dataset), repr(s.prompts), s.metrics, s.samples) for s in suites}) == 1


def test_the_built_in_benchmark_differs_between_its_backbones_by_the_backbone_only() -> None:
    transformer, unet = (open_suite(name).suite for name in ("tiny", "tiny-unet"))
    own = {"name", "about", "backbone", "methods", "needs"}
    shared = {field.name for field in fields(Suite)} - own
    assert {name: getattr(transformer, name) for name in shared} == {
        name: getattr(unet, name) for name in shared
    }
    assert (transformer.backbone.path, unet.backbone.path) == ("embedded-flow", "embedded")
    assert transformer.backbone.resolution == unet.backbone.resolution


def test_face_suites_have_two_independent_face_networks() -> None:
    for name in REAL:
        if name == "dreambench-sd15":
            continue
        metrics = open_suite(name).suite.metrics
        assert {"identity@arcface", "identity@sface"} <= set(metrics)


@pytest.mark.parametrize("name", REAL)
def test_dry_run_without_data_names_what_is_missing_in_one_line(
    name: str, bench: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    if name == "openpeople-sd15" and find_spec("openpeople"):
        assert bench("run", "--suite", name, "--dry-run") == 0
        return
    assert bench("run", "--suite", name, "--dry-run") == 2
    out, err = capsys.readouterr()
    assert not out
    assert err.count("\n") == 1
    assert err.startswith("bench: ")
    assert {"celeba": "data/celeba", "dream": "data/dreambooth", "openp": "openpeople"}[
        re.match("celeba|dream|openp", name)[0]  # type: ignore[index]  # every name starts like this
    ] in err


def test_data_of_a_built_in_suite_are_in_the_working_folder(
    bench: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "data" / "dreambooth" / "dataset"
    for name in ("rex", "clock"):
        (root / name).mkdir(parents=True)
        for i in range(4):
            Image.new("RGB", (16, 16), (40 * i, 90, 200 if name == "rex" else 20)).save(
                root / name / f"{i}.png"
            )
    (root / "prompts_and_classes.txt").write_text(LISTING)
    assert bench("run", "--suite", "dreambench-sd15", "--methods", "text-only", "--dry-run", "--cells") == 0
    cells = [line for line in capsys.readouterr().out.splitlines() if line.startswith("text-only/")]
    assert len(cells) == 2 * (25 * 4 + 3)
    prompts = {line.split("/")[1]: set() for line in cells}
    for line in cells:
        _, who, prompt, _ = line.split("/")
        prompts[who].add(prompt.split("-")[0])
    assert prompts == {"rex": {"live", "prior"}, "clock": {"object", "prior"}}
    summary, *notes = dataset_findings(open_suite("dreambench-sd15"))
    assert "2 identities with 8 photographs" in summary.detail
    assert [line.state for line in notes] == [State.note]
    assert "gone" in notes[0].detail


def test_data_of_a_custom_suite_are_next_to_its_file(suite: Path) -> None:
    assert open_suite(str(suite)).base == suite.parent
    assert open_suite(str(BUILT_IN / "tiny.toml")).base == Path.cwd()


def test_messages_quote_at_most_the_beginning_of_a_long_text(suite: Path) -> None:
    text = suite.read_text()
    for changed in (
        text.replace('"fake"', f'"{"x" * 200}"'),
        text.replace("samples", "s" * 70_000),
        f'{text}\n[[prompts.custom]]\nid = "{"x" * 70_000}"\ntemplate = "{{subject}}"\n',
        f'{text}\n[[prompts.custom]]\nid = "x"\ntemplate = "{"x" * 70_000}"\n',
    ):
        with pytest.raises(SuiteError) as refused:
            read_suite(changed, suite)
        assert len(str(refused.value)) < 600
