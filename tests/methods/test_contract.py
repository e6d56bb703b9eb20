"""The contract that every method of the catalogue must keep."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from offloaded import open_offloaded, weights_off_the_gpu
from PIL.Image import Image
from safetensors import safe_open
from tiny_adapters import leave_one_out_settings
from tiny_transformers import FLOW_FAMILIES, IN_CONTEXT, TRANSFORMERS, FlowFolders

from methods.backbone.backbone import Backbone
from methods.catalog import METHODS, make
from methods.errors import MethodError
from methods.interface import Checkpoints, Method, SavesCheckpoints
from methods.subject import Request, Subject

Settings = dict[str, dict[str, object]]
Fit = Callable[[str], Path]

TEMPLATE = "a photo of {subject}, wearing a red shirt"
REQUESTS = [
    Request(TEMPLATE, 11, "shirt", 11),
    Request("a photo of {subject}, smiling", 12, "smile", 12),
    Request(TEMPLATE, 13, "shirt", 13),
]

TRANSFORMER_METHODS = ("text-only", "photo-copy", "dreambooth-lora", "lora-folder", "textual-inversion")
"""Methods for backbones with a transformer."""

TRAINING = {
    "dreambooth-lora": "backbone: cpu_offload = 'sequential' is for sampling only; use cpu_offload = true",
    "textual-inversion": "backbone: cpu_offload cannot train text encoders or embeddings; leave it out",
    "ti-lora": "backbone: cpu_offload cannot train text encoders or embeddings; leave it out",
}
"""How methods that train refuse sequential offload."""

every_method = pytest.mark.parametrize(
    ("family", "name"),
    [
        *((IN_CONTEXT.get(name, "sd1"), name) for name in METHODS),
        *((family, name) for family in TRANSFORMERS for name in TRANSFORMER_METHODS),
        *((family, "loo-caption-attention") for family in FLOW_FAMILIES),
    ],
)
with_checkpoints = pytest.mark.parametrize(
    ("family", "name"),
    [
        ("sd1", "dreambooth-lora"),
        ("sd1", "textual-inversion"),
        ("sd1", "ti-lora"),
        *((family, name) for family in TRANSFORMERS for name in ("dreambooth-lora", "textual-inversion")),
    ],
)


@pytest.fixture
def family() -> str:
    return "sd1"


@pytest.fixture
def family_settings(
    family: str,
    settings: Settings,
    flow_folders: FlowFolders,
    subject: Subject,
    clip_folder: Path,
    shared_folder: Path,
) -> Settings:
    """Settings of each method for the family's tiny backbone."""
    if family not in TRANSFORMERS:
        return settings
    backbone, loras = flow_folders.backbone(family), shared_folder / family
    if not loras.is_dir():
        (loras / subject.id).mkdir(parents=True)
        trained = make("dreambooth-lora", {"steps": 2, "learning_rate": 2e-2})
        trained.fit(subject, loras / subject.id, backbone=backbone, seed=9)
    chosen: Settings = {**settings, "lora-folder": {"path": str(loras)}}
    if family in FLOW_FAMILIES:
        with torch.random.fork_rng():
            torch.manual_seed(2)
            chosen["loo-caption-attention"] = leave_one_out_settings(
                "caption-attention", backbone, clip_folder, shared_folder / f"{family}.safetensors"
            )
    return chosen


@pytest.fixture(scope="module")
def shared_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("loras")


@pytest.fixture
def backbone(family: str, shared_backbone: Backbone, flow_folders: FlowFolders) -> Backbone:
    """The family's tiny backbone; fails for a change that an earlier test left on it."""
    found = shared_backbone if family == "sd1" else flow_folders.backbone(family)
    assert found.state.leftovers(found.pipe) == []
    return found


@pytest.fixture(scope="module")
def offloaded_backbones() -> dict[str, Backbone]:
    """Backbones with sequential offload by family, kept for all tests."""
    return {}


@pytest.fixture
def offloaded(family: str, backbone: Backbone, offloaded_backbones: dict[str, Backbone]) -> Backbone:
    """The family's tiny backbone with sequential offload."""
    if family not in offloaded_backbones:
        offloaded_backbones[family] = open_offloaded(backbone.spec)
    return offloaded_backbones[family]


@pytest.fixture
def method(name: str, family_settings: Settings) -> Method:
    return make(name, family_settings.get(name))


@pytest.fixture(scope="module")
def fits() -> dict[tuple[str, str], Path]:
    """Folders of fits by family and method, kept for all tests."""
    return {}


@pytest.fixture
def fit_of(
    family: str,
    backbone: Backbone,
    family_settings: Settings,
    subject: Subject,
    fits: dict[tuple[str, str], Path],
    tmp_path_factory: pytest.TempPathFactory,
) -> Fit:
    """The folder of a method's fit, created once for all tests."""

    def fit(name: str) -> Path:
        if (family, name) not in fits:
            into = tmp_path_factory.mktemp(name)
            make(name, family_settings.get(name)).fit(subject, into, backbone=backbone, seed=5)
            fits[family, name] = into
        return fits[family, name]

    return fit


def bytes_of(images: Sequence[Image]) -> list[bytes]:
    return [image.tobytes() for image in images]


def digest_of(folder: Path) -> dict[str, str]:
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def contents_of(folder: Path) -> dict[str, object]:
    """As `digest_of`, but independent of the order of safetensors' header, which varies."""
    contents: dict[str, object] = dict(digest_of(folder))
    for path in folder.rglob("*.safetensors"):
        with safe_open(path, "pt") as stored:
            tensors = {key: stored.get_tensor(key).numpy().tobytes() for key in stored.keys()}  # noqa: SIM118
            contents[str(path.relative_to(folder))] = (stored.metadata(), tensors)
    return contents


@every_method
def test_method_name_equals_catalogue_key(name: str, method: Method) -> None:
    assert method.name == name


@every_method
def test_subject_without_photos_is_refused_in_one_line(name: str, method: Method) -> None:
    reason = method.unsupported_reason(Subject("nobody", "man", ()))
    assert reason is not None
    assert "nobody" in reason
    assert "\n" not in reason


@every_method
def test_subject_with_photos_is_supported(name: str, method: Method, subject: Subject) -> None:
    assert method.unsupported_reason(subject) is None


@every_method
def test_weights_exist_and_conditioning_encoders_are_declared(name: str, method: Method) -> None:
    assert all(path.is_file() for path in method.weights)
    assert bool(method.conditioning_encoders) == name.startswith(("ip-adapter", "loo-"))


@every_method
def test_fit_writes_only_into_its_folder(
    name: str,
    method: Method,
    subject: Subject,
    backbone: Backbone,
    sd_folder: Path,
    clip_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    into = tmp_path / "fit"
    into.mkdir()
    before = digest_of(sd_folder), digest_of(clip_folder)
    method.fit(subject, into, backbone=backbone, seed=5)
    assert list(tmp_path.iterdir()) == [into]
    assert digest_of(into)
    assert (digest_of(sd_folder), digest_of(clip_folder)) == before


@every_method
def test_fit_with_the_same_seed_writes_the_same_content(
    name: str, method: Method, subject: Subject, backbone: Backbone, fit_of: Fit, tmp_path: Path
) -> None:
    method.fit(subject, tmp_path, backbone=backbone, seed=5)
    assert contents_of(tmp_path) == contents_of(fit_of(name))


@with_checkpoints
def test_state_after_some_steps_is_the_same_whichever_are_saved(
    name: str, method: Method, subject: Subject, backbone: Backbone, fit_of: Fit, tmp_path: Path
) -> None:
    assert isinstance(method, SavesCheckpoints)
    saved: list[int] = []
    several = {steps: empty(tmp_path / f"several-{steps}") for steps in (1, method.steps)}
    one = empty(tmp_path / "one")
    method.fit_checkpoints(subject, Checkpoints(several, saved.append), backbone=backbone, seed=5)
    method.fit_checkpoints(subject, Checkpoints({1: one}), backbone=backbone, seed=5)
    assert saved == list(several)
    assert contents_of(several[1]) == contents_of(one)
    assert contents_of(several[method.steps]) == contents_of(fit_of(name))
    assert contents_of(several[1]) != contents_of(several[method.steps])


@pytest.mark.parametrize("name", ["dreambooth-lora", "textual-inversion"])
@pytest.mark.parametrize(
    ("lr_scheduler", "is_shorter_fit"),
    [("constant", True), ("constant_with_warmup", True), ("cosine", False)],
)
def test_state_after_some_steps_equals_a_shorter_fit_where_the_rate_ignores_the_total(
    name: str,
    lr_scheduler: str,
    is_shorter_fit: bool,
    family_settings: Settings,
    subject: Subject,
    backbone: Backbone,
    tmp_path: Path,
) -> None:
    settings = family_settings
    method = make(name, {**settings[name], "steps": 4, "lr_scheduler": lr_scheduler, "warm_up": 1})
    shorter = make(name, {**settings[name], "steps": 3, "lr_scheduler": lr_scheduler, "warm_up": 1})
    assert isinstance(method, SavesCheckpoints)
    state, fit = empty(tmp_path / "state"), empty(tmp_path / "fit")
    method.fit_checkpoints(subject, Checkpoints({3: state}), backbone=backbone, seed=5)
    shorter.fit(subject, fit, backbone=backbone, seed=5)
    assert (contents_of(state) == contents_of(fit)) == is_shorter_fit


def empty(folder: Path) -> Path:
    folder.mkdir()
    return folder


@every_method
def test_loading_twice_generates_identical_images(
    name: str, method: Method, backbone: Backbone, fit_of: Fit
) -> None:
    first, second = (method.load(fit_of(name), backbone=backbone).generate(REQUESTS) for _ in range(2))
    assert bytes_of(first) == bytes_of(second)
    assert all(image.mode == "RGB" and image.size == (backbone.resolution,) * 2 for image in first)


@every_method
def test_another_seed_generates_another_image(
    name: str, method: Method, backbone: Backbone, fit_of: Fit
) -> None:
    one, other = method.load(fit_of(name), backbone=backbone).generate(
        [Request(TEMPLATE, 1, "shirt", 1), Request(TEMPLATE, 2, "shirt", 2)]
    )
    assert one.tobytes() != other.tobytes()


@every_method
def test_image_depends_on_its_own_request_alone(
    name: str, method: Method, backbone: Backbone, fit_of: Fit
) -> None:
    person = method.load(fit_of(name), backbone=backbone)
    a, b, c = bytes_of(person.generate(REQUESTS))
    assert bytes_of(person.generate([REQUESTS[2]])) == [c]
    assert bytes_of(person.generate([REQUESTS[1], REQUESTS[0]])) == [b, a]
    assert person.generate([]) == []


@every_method
def test_global_random_state_is_unchanged(
    name: str, method: Method, subject: Subject, backbone: Backbone, tmp_path: Path
) -> None:
    # Class images cached by an earlier test would hide the effect of generating them.
    backbone.cache.clear()
    before = torch.random.get_rng_state(), random.getstate(), str(np.random.get_state())
    method.fit(subject, tmp_path, backbone=backbone, seed=5)
    method.load(tmp_path, backbone=backbone).generate(REQUESTS[:1])
    assert torch.equal(torch.random.get_rng_state(), before[0])
    assert random.getstate() == before[1]
    assert str(np.random.get_state()) == before[2]


@every_method
def test_backbone_is_left_unchanged(
    name: str, method: Method, subject: Subject, backbone: Backbone, tmp_path: Path
) -> None:
    weights = weights_digest(backbone)
    method.fit(subject, tmp_path, backbone=backbone, seed=6)
    assert backbone.state.leftovers(backbone.pipe) == []
    method.load(tmp_path, backbone=backbone).generate(REQUESTS[:1])
    assert backbone.state.leftovers(backbone.pipe) == []
    assert weights_digest(backbone) == weights


@every_method
def test_sequential_offload_changes_no_image_and_refuses_training(
    name: str,
    method: Method,
    subject: Subject,
    backbone: Backbone,
    offloaded: Backbone,
    fit_of: Fit,
    tmp_path: Path,
) -> None:
    """A fit that trains is refused; its result, trained without offload, is sampled like any other."""
    with weights_off_the_gpu(offloaded):
        images = method.load(fit_of(name), backbone=offloaded).generate(REQUESTS[:2])
    assert bytes_of(images) == bytes_of(method.load(fit_of(name), backbone=backbone).generate(REQUESTS[:2]))
    if name in TRAINING:
        with weights_off_the_gpu(offloaded) as unloaded, pytest.raises(MethodError) as caught:
            method.fit(subject, tmp_path, backbone=offloaded, seed=5)
        assert str(caught.value) == TRAINING[name]
        assert not unloaded.ran
    else:
        with weights_off_the_gpu(offloaded):
            method.fit(subject, tmp_path, backbone=offloaded, seed=5)
        assert contents_of(tmp_path) == contents_of(fit_of(name))
    assert offloaded.state.leftovers(offloaded.pipe) == []


@pytest.mark.parametrize(
    ("name", "changed"),
    [("textual-inversion", {}), ("ti-lora", {}), ("dreambooth-lora", {"text_encoder": True})],
)
def test_training_of_text_encoders_is_refused_with_model_offload_before_any_work(
    name: str,
    changed: dict[str, object],
    settings: Settings,
    subject: Subject,
    backbone: Backbone,
    tmp_path: Path,
) -> None:
    backbone = replace(backbone, spec=replace(backbone.spec, cpu_offload=True))
    method = make(name, {**settings[name], **changed})
    with (
        weights_off_the_gpu(backbone),
        pytest.raises(MethodError, match="cpu_offload cannot train text encoders"),
    ):
        method.fit(subject, tmp_path, backbone=backbone, seed=5)


def test_leave_one_out_with_tuning_is_refused_with_sequential_offload(
    settings: Settings, subject: Subject, offloaded: Backbone, tmp_path: Path
) -> None:
    method = make("loo-mean", {**settings["loo-mean"], "tune_steps": 1})
    with weights_off_the_gpu(offloaded) as unloaded, pytest.raises(MethodError, match="for sampling only"):
        method.fit(subject, tmp_path, backbone=offloaded, seed=5)
    assert not unloaded.ran


def test_images_do_not_depend_on_earlier_methods(settings: Settings, backbone: Backbone, fit_of: Fit) -> None:
    def generate(name: str) -> list[bytes]:
        person = make(name, settings.get(name)).load(fit_of(name), backbone=backbone)
        return bytes_of(person.generate(REQUESTS))

    names = [name for name in METHODS if name not in IN_CONTEXT]
    forward = {name: generate(name) for name in names}
    backward = {name: generate(name) for name in reversed(names)}
    assert forward == backward
    assert len({images[0] for images in forward.values()}) == len(names)


def weights_digest(backbone: Backbone) -> str:
    digest = hashlib.sha256()
    for part in (backbone.network, backbone.pipe.text_encoder, backbone.pipe.vae):
        for name, value in part.state_dict().items():
            digest.update(name.encode() + value.contiguous().numpy().tobytes())
    return digest.hexdigest()
