"""`bench doctor`: every built-in suite, a broken one, and each thing it can find wrong."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from io import StringIO
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from rich.console import Console

from bench.doctor.diagnosis import (
    Diagnosis,
    asked_of_libraries,
    dataset_findings,
    disk_finding,
    show,
    with_source,
)
from bench.doctor.finding import Finding, State, found, missing
from bench.doctor.package_checks import examined, opencv_findings, package_findings, requirements
from bench.errors import ExitStatus
from bench.suite.suite import DatasetSettings, Needs, Suite, SuiteFile, open_suite, suite_names

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

Told = dict[str, list[Finding]]


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A suite file in which nothing is right."""
    path = tmp_path_factory.mktemp("broken") / "broken.toml"
    path.write_text(BROKEN)
    return path


@pytest.fixture(scope="module")
def told(broken: Path) -> Iterator[Told]:
    """What the libraries say of every built-in suite and of the broken one, on a bare machine."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("HOME", "HF_HOME", "TORCH_HOME", "TMPDIR", "XDG_CACHE_HOME"):
            patch.setenv(name, str(broken.parent))
        for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"):
            patch.delenv(name, raising=False)
        patch.chdir(broken.parent)
        yield asked_of_libraries(*suite_names(), str(broken), methods="all")


def lines_of(told: Told, suite: str, kind: str) -> dict[str, str]:
    """What is missing of one kind, by what it is."""
    return {line.what: line.detail for line in told[suite] if line.kind == kind and not line.met}


@pytest.mark.parametrize("name", ["tiny", "smoke"])
def test_the_embedded_world_lacks_nothing(told: Told, name: str) -> None:
    assert [line for line in told[name] if not line.met] == []
    assert {line.kind for line in told[name]} == {"machine", "backbone", "method", "metric"}
    assert all(line.detail for line in told[name])


@pytest.mark.parametrize("name", ["celeba-sd15", "celeba-sdxl", "openpeople-sd15", "dreambench-sd15"])
def test_a_real_suite_on_a_bare_machine_says_how_to_get_everything(told: Told, name: str) -> None:
    suite = open_suite(name).suite
    lacking = [line for line in told[name] if not line.met and line.what != "device"]
    assert len(lines_of(told, name, "backbone")) == 1
    assert {"ip-adapter", "loo-mean"} <= set(lines_of(told, name, "method"))
    assert {"clip", "dinov2", "lpips-alex"} <= set(lines_of(told, name, "metric"))
    assert not {"text-only", "dreambooth-lora", "textual-inversion"} & set(lines_of(told, name, "method"))
    for line in lacking:
        # No setting of the suite itself is wrong; what is missing has a command or an address.
        assert "unknown" not in line.detail, line
        source = with_source(line, suite.needs.sources).source
        assert source or "https://" in line.detail, line


def test_every_wrong_setting_is_named(told: Told) -> None:
    methods = lines_of(told, "broken", "method")
    assert "unknown setting 'stepz'; did you mean 'steps'?" in methods["dreambooth-lora"]
    assert "unknown preset 'face'; did you mean 'faces'?" in methods["mine"]
    assert "no-such.safetensors is not there" in methods["ip-adapter"]
    assert "fits the embedded backbone alone, not nowhere/at/all" in methods["loo-mean"]
    metrics = lines_of(told, "broken", "metric")
    assert "unknown setting 'pth'" in metrics["sface"]
    assert "no path given" in metrics["clip"]
    assert "cannot be opened" in metrics["efficientnet-lite0"]
    assert "no such folder" in lines_of(told, "broken", "backbone")["nowhere/at/all"]
    assert "yunet" not in metrics


def test_a_process_that_dies_is_a_finding_and_not_a_crash(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "json.py").write_text("raise ImportError('no json today')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    lines = asked_of_libraries("tiny", methods="all")["tiny"]
    assert [line.state for line in lines] == [State.missing]
    assert "no json today" in lines[0].detail


def test_the_command_ends_with_3_and_says_what_is_missing(
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


def test_an_unknown_suite_is_wrong_input(
    bench: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert bench("doctor", "--suite", "celeba") == 2
    assert "unknown suite 'celeba'; did you mean 'celeba-sd" in capsys.readouterr().err


def test_the_doctor_itself_imports_no_torch() -> None:
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


def test_every_required_package_is_looked_for() -> None:
    names = {requirement.name for requirement in requirements()}
    assert {"torch", "diffusers", "insightface", "rich"} <= names
    assert names <= {line.what for line in package_findings()}


def test_a_package_that_is_absent_or_too_old_is_missing() -> None:
    absent, old = examined(Requirement("no-such-package-here>=1")), examined(Requirement("pillow>=999"))
    assert (absent.state, old.state) == (State.missing, State.missing)
    assert "pip install 'no-such-package-here>=1'" in absent.detail
    assert "wanted >=999" in old.detail
    assert examined(Requirement("pillow>=1")).state is State.found


def test_two_opencvs_are_harmless_only_in_one_version() -> None:
    assert opencv_findings({}) == []
    assert [line.state for line in opencv_findings({"opencv-python": "5.0"})] == [State.found]
    one = opencv_findings({"opencv-python": "5.0", "opencv-python-headless": "5.0"})
    assert [line.state for line in one] == [State.note]
    two = opencv_findings({"opencv-python": "5.0", "opencv-python-headless": "4.1"})
    assert [line.state for line in two] == [State.missing]
    assert "pip uninstall opencv-python opencv-python-headless" in two[0].detail


def suite_with(**needs: float) -> Suite:
    return Suite("x", DatasetSettings("folder", path="nobody"), (), needs=Needs(**needs))  # type: ignore[arg-type]  # numbers alone


def test_room_on_the_disk_is_asked_for(tmp_path: Path) -> None:
    inside = tmp_path / "not" / "yet"
    assert disk_finding(suite_with(disk=1e-6), inside).met
    full = disk_finding(suite_with(disk=1e9), inside)
    assert not full.met
    assert f"{tmp_path} has" in full.detail


def test_a_dataset_that_is_not_there_is_missing(tmp_path: Path) -> None:
    lines = dataset_findings(SuiteFile(suite_with(), tmp_path / "x.toml", ""))
    assert [line.state for line in lines] == [State.missing]
    assert f"{tmp_path / 'nobody'}: no such folder" in lines[0].detail


def test_pictures_per_method_are_counted() -> None:
    suite = open_suite("tiny").suite
    pictures = 8 * (7 * suite.samples + suite.prompts.priors)
    assert f"{pictures} pictures per method" in dataset_findings(open_suite("tiny"))[0].detail


def test_the_longest_named_path_decides_the_source() -> None:
    sources = {"models/ip-adapter": "one", "models/ip-adapter-faceid": "two"}
    assert with_source(missing("method", "a", "/x/models/ip-adapter/m.bin: gone"), sources).source == "one"
    assert (
        with_source(missing("method", "a", "/x/models/ip-adapter-faceid/m.bin: gone"), sources).source
        == "two"
    )
    assert with_source(found("method", "a", "/x/models/ip-adapter/m.bin"), sources).source == ""


def test_the_table_names_each_source_once_and_whole() -> None:
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
    assert page.getvalue().splitlines()[-1] == "x: 2 of 3 needs are missing: method b, method c"
    assert diagnosis.status is ExitStatus.SOME_FAILED
    assert Diagnosis(diagnosis.suite, lines[:1]).status is ExitStatus.DONE
