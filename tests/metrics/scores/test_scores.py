from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from PIL import Image

from metrics.interface import Features, RealPhoto, Sample, Score
from metrics.scores.copying import Copying, CopyPaste, SimGt, SimRef
from metrics.scores.distribution import (
    Coverage,
    Density,
    Frechet,
    FrechetInfinity,
    Inception,
    InceptionUniform,
    Kernel,
    Precision,
    Recall,
)
from metrics.scores.diversity import Diversity, FaceDiversity, NearestReference
from metrics.scores.identity import Detected, Identity, IdentityZero, MultiFace, Verified, Verified10
from metrics.scores.prompt_match import AttributeMatch, TextMatch
from metrics.statistics.kernel import squared_mmd


@dataclass(frozen=True)
class FakeFaces:
    """The first pixel is the face vector; a black image has no face, a white one two."""

    name: str = "fake"

    @property
    def fingerprint(self) -> Mapping[str, str]:
        return {"network": self.name}

    def encode(self, images: Sequence[Image.Image]) -> Features:
        return np.array([self._vector(image) for image in images]).reshape(-1, 3)

    def boxes(self, images: Sequence[Image.Image]) -> list[list[tuple[float, float, float, float]]]:
        counts = [{0: 0, 255: 2}.get(int(np.asarray(image).mean()), 1) for image in images]
        return [[(0.0, 0.0, 4.0, 4.0)] * count for count in counts]

    def _vector(self, image: Image.Image) -> Features:
        pixel = np.asarray(image, np.float64)[0, 0]
        return (pixel - 128) / 128 if pixel.any() else np.full(3, np.nan)


def plain(*colour: int, size: int = 8) -> Image.Image:
    return Image.new("RGB", (size, size), colour)


def sample(image: Image.Image, number: int = 0, **more: object) -> Sample:
    known = {"identity": "ada", "prompt_id": "p", "prompt": "a photo of a woman", **more}
    return Sample(id=f"s{number}", image=image, **known)  # type: ignore[arg-type]


@pytest.fixture
def faces() -> FakeFaces:
    return FakeFaces()


RED, GREEN, BLACK, WHITE = (
    plain(255, 128, 128),
    plain(128, 255, 128),
    plain(0, 0, 0),
    plain(255, 255, 255),
)


def test_identity_is_the_mean_cosine_to_the_held_out_photographs(faces: FakeFaces) -> None:
    (score,) = Identity(faces).score([sample(RED, held_out=(RED, GREEN))], [])
    assert score.value == pytest.approx(0.5, abs=1e-6)


def test_identity_gives_a_reason_for_a_missing_score(faces: FakeFaces) -> None:
    scores = Identity(faces).score(
        [sample(BLACK, held_out=(RED,)), sample(RED), sample(RED, held_out=(BLACK,))], []
    )
    assert scores == [
        Score(None, "no face found"),
        Score(None, "no held-out photographs"),
        Score(None, "no face found in any held-out photograph"),
    ]


def test_identity_zero_differs_only_for_images_without_a_face(faces: FakeFaces) -> None:
    samples = [sample(BLACK, held_out=(RED,)), sample(RED, held_out=(RED,)), sample(RED)]
    zero = IdentityZero(faces).score(samples, [])
    assert zero[0] == Score(0.0)
    assert zero[1:] == Identity(faces).score(samples, [])[1:]


def test_detected_and_multi_face_count_faces(faces: FakeFaces) -> None:
    samples = [sample(BLACK), sample(RED), sample(WHITE)]
    assert [s.value for s in Detected(faces).score(samples, [])] == [0, 1, 1]
    assert MultiFace(faces).score(samples, []) == [Score(None, "no face found"), Score(0.0), Score(1.0)]


def some_people(people: int, each: int, rng: np.random.Generator) -> list[RealPhoto]:
    return [
        RealPhoto(f"p{i}", plain(*(int(v) for v in rng.integers(1, 256, 3))))
        for i in range(people)
        for _ in range(each)
    ]


def test_verified_accepts_one_in_a_hundred_pairs_of_photographs_of_different_people(
    faces: FakeFaces,
) -> None:
    real = some_people(20, 6, np.random.default_rng(0))
    galleries = [tuple(photo.image for photo in real if photo.identity == f"p{i}") for i in range(20)]
    impostors = [
        sample(photo.image, held_out=galleries[i])
        for photo in real
        for i in range(20)
        if photo.identity != f"p{i}"
    ]
    accepted = [score.value for score in Verified(faces).score(impostors, real)]
    assert np.mean(np.array(accepted, float)) == pytest.approx(0.01, abs=2e-4)
    looser = [score.value for score in Verified10(faces).score(impostors, real)]
    assert np.mean(np.array(looser, float)) == pytest.approx(0.1, abs=2e-4)


def test_verified_is_the_share_of_held_out_photographs_that_match(faces: FakeFaces) -> None:
    """The mean cosine to the four photographs is .75, above the threshold, but one of them does not match."""
    real = [RealPhoto(f"p{i}", GREEN if i % 2 else RED) for i in range(40)]
    real = [photo for photo in real if photo.identity != "p0"] + [RealPhoto("p0", plain(128, 128, 255))]
    found = Verified(faces, false_accepts=0.9).score([sample(RED, held_out=(RED, RED, RED, GREEN))], real)
    assert found == [Score(0.75)]


def test_verified_accepts_a_cosine_of_exactly_0_above_a_negative_threshold(faces: FakeFaces) -> None:
    cyan = plain(1, 128, 128)
    metric = Verified(faces, false_accepts=0.99)
    negative = [RealPhoto("p0", RED), *[RealPhoto("p1", cyan) for _ in range(120)]]
    assert metric.score([sample(RED, held_out=(GREEN,))], negative) == [Score(1.0)]
    assert metric.score([sample(RED, held_out=(cyan,))], negative) == [Score(0.0)]


def test_verified_rejects_an_image_without_a_face_and_requires_enough_pairs(faces: FakeFaces) -> None:
    real = some_people(12, 10, np.random.default_rng(1))
    pair = [sample(BLACK, held_out=(RED,)), sample(RED)]
    assert Verified(faces).score(pair, real) == [Score(0.0), Score(None, "no held-out photographs")]
    (few,) = Verified(faces).score(pair[:1], real[5:15])
    assert few == Score(None, "no threshold: 25 pairs of different people, expected at least 100")
    assert Verified(faces).score(pair[:1], [])[0].value is None


def test_verified_reports_its_threshold_and_the_false_accept_rate(faces: FakeFaces) -> None:
    found = Verified(faces).calibration(some_people(12, 10, np.random.default_rng(1)))
    assert (found["people"], found["people_pairs"], found["photo_pairs"]) == (12, 66, 6600)
    low, rate, high = found["low"], found["rate"], found["high"]
    assert low is not None
    assert rate is not None
    assert high is not None
    assert 0 <= low < rate < high < 0.2
    assert Verified(faces).calibration([]) == {}


def test_copying_is_the_cosine_to_references_minus_the_cosine_to_held_out_photographs(
    faces: FakeFaces,
) -> None:
    copy, fair, faceless, unknown = Copying(faces).score(
        [
            sample(RED, references=(RED,), held_out=(GREEN,)),
            sample(RED, references=(RED,), held_out=(RED,)),
            sample(BLACK, references=(RED,), held_out=(RED,)),
            sample(RED, held_out=(RED,)),
        ],
        [],
    )
    assert copy.value == pytest.approx(1, abs=1e-6)
    assert fair.value == pytest.approx(0)
    assert faceless == Score(None, "no face found")
    assert unknown == Score(None, "no reference photographs")


def test_sim_gt_and_sim_ref_are_the_two_parts_of_copying(faces: FakeFaces) -> None:
    samples = [sample(RED, references=(RED, GREEN), held_out=(RED, GREEN, GREEN, GREEN)), sample(BLACK)]
    assert SimGt(faces).score(samples, []) == Identity(faces).score(samples, [])
    shown, faceless = SimRef(faces).score(samples, [])
    assert SimGt(faces).score(samples, [])[0].value == pytest.approx(0.25)
    assert shown.value == pytest.approx(0.5)
    assert Copying(faces).score(samples, [])[0].value == pytest.approx(0.25)
    assert faceless == Score(None, "no face found")
    assert SimRef(faces).score([sample(RED)], []) == [Score(None, "no reference photographs")]


def test_copy_paste_does_not_depend_on_the_number_of_references(faces: FakeFaces) -> None:
    blue = plain(128, 128, 255)
    for references in ((RED,), (GREEN, RED), (blue, GREEN, RED)):
        copy, missing, faceless, unknown = CopyPaste(faces).score(
            [
                sample(RED, references=references, held_out=(plain(255, 255, 128), BLACK)),
                sample(RED, held_out=(RED,)),
                sample(BLACK, references=references, held_out=(RED,)),
                sample(RED, references=references, held_out=(BLACK,)),
            ],
            [],
        )
        assert copy.value == pytest.approx(1, abs=1e-6)
        assert missing == Score(None, "no reference photographs")
        assert faceless == Score(None, "no face found")
        assert unknown == Score(None, "no face found in any held-out photograph")


@dataclass(frozen=True)
class FakeClassifier:
    """Predicts the same for every image."""

    predicted: Mapping[str, str]
    name: str = "fake"
    classes: Mapping[str, Sequence[str]] = None  # type: ignore[assignment]

    @property
    def fingerprint(self) -> Mapping[str, str]:
        return {}

    def describe(self, images: Sequence[Image.Image]) -> list[dict[str, str]]:
        return [dict(self.predicted) for _ in images]


@pytest.fixture
def classifier() -> FakeClassifier:
    classes = {"hat": ("none", "red"), "shirt": ("blue", "red"), "style": ("bald", "long")}
    return FakeClassifier({"hat": "red", "shirt": "blue", "style": "bald"}, classes=classes)


@pytest.mark.parametrize(
    ("expected_attributes", "expected"),
    [
        ({"hat": "red", "shirt": "red"}, Score(0.5)),
        ({"style": "long"}, Score(0.0)),
        ({"hat": "red", "style": "long"}, Score(1.0)),
        ({"hat": "none", "style": "bald"}, Score(0.5)),
        ({"shirt": "blue", "eyes": "green"}, Score(1.0)),
        ({"shirt": "striped"}, Score(None, "the classifier has no class for shirt=striped")),
        ({}, Score(None, "the prompt requests nothing that the classifier can evaluate")),
        ({"eyes": "green"}, Score(None, "the prompt requests nothing that the classifier can evaluate")),
    ],
)
def test_prompt_match_is_the_share_of_evaluable_attributes_that_are_predicted(
    classifier: FakeClassifier, expected_attributes: dict[str, str], expected: Score
) -> None:
    assert AttributeMatch(classifier).score([sample(RED, expected_attributes=expected_attributes)], []) == [
        expected
    ]


@dataclass(frozen=True)
class FakePerceptual:
    """The mean colour is the embedding."""

    name: str = "fake"

    @property
    def fingerprint(self) -> Mapping[str, str]:
        return {"network": "fake"}

    def embed(self, images: Sequence[Image.Image]) -> Features:
        return np.array([np.asarray(image, np.float64).mean((0, 1)) / 255 for image in images])

    encode = embed

    def probabilities(self, images: Sequence[Image.Image]) -> Features:
        raw = self.embed(images) + 0.01
        return raw / raw.sum(1, keepdims=True)

    def encode_texts(self, texts: Sequence[str]) -> Features:
        return np.array([[1.0, 0.0, 0.0] if "red" in text else [0.0, 1.0, 0.0] for text in texts])


def test_text_match_is_the_cosine_of_each_image_with_its_own_prompt() -> None:
    red = plain(255, 0, 0)
    scores = TextMatch(FakePerceptual()).score(
        [sample(red, prompt="a red man"), sample(red, prompt="a man")], []
    )
    assert [score.value for score in scores] == [1, 0]
    assert TextMatch(FakePerceptual()).score([], []) == []


def test_diversity_compares_only_images_of_one_person_and_prompt() -> None:
    black, white = plain(0, 0, 0), plain(255, 255, 255)
    samples = [
        sample(black, 0),
        sample(white, 1),
        sample(black, 2),
        sample(white, 3, prompt_id="other"),
        sample(white, 4, identity="bob"),
    ]
    scores = Diversity(FakePerceptual()).score(samples, [])
    assert [score.value for score in scores[:3]] == [pytest.approx(1.5), pytest.approx(3), pytest.approx(1.5)]
    assert scores[3:] == [Score(None, "only one picture")] * 2


def test_face_diversity_uses_only_the_largest_face(faces: FakeFaces) -> None:
    def with_background(colour: int) -> Image.Image:
        """An image of which the face, the upper left 4 x 4 pixels, is always the same."""
        made = plain(colour, colour, colour)
        made.paste((200, 100, 50), (0, 0, 5, 5))
        return made

    samples = [sample(with_background(10), 0), sample(with_background(240), 1), sample(BLACK, 2)]
    assert (Diversity(FakePerceptual()).score(samples, [])[0].value or 0) > 0.1
    face = FaceDiversity(FakePerceptual(), faces).score(samples, [])
    assert face[0].value == pytest.approx(0, abs=1e-3)
    assert face[2] == Score(None, "no face found")
    alone = FaceDiversity(FakePerceptual(), faces).score(samples[1:], [])
    assert alone[0] == Score(None, "only one picture with a face")


def test_nearest_reference_uses_the_most_similar_reference() -> None:
    grey, dark, white = (plain(v, v, v) for v in (100, 50, 255))
    copy, near, unknown = NearestReference(FakePerceptual()).score(
        [sample(grey, references=(white, grey)), sample(grey, references=(white, dark)), sample(grey)], []
    )
    assert copy.value == pytest.approx(0)
    assert near.value == pytest.approx(3 * (50 / 255) ** 2)
    assert unknown == Score(None, "no reference photographs")


SETS: list[tuple[Any, bool]] = [
    (Frechet, False),
    (FrechetInfinity, False),
    (Kernel, False),
    (Precision, True),
    (Recall, True),
    (Density, True),
    (Coverage, True),
]


@pytest.mark.parametrize(("cls", "higher"), SETS)
def test_a_set_metric_prefers_the_real_distribution(cls: Any, higher: bool) -> None:
    rng = np.random.default_rng(0)
    real, near, far = rng.normal(size=(80, 6)), rng.normal(size=(80, 6)), rng.normal(size=(80, 6)) + 4
    metric = cls(FakePerceptual())
    good, bad = metric.measure(near, real).value, metric.measure(far, real).value
    assert (good > bad) == higher
    assert metric.better == ("higher" if higher else "lower")


def test_precision_and_recall_are_not_swapped() -> None:
    rng = np.random.default_rng(1)
    tight, wide = rng.normal(size=(60, 4)) * 0.05, rng.normal(size=(60, 4))
    assert (Precision(FakePerceptual()).measure(tight, wide).value or 0) > 0.9
    assert (Recall(FakePerceptual()).measure(tight, wide).value or 0) < 0.2


def test_too_few_images_give_a_reason_with_their_number() -> None:
    few, real = np.ones((5, 3)), np.ones((50, 3))
    assert Frechet(FakePerceptual()).measure(few, real) == Score(
        None, "5 generated and 50 real images, expected at least 16 of each"
    )
    p = np.full((30, 3), 1 / 3)
    assert "cannot score above 30" in Inception(FakePerceptual()).measure(p, real).reason
    assert InceptionUniform(FakePerceptual()).measure(p, real).value == pytest.approx(1)


def test_images_are_shuffled_before_the_splits_of_the_inception_score() -> None:
    """Images are ordered by person: consecutive splits would contain one person's class each, and score 1."""
    p = np.repeat(np.eye(10), 50, axis=0)
    metric = Inception(FakePerceptual(), splits=10)
    assert (metric.measure(p, p).value or 0) > 9
    assert metric.measure(p, p) == metric.measure(p, p)
    assert Inception(FakePerceptual(), splits=10, seed=1).measure(p, p) != metric.measure(p, p)


def test_kid_is_not_scaled() -> None:
    rng = np.random.default_rng(2)
    x, y = rng.normal(size=(40, 5)), rng.normal(size=(40, 5)) + 1
    assert Kernel(FakePerceptual()).measure(x, y).value == pytest.approx(squared_mmd(x, y))


def test_a_fingerprint_contains_the_settings_of_the_metric() -> None:
    settings = {"min images": "16", "subsets": "100", "subset size": "1000", "seed": "3"}
    assert Kernel(FakePerceptual(), seed=3).settings == settings
    assert Kernel(FakePerceptual(), seed=3).fingerprint == {**FakePerceptual().fingerprint, **settings}
    assert Coverage(FakePerceptual()).fingerprint["k"] == "5"
    assert Inception(FakePerceptual(), splits=10).fingerprint["splits"] == "10"
    assert Inception(FakePerceptual()).fingerprint["min images"] == "50"
    assert Verified(FakeFaces()).fingerprint["false accepts"].startswith("0.01 of the pairs")


def test_samples_are_scored_independently_and_in_order(faces: FakeFaces) -> None:
    samples: list[Sample] = [
        sample(image, i, held_out=(RED,)) for i, image in enumerate((GREEN, RED, BLACK, RED))
    ]
    metric = Identity(faces)
    assert metric.score(samples, []) == [metric.score([one], [])[0] for one in samples]
