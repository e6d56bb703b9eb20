import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import pytest

from metrics.catalog import ENCODERS, METRICS, examine, make, of_people
from metrics.interface import Better, MetricBase, MetricError, RealPhoto, Sample, Score, of_priors


@dataclass(frozen=True)
class Constant:
    """A custom metric that implements the protocol only."""

    name: ClassVar[str] = "constant"
    encoder: ClassVar[str] = ""
    better: ClassVar[Better] = "neither"

    @property
    def fingerprint(self) -> Mapping[str, str]:
        return {}

    def score(self, samples: Sequence[Sample], real: Sequence[RealPhoto]) -> list[Score]:
        return [Score(1.0) for _ in samples]


def test_importing_the_catalogue_imports_no_heavy_library() -> None:
    heavy = "('torch', 'onnxruntime', 'scipy', 'cv2')"
    code = f"import sys, metrics.catalog; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_metrics_keep_their_order_and_share_encoders() -> None:
    samples, sets = make(["fid@efficientnet-lite0", "detected@yunet", "identity@sface", "verified@sface"])
    assert [(metric.name, metric.encoder) for metric in samples] == [
        ("detected", "yunet"),
        ("identity", "sface"),
        ("verified", "sface"),
    ]
    assert [(metric.name, metric.encoder) for metric in sets] == [("fid", "efficientnet-lite0")]
    assert samples[1].network is samples[2].network  # type: ignore[attr-defined]
    assert samples[1].network.yunet is samples[0].network  # type: ignore[attr-defined]


def test_every_name_consists_of_metric_and_encoder() -> None:
    for name, entry in METRICS.items():
        assert name.partition("@")[2] == entry.encoder
        assert entry.encoder in ENCODERS
        assert entry.summary
        encoder = ENCODERS[entry.encoder]
        of_classes = entry.metric.name in ("is", "is-uniform")
        assert entry.needs == (encoder.needs or (encoder.needs_for_classes if of_classes else ""))
    assert [METRICS[f"{name}@inception-v3"].needs for name in ("fid", "is")] == [
        "",
        "the file of clean-fid or torch-fidelity",
    ]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("identity@sfac", "unknown metric 'identity@sfac'; did you mean 'identity@sface'?"),
        ("nose-length", "unknown metric 'nose-length'; known: bleed@arcface"),
        ("nowhere:Metric", "metric 'nowhere:Metric': cannot load nowhere:Metric"),
        ("metrics.scores.identity:Nose", "cannot load metrics.scores.identity:Nose"),
        ("metrics.scores.identity:Identity@sfaec", "unknown encoder 'sfaec'; did you mean 'sface'?"),
    ],
)
def test_a_wrong_name_is_rejected_with_the_nearest_name(name: str, message: str) -> None:
    with pytest.raises(MetricError) as caught:
        make([name])
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_custom_class_is_built_with_or_without_an_encoder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "own", sys.modules[__name__])
    (constant,), _ = make(["own:Constant"])
    assert constant.name == "constant"
    (identity,), _ = make(["metrics.scores.identity:Identity@sface"])
    assert identity.encoder == "sface"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"arcfaec": {}}, "settings for unknown encoder 'arcfaec'; did you mean 'arcface'?"),
        (
            {"yunet": {"least_scor": 0.9}},
            "encoder 'yunet': unknown setting 'least_scor'; did you mean 'least_score'?",
        ),
        ({"sface": {"yunet": 1}}, "encoder 'sface': unknown setting 'yunet'; known: none"),
    ],
)
def test_wrong_encoder_settings_are_rejected(settings: dict[str, dict[str, object]], message: str) -> None:
    with pytest.raises(MetricError) as caught:
        make(["identity@sface"], settings)
    assert str(caught.value) == message


def test_an_encoder_setting_takes_effect() -> None:
    (plain,), _ = make(["detected@yunet"])
    (strict,), _ = make(["detected@yunet"], {"yunet": {"least_score": 0.99}})
    assert strict.network.least_score == 0.99  # type: ignore[attr-defined]
    assert strict.fingerprint != plain.fingerprint


@pytest.mark.parametrize(
    ("metric", "alternative"),
    [
        ("identity@arcface", "sface"),
        ("fid@inception-v3", "efficientnet-lite0"),
        ("diversity@lpips-alex", "efficientnet-lite0"),
        ("prompt-match@clip", "attributes"),
        ("identity@dinov2", "sface"),
    ],
)
def test_missing_weights_are_reported_with_places_and_alternative(metric: str, alternative: str) -> None:
    encoder = metric.partition("@")[2]
    with pytest.raises(MetricError) as caught:
        make([metric], {encoder: {"path": "/nowhere/weights"}})
    line = str(caught.value)
    assert f"encoder {encoder!r}: no weights (searched: /nowhere/weights)" in line
    assert f"{alternative} is an alternative" in line
    assert "set `path`" in line
    assert "\n" not in line


def test_a_metric_with_a_face_network_applies_to_people_only() -> None:
    names = ["identity@sface", "detected@yunet", "face-diversity@efficientnet-lite0"]
    about_people, _ = make(names)
    others, _ = make(["diversity@efficientnet-lite0", "prompt-match@attributes"])
    assert [of_people(metric) for metric in about_people] == [True, True, True]
    assert [of_people(metric) for metric in (*others, Constant())] == [False, False, False]


class ClassImages(MetricBase, Constant):
    """A custom metric with both optional members set."""

    of_priors = True
    of_people = True


def test_optional_members_have_defaults_for_custom_metrics() -> None:
    assert [of_priors(Constant()), of_people(Constant())] == [False, False]
    assert [of_priors(ClassImages()), of_people(ClassImages())] == [True, True]


def test_each_encoder_is_examined_once_after_its_parts() -> None:
    found = examine(["identity@sface", "copying@sface", "detected@yunet", "prompt-match@attributes"])
    assert list(found) == ["yunet", "sface", "attributes"]
    assert not [part for part in found.values() if isinstance(part, MetricError)]
    assert all(found.values())


def test_encoders_that_cannot_be_opened_do_not_stop_the_others() -> None:
    found = examine(
        ["prompt-match@clip", "is@efficientnet-lite0", "no_such_module:Metric", "nonsense"],
        {"efficientnet-lite0": {"device": "cuda:77"}},
    )
    errors = {name: str(part) for name, part in found.items() if isinstance(part, MetricError)}
    assert set(errors) == {"clip", "efficientnet-lite0", "no_such_module:Metric", "nonsense"}
    assert "no path given" in errors["clip"]
    assert "cannot be opened" in errors["efficientnet-lite0"]
    assert "unknown metric 'nonsense'" in errors["nonsense"]


def test_examining_opens_networks_that_a_run_opens_late(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(encoder: object) -> None:
        raise RuntimeError("no memory")

    monkeypatch.setattr("metrics.encoders.efficientnet.EfficientNet.open", fail)
    make(["is@efficientnet-lite0"])
    found = examine(["is@efficientnet-lite0"])["efficientnet-lite0"]
    assert str(found) == "encoder 'efficientnet-lite0': cannot be opened (no memory)"


@pytest.mark.parametrize("name", ["fid@efficientnet-lite0", "fid@inception-v3", "drift@lpips-alex"])
def test_an_unusable_gpu_is_found_before_any_image_is_scored(name: str) -> None:
    encoder = name.partition("@")[2]
    with pytest.raises((AssertionError, RuntimeError), match="CUDA"):
        make([name], {encoder: {"device": "cuda:77"}})


def test_settings_of_an_unknown_encoder_are_rejected() -> None:
    with pytest.raises(MetricError, match="unknown encoder 'clap'; did you mean 'clip'"):
        examine(["prompt-match@clip"], {"clap": {}})
