import json

import numpy as np
import pytest

from metrics.encoders.runtime.weight_files import SHIPPED
from metrics.training.model_card import AttributeQuality, FaceQuality, ModelCard, face_quality, markdown


def test_perfect_vectors_reach_an_area_of_one_and_random_ones_a_half() -> None:
    identities = np.repeat(np.arange(20), 5)
    rng = np.random.default_rng(0)
    perfect = face_quality("a", rng.normal(size=(20, 64))[identities], identities)
    assert perfect.area == 1
    assert perfect.verified == 1
    assert perfect.same == pytest.approx(1)
    noise = face_quality("b", rng.normal(size=(100, 64)), identities)
    assert noise.area == pytest.approx(0.5, abs=0.1)


def test_an_undetected_face_lowers_only_the_share_found() -> None:
    identities = np.repeat(np.arange(20), 5)
    vectors = np.random.default_rng(1).normal(size=(20, 8))[identities]
    vectors[0] = np.nan
    quality = face_quality("a", vectors, identities)
    assert quality.found == 0.99
    assert quality.area == 1


def test_the_page_contains_every_number() -> None:
    card = ModelCard(
        1200,
        100,
        0.0025,
        (FaceQuality("sface", 0.999, 0.71, 0.34, 0.98123, 0.87),),
        (AttributeQuality("hat", 0.9912, 1200, ("none", "red")),),
        (("attributes.safetensors", 1_500_000, "ab" * 32),),
        "Stopped early.",
    )
    page = markdown(card)
    assert "| sface | 0.9812 | 0.870 | 0.710 | 0.340 | 0.9990 |" in page
    assert "| hat | 0.9912 | 1200 | none, red |" in page
    assert "1200 images of 100 rendered people outside the training set" in page
    assert "| `attributes.safetensors` | 1.50 MB | `abababababababab` |" in page
    assert "0.25% of the images" in page
    assert "\nStopped early.\n" in page


def test_the_shipped_page_is_written_from_the_shipped_numbers() -> None:
    stored = json.loads((SHIPPED / "card.json").read_text(encoding="utf-8"))
    faces = tuple(FaceQuality(**part) for part in stored.pop("faces"))
    attributes = tuple(AttributeQuality(**part) for part in stored.pop("attributes"))
    card = ModelCard(faces=faces, attributes=attributes, **stored)
    assert markdown(card) == (SHIPPED / "README.md").read_text(encoding="utf-8")
