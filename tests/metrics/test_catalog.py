import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import pytest

from metrics.catalog import ENCODERS, METRICS, make, of_people
from metrics.interface import Better, MetricError, RealPhoto, Sample, Score


@dataclass(frozen=True)
class Constant:
    """A metric of one's own, as a reader of the README might write it."""

    name: ClassVar[str] = "constant"
    encoder: ClassVar[str] = ""
    better: ClassVar[Better] = "neither"

    @property
    def fingerprint(self) -> Mapping[str, str]:
        return {}

    def score(self, samples: Sequence[Sample], real: Sequence[RealPhoto]) -> list[Score]:
        return [Score(1.0) for _ in samples]


def test_importing_the_catalogue_imports_nothing_heavy() -> None:
    heavy = "('torch', 'onnxruntime', 'scipy', 'cv2')"
    code = f"import sys, metrics.catalog; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_metrics_come_in_order_split_by_kind_and_share_their_encoder() -> None:
    samples, sets = make(["fid@efficientnet-lite0", "detected@yunet", "identity@sface", "verified@sface"])
    assert [(metric.name, metric.encoder) for metric in samples] == [
        ("detected", "yunet"),
        ("identity", "sface"),
        ("verified", "sface"),
    ]
    assert [(metric.name, metric.encoder) for metric in sets] == [("fid", "efficientnet-lite0")]
    assert samples[1].face is samples[2].face  # type: ignore[attr-defined]
    assert samples[1].face.yunet is samples[0].finder  # type: ignore[attr-defined]


def test_every_name_says_metric_and_encoder() -> None:
    for name, entry in METRICS.items():
        assert name.partition("@")[2] == entry.encoder
        assert entry.encoder in ENCODERS
        assert entry.summary
        assert entry.needs == ENCODERS[entry.encoder].needs


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("identity@sfac", "unknown metric 'identity@sfac'; did you mean 'identity@sface'?"),
        ("nose-length", "unknown metric 'nose-length'; known are bleed@arcface"),
        ("nowhere:Metric", "metric 'nowhere:Metric': cannot load nowhere:Metric"),
        ("metrics.scores.identity:Nose", "cannot load metrics.scores.identity:Nose"),
        ("metrics.scores.identity:Identity@sfaec", "unknown encoder 'sfaec'; did you mean 'sface'?"),
    ],
)
def test_a_wrong_name_gets_one_line_with_the_nearest(name: str, message: str) -> None:
    with pytest.raises(MetricError) as caught:
        make([name])
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_ones_own_class_is_built_with_or_without_an_encoder(monkeypatch: pytest.MonkeyPatch) -> None:
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
        ({"sface": {"yunet": 1}}, "encoder 'sface': unknown setting 'yunet'; known are none"),
    ],
)
def test_wrong_encoder_settings_are_refused(settings: dict[str, dict[str, object]], message: str) -> None:
    with pytest.raises(MetricError) as caught:
        make(["identity@sface"], settings)
    assert str(caught.value) == message


def test_an_encoders_setting_takes_effect() -> None:
    (plain,), _ = make(["detected@yunet"])
    (strict,), _ = make(["detected@yunet"], {"yunet": {"least_score": 0.99}})
    assert strict.finder.least_score == 0.99  # type: ignore[attr-defined]
    assert strict.fingerprint != plain.fingerprint


@pytest.mark.parametrize(
    ("metric", "stand_in"),
    [
        ("identity@arcface", "sface"),
        ("fid@inception-v3", "efficientnet-lite0"),
        ("diversity@lpips-alex", "efficientnet-lite0"),
        ("prompt-match@clip", "attributes"),
        ("identity@dinov2", "sface"),
    ],
)
def test_missing_weights_say_where_they_were_looked_for_and_what_could_stand_in(
    metric: str, stand_in: str
) -> None:
    encoder = metric.partition("@")[2]
    with pytest.raises(MetricError) as caught:
        make([metric], {encoder: {"path": "/nowhere/weights"}})
    line = str(caught.value)
    assert f"encoder {encoder!r}: no weights (looked in: /nowhere/weights)" in line
    assert f"{stand_in} could stand in" in line
    assert "set `path`" in line
    assert "\n" not in line


def test_a_metric_of_faces_is_known_by_the_network_behind_it() -> None:
    names = ["identity@sface", "detected@yunet", "face-diversity@efficientnet-lite0"]
    about_people, _ = make(names)
    others, _ = make(["diversity@efficientnet-lite0", "prompt-match@attributes"])
    assert [of_people(metric) for metric in about_people] == [True, True, True]
    assert [of_people(metric) for metric in (*others, Constant())] == [False, False, False]
