"""A LoRA stays loaded between the batches of one person."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from offloaded import open_offloaded, weights_off_the_gpu

import methods.lora.checkpoint
from methods.backbone.backbone import Backbone
from methods.catalog import make
from methods.errors import MethodError
from methods.lora.checkpoint import PersonalisedWeights
from methods.subject import Request, Subject

REQUESTS = [Request("a photo of {subject}, smiling", seed) for seed in (1, 2, 3)]


@pytest.fixture
def person(
    settings: dict[str, dict[str, Any]], subject: Subject, backbone: Backbone, tmp_path: Path
) -> PersonalisedWeights:
    method = make("lora-folder", settings["lora-folder"])
    method.fit(subject, tmp_path, backbone=backbone, seed=0)
    loaded = method.load(tmp_path, backbone=backbone)
    assert isinstance(loaded, PersonalisedWeights)
    return loaded


@pytest.fixture
def attached(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The files, in the order in which they are loaded."""
    files: list[Path] = []
    attach = methods.lora.checkpoint._attach

    def recording(pipe: Any, file: Path) -> None:
        files.append(file)
        attach(pipe, file)

    monkeypatch.setattr(methods.lora.checkpoint, "_attach", recording)
    return files


def images(person: PersonalisedWeights, requests: list[Request]) -> list[bytes]:
    return [image.tobytes() for image in person.generate(requests)]


def test_batches_of_a_session_load_the_lora_once(
    person: PersonalisedWeights, backbone: Backbone, attached: list[Path]
) -> None:
    apart = [images(person, [request]) for request in REQUESTS]
    assert len(attached) == 3
    with person.session():
        together = [images(person, [request]) for request in REQUESTS]
    assert len(attached) == 4
    assert together == apart
    assert backbone.state.leftovers(backbone.pipe) == []


@pytest.mark.parametrize("merged", [False, True])
def test_lora_is_offloaded_with_the_layers(
    merged: bool, settings: dict[str, dict[str, Any]], subject: Subject, backbone: Backbone, tmp_path: Path
) -> None:
    method = make("lora-folder", {**settings["lora-folder"], "merged": merged})
    method.fit(subject, tmp_path, backbone=backbone, seed=0)
    offloaded = open_offloaded(backbone.spec)
    person = method.load(tmp_path, backbone=offloaded)
    assert isinstance(person, PersonalisedWeights)
    with weights_off_the_gpu(offloaded) as unloaded, person.session():
        added = {id(p) for name, p in offloaded.network.named_parameters() if "lora_" in name}
        assert added <= unloaded.names.keys()
        found = images(person, REQUESTS)
    expected = method.load(tmp_path, backbone=backbone)
    assert isinstance(expected, PersonalisedWeights)
    assert found == images(expected, REQUESTS)
    assert offloaded.state.leftovers(offloaded.pipe) == []


def test_dora_is_refused_with_sequential_offload(
    subject: Subject, backbone: Backbone, tmp_path: Path
) -> None:
    method = make("dreambooth-lora", {"steps": 1, "prior_weight": 0.0, "use_dora": True})
    method.fit(subject, tmp_path, backbone=backbone, seed=0)
    offloaded = open_offloaded(backbone.spec)
    with pytest.raises(MethodError, match="a DoRA cannot be used with cpu_offload = 'sequential'; use true"):
        method.load(tmp_path, backbone=offloaded).generate(REQUESTS)
    assert offloaded.state.leftovers(offloaded.pipe) == []


def test_a_failing_batch_does_not_take_the_lora_from_the_next(
    person: PersonalisedWeights, backbone: Backbone, monkeypatch: pytest.MonkeyPatch
) -> None:
    apart = images(person, REQUESTS[:1])

    def fail(*arguments: object, **more: object) -> None:
        raise MemoryError

    with person.session():
        with monkeypatch.context() as patched:
            patched.setattr(Backbone, "generate", fail)
            with pytest.raises(MemoryError), backbone.clean():
                person.generate(REQUESTS[:1])
        assert images(person, REQUESTS[:1]) == apart
    assert backbone.state.leftovers(backbone.pipe) == []
