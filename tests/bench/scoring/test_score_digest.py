"""Scores are computed again after a change of anything that they depend on, and after no other change."""

import importlib
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from bench.datasets.registry import open_people
from bench.errors import ExitStatus
from bench.runs.records.tables import SCORES, CellRow, ScoreRow, read_rows
from bench.runs.run_folder import RunFolder
from bench.scoring.inputs import ScoringInputs
from bench.scoring.score_digest import score_digest
from bench.scoring.suite_metrics import Metrics, build_metrics, fingerprint_parts, settings_of
from bench.subjects.identity import Identity
from bench.suite.prompts import Prompt
from bench.suite.suite import DatasetSettings, Suite
from metrics.catalog import make
from metrics.interface import Sample

SOURCE = '''
from metrics.interface import Score


class Eye:
    name = "eye"
    fingerprint = {"version": "1"}

    def __init__(self):
        self.power = 2

    def encode(self, images):
        return [image.width + 1 for image in images]


class Mine:
    """A metric."""

    name = "mine"
    encoder = "eye"
    better = "higher"
    fingerprint = {"version": "1"}

    def __init__(self):
        self.network = Eye()
        self.least = 3

    def score(self, samples, real):
        return [Score(value + least()) for value in self.network.encode([s.image for s in samples])]


def least():
    return 1
'''
MODULE = "own_metric_of_the_digest_test"
OWN_PROMPT = Prompt("hat", "{subject} with a hat", "free", {"hat": "red"})
Change = Callable[[ScoringInputs], ScoringInputs]


def own_metric(folder: Path, source: str) -> Metrics:
    (folder / f"{MODULE}.py").write_text(source)
    sys.modules.pop(MODULE, None)
    importlib.invalidate_caches()
    return Metrics(*make([f"{MODULE}:Mine"]))


@pytest.fixture
def inputs(people: Path, monkeypatch: pytest.MonkeyPatch) -> ScoringInputs:
    """Two images of ada, scored by a custom metric."""
    monkeypatch.syspath_prepend(people.parent)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    settings = DatasetSettings("folder", "people", references=2, held_out=3)
    suite = Suite("faces", settings, metrics=())
    opened = open_people(settings, people.parent)
    opened = replace(opened, chosen=tuple(replace(w, own_prompts=(OWN_PROMPT,)) for w in opened.chosen))
    template = OWN_PROMPT.template
    cells = [
        CellRow(f"m/{who}/hat/s1", "m", who, "hat", "free", template, 1, 7, "generated", picture="f1")
        for who in ("ada", "bob")
    ]
    metrics = own_metric(people.parent, SOURCE)
    return ScoringInputs(RunFolder(people.parent), suite, opened, cells, metrics, 0, "text-only")


def with_identity(inputs: ScoringInputs, change: Callable[[Identity], Identity]) -> ScoringInputs:
    first, *rest = inputs.people.chosen
    return replace(inputs, people=replace(inputs.people, chosen=(change(first), *rest)))


def with_cell(inputs: ScoringInputs, **changes: object) -> ScoringInputs:
    first, *rest = inputs.cells
    return replace(inputs, cells=[replace(first, **changes), *rest])


def with_photo(inputs: ScoringInputs, **changes: object) -> ScoringInputs:
    return with_identity(
        inputs, lambda w: replace(w, held_out=(replace(w.held_out[0], **changes), *w.held_out[1:]))
    )


def with_prompt(inputs: ScoringInputs, **changes: object) -> ScoringInputs:
    return with_identity(inputs, lambda w: replace(w, own_prompts=(replace(OWN_PROMPT, **changes),)))


def with_methods(inputs: ScoringInputs, **settings: dict) -> ScoringInputs:
    return replace(inputs, suite=replace(inputs.suite, methods=settings))


CHANGES: dict[str, Change] = {
    "expected attributes": lambda i: with_prompt(i, expected_attributes={"hat": "blue"}),
    "category of a prompt": lambda i: with_prompt(i, category="hats"),
    "prompt text": lambda i: with_prompt(i, template="{subject} without a hat"),
    "category of a cell": lambda i: with_cell(i, category="recaption"),
    "template of a cell": lambda i: with_cell(i, template="{subject}"),
    "image": lambda i: with_cell(i, picture="f2"),
    "flaw": lambda i: with_cell(i, flaw="black"),
    "status": lambda i: with_cell(i, status="failed", reason="x"),
    "photo attribute": lambda i: with_photo(i, attributes={"hat": "red"}),
    "caption": lambda i: with_photo(i, caption="{subject} outside"),
    "held-out photo": lambda i: with_photo(i, path=i.people.chosen[0].references[0].path),
    "reference photo": lambda i: with_identity(i, lambda w: replace(w, references=w.references[:1])),
    "noun": lambda i: with_identity(i, lambda w: replace(w, noun="dog")),
    "person": lambda i: with_identity(i, lambda w: replace(w, person=False)),
    "references that a row shows": lambda i: with_methods(i, m={"references": 1}),
    "corruption of a row": lambda i: with_methods(i, m={"corruption": "wrong-person"}),
    "seed": lambda i: replace(i, seed=1),
    "floor": lambda i: replace(i, floor="m"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_digest_changes_with_what_the_scores_depend_on(name: str, inputs: ScoringInputs) -> None:
    assert score_digest(CHANGES[name](inputs)) != score_digest(inputs)


def test_digest_changes_with_the_content_of_a_photo(inputs: ScoringInputs) -> None:
    before = score_digest(inputs)
    Image.new("RGB", (64, 64), (1, 2, 3)).save(inputs.people.chosen[0].held_out[0].path)
    assert score_digest(inputs) != before


@pytest.mark.parametrize(
    "change",
    [
        ("value + least()", "value - least()"),
        ("image.width + 1", "image.width - 1"),
        ("return 1", "return 2"),
        ("self.power = 2", "self.power = 3"),
        ("self.least = 3", "self.least = 4"),
    ],
)
def test_digest_and_fingerprint_change_with_the_code_of_metric_and_encoder(
    change: tuple[str, str], inputs: ScoringInputs
) -> None:
    before, fingerprints = score_digest(inputs), inputs.metrics.fingerprints
    after = own_metric(inputs.folder.path, SOURCE.replace(*change))
    assert score_digest(replace(inputs, metrics=after)) != before
    assert after.fingerprints != fingerprints


@pytest.mark.parametrize(
    "change",
    [
        ('"""A metric."""', '"""A metric.\n\n    Of widths.\n    """'),
        ("def least():", "# One.\n\n\ndef least():"),
        ("class Eye:", 'class Eye:\n    """Sees widths."""\n'),
    ],
)
def test_digest_does_not_change_with_a_docstring_or_comment(
    change: tuple[str, str], inputs: ScoringInputs
) -> None:
    before, changed = score_digest(inputs), SOURCE.replace(*change)
    assert changed != SOURCE
    assert score_digest(replace(inputs, metrics=own_metric(inputs.folder.path, changed))) == before


def test_digest_contains_settings_that_the_fingerprint_omits(inputs: ScoringInputs) -> None:
    (metric,) = inputs.metrics.of_images
    before = score_digest(inputs)
    metric.network.power = 9  # type: ignore[attr-defined]
    assert score_digest(inputs) != before
    assert settings_of(metric) == {"Eye.power": "9", "Mine.least": "3"}


@pytest.mark.parametrize("setting", ["least_score", "most_overlap"])
def test_digest_and_fingerprint_change_with_each_setting_of_an_encoder(
    setting: str, inputs: ScoringInputs
) -> None:
    suite = replace(inputs.suite, metrics=("identity@sface",))
    other = replace(suite, encoders={"yunet": {setting: 0.77}})
    one, two = (replace(inputs, suite=s, metrics=build_metrics(s)) for s in (suite, other))
    assert score_digest(one) != score_digest(two)
    assert one.metrics.fingerprints != two.metrics.fingerprints


@pytest.mark.parametrize(
    ("name", "setting"),
    [
        *(("fid", s) for s in ("min_images",)),
        *(("fid-infinity", s) for s in ("min_images", "seed")),
        *(("kid", s) for s in ("min_images", "subsets", "subset_size", "seed")),
        *(("coverage", s) for s in ("min_images", "k")),
        *(("is", s) for s in ("min_images", "splits", "seed")),
    ],
)
def test_digest_and_fingerprint_change_with_each_setting_of_a_metric(
    name: str, setting: str, inputs: ScoringInputs
) -> None:
    _, (metric,) = make([f"{name}@efficientnet-lite0"])
    other = replace(metric, **{setting: 7})  # type: ignore[type-var]
    one, two = (replace(inputs, metrics=Metrics((), (m,))) for m in (metric, other))
    assert score_digest(one) != score_digest(two)
    assert one.metrics.fingerprints != two.metrics.fingerprints


def test_code_of_a_built_in_metric_includes_its_encoders() -> None:
    (plain,), _ = make(["identity@sface"])
    (other,), _ = make(["identity@face-rendered"])
    assert fingerprint_parts(plain)["code"] != fingerprint_parts(other)["code"]
    assert {name.partition(".")[0] for name in settings_of(plain)} >= {"YuNet"}


def test_digest_and_fingerprint_stay_when_a_network_is_opened(inputs: ScoringInputs) -> None:
    inputs = replace(inputs, metrics=Metrics(*make(["disruption@efficientnet-lite0"])))
    (metric,) = inputs.metrics.of_images
    before = score_digest(inputs), fingerprint_parts(metric), settings_of(metric)
    attributes = set(vars(metric.network))  # type: ignore[attr-defined]
    image = Image.new("RGB", (8, 8))
    metric.score([Sample("s", "ada", "p", image, "", backbone_image=image)], [])
    assert set(vars(metric.network)) > attributes  # type: ignore[attr-defined]
    assert (score_digest(inputs), fingerprint_parts(metric), settings_of(metric)) == before


@pytest.fixture
def column_after(
    run_folder: Path, bench: Callable[..., int], suite: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[str], tuple[dict[str, float | None], int]]:
    """Writes the custom metric, runs the suite again; returns the metric's values and the time of writing."""
    monkeypatch.syspath_prepend(suite.parent)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    suite.write_text(suite.read_text().replace("fake_metrics:Length", f"{MODULE}:Mine"))

    def run(source: str) -> tuple[dict[str, float | None], int]:
        (suite.parent / f"{MODULE}.py").write_text(source)
        sys.modules.pop(MODULE, None)
        importlib.invalidate_caches()
        words = ("run", "--suite", suite, "--methods", "fake_method:FakeMethod", "--out", run_folder)
        assert bench(*words) == ExitStatus.DONE
        rows = read_rows(run_folder / SCORES, ScoreRow)
        values = {row.prompt: row.value for row in rows if row.metric == "mine" and row.category != "real"}
        return values, (run_folder / SCORES).stat().st_mtime_ns

    return run


def test_edited_metric_is_scored_again_and_an_edited_docstring_is_not(column_after: Callable) -> None:
    first = column_after(SOURCE)
    assert set(first[0].values()) == {34.0}
    assert column_after(SOURCE.replace('"""A metric."""', '"""Widths."""')) == first
    assert column_after(SOURCE.replace("value + least()", "value + 10 * least()"))[0] == dict.fromkeys(
        first[0], 43.0
    )


def test_edited_attributes_of_a_prompt_are_scored_again(column_after: Callable, suite: Path) -> None:
    source = SOURCE.replace("[s.image for s in samples]", "samples").replace(
        "[image.width + 1 for image in images]", "[len(s.expected_attributes) for s in images]"
    )
    plain = suite.read_text()
    card = '[[prompts.custom]]\nid = "hat"\ntemplate = "{subject}, red hat"\nexpected_attributes = '
    suite.write_text(f'{plain}\n{card}{{ hat = "red", beard = "b", age = "a" }}\n')
    assert column_after(source)[0]["hat"] == 4.0
    suite.write_text(f'{plain}\n{card}{{ hat = "red" }}\n')
    assert column_after(source)[0]["hat"] == 2.0
