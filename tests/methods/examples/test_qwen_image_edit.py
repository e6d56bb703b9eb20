"""Qwen-Image-Edit as a method from outside the catalogue, compared with diffusers' pipeline."""

from __future__ import annotations

import shutil
from dataclasses import replace
from functools import partialmethod
from pathlib import Path

import pytest
import torch
from diffusers import QwenImageEditPlusPipeline
from diffusers.pipelines.qwenimage import pipeline_qwenimage_edit_plus
from offloaded import weights_off_the_gpu
from PIL import Image
from tiny_qwen_image_edit import write_qwen_image_edit

from bench.cli.main import main
from methods.catalog import generates_class_images
from methods.errors import MethodError
from methods.examples import qwen_image_edit
from methods.examples.qwen_image_edit import EditedPhotographs, QwenImageEdit
from methods.subject import Photo, Request, Subject

SIDE = 64
REQUESTS = [Request("a photo of {subject}, smiling", 4), Request("{subject} at the beach", 5)]
FAKES = Path(__file__).parents[2] / "bench" / "fakes"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp("qwen") / "model"
    write_qwen_image_edit(found)
    return found


@pytest.fixture(autouse=True)
def small_photographs(monkeypatch: pytest.MonkeyPatch) -> None:
    """The pipeline reads photographs at a fixed size, 1024 pixels, which takes seconds."""
    monkeypatch.setattr(pipeline_qwenimage_edit_plus, "VAE_IMAGE_SIZE", SIDE**2)
    monkeypatch.setattr(pipeline_qwenimage_edit_plus, "CONDITION_IMAGE_SIZE", SIDE**2)


@pytest.fixture
def method(folder: Path) -> QwenImageEdit:
    return QwenImageEdit(path=str(folder), resolution=SIDE, steps=2, dtype="fp32", device="cpu")


def personalised(method: QwenImageEdit, subject: Subject, into: Path) -> EditedPhotographs:
    into.mkdir()
    method.fit(subject, into, backbone=None, seed=0)
    return method.load(into, backbone=None)


def plain_images(folder: Path, images: list[Image.Image]) -> list[bytes]:
    pipe = QwenImageEditPlusPipeline.from_pretrained(folder, dtype=torch.float32)
    pipe.set_progress_bar_config(disable=True)
    return [
        pipe(
            image=images,
            prompt=prompt,
            negative_prompt=" ",
            true_cfg_scale=4.0,
            num_inference_steps=2,
            height=SIDE,
            width=SIDE,
            generator=torch.Generator().manual_seed(seed),
        )
        .images[0]
        .tobytes()
        for prompt, seed in [("a photo of this woman, smiling", 4), ("this woman at the beach", 5)]
    ]


def test_images_equal_those_of_the_pipeline(subject: Subject, method: QwenImageEdit, tmp_path: Path) -> None:
    wide = Photo(subject.references[1].image.resize((90, 60)), "a photo of {subject}")
    person = replace(subject, references=(subject.references[0], wide))
    before = torch.get_rng_state()
    images = [image.tobytes() for image in personalised(method, person, tmp_path / "a").generate(REQUESTS)]
    assert torch.equal(torch.get_rng_state(), before)
    assert images == plain_images(method.folder, [photo.image for photo in person.references])
    again = personalised(method, person, tmp_path / "b").generate(REQUESTS[::-1])
    assert [image.tobytes() for image in again] == images[::-1]


def test_sequential_offload_gives_the_same_images(
    subject: Subject, method: QwenImageEdit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Hooks on the CPU: no GPU is needed."""
    enable = QwenImageEditPlusPipeline.enable_group_offload
    on_cpu = partialmethod(lambda pipe, device, **options: enable(pipe, torch.device("cpu"), **options))
    monkeypatch.setattr(QwenImageEditPlusPipeline, "enable_group_offload", on_cpu)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    person = personalised(replace(method, device="cuda", cpu_offload="sequential"), subject, tmp_path / "a")
    with weights_off_the_gpu(person) as unloaded:
        images = [image.tobytes() for image in person.generate(REQUESTS)]
    assert unloaded.most == 2
    assert images == plain_images(method.folder, [photo.image for photo in subject.references])


def test_first_photographs_are_read(subject: Subject, method: QwenImageEdit, tmp_path: Path) -> None:
    images = personalised(replace(method, photos=1), subject, tmp_path / "one").generate(REQUESTS)
    expected = plain_images(method.folder, [subject.references[0].image])
    assert [image.tobytes() for image in images] == expected


def test_every_file_of_the_model_is_part_of_a_fingerprint(method: QwenImageEdit, tmp_path: Path) -> None:
    copied = tmp_path / "model"
    shutil.copytree(method.folder, copied)
    (copied / ".cache" / "huggingface").mkdir(parents=True)
    (copied / "README.md").write_text("no part of the model")
    found = {path.relative_to(copied).as_posix() for path in replace(method, path=str(copied)).weights}
    every = {path.relative_to(method.folder).as_posix() for path in method.folder.rglob("*.*")}
    assert found == every
    assert {"model_index.json", "vae/config.json", "text_encoder/model.safetensors"} <= found


def test_wrong_settings_are_refused_in_one_line(method: QwenImageEdit, tmp_path: Path) -> None:
    with pytest.raises(MethodError, match=r"no model_index\.json in path = ''; give the folder"):
        QwenImageEdit()
    with pytest.raises(MethodError, match="resolution 1000; expected a multiple of 16"):
        replace(method, resolution=1000)
    with pytest.raises(MethodError, match="photos is 0; expected a whole number from 1 to 16"):
        replace(method, photos=0)
    shutil.copytree(method.folder, tmp_path / "model")
    (tmp_path / "model" / "vae" / "diffusion_pytorch_model.safetensors").unlink()
    broken = replace(method, path=str(tmp_path / "model"))
    with pytest.raises(MethodError, match=r"cannot be loaded .*get Qwen-Image-Edit-2509 again") as caught:
        broken.load(tmp_path, backbone=None)
    assert "\n" not in str(caught.value)


def test_missing_gpu_is_one_line(
    method: QwenImageEdit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(MethodError, match="torch finds no GPU; set device = 'cpu'"):
        replace(method, device="cuda").load(tmp_path, backbone=None)


SUITE = """
name = "edited"
metrics = ["fake_metrics:Length"]

[dataset]
kind = "folder"
path = "people"
references = 2
held_out = 1
noun = "woman"

[prompts]
set = "portrait"
ids = ["blue-background"]
priors = 1

[backbone]
path = "none"

[methods.qwen-edit]
path = "{folder}"
resolution = 64
steps = 2
dtype = "fp32"
device = "cpu"
"""


def test_installed_package_provides_the_method(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A copy of the file as a package of its own, under the name of its entry point."""
    packages = tmp_path / "site-packages"
    metadata = packages / "qwen_edit-1.0.dist-info"
    metadata.mkdir(parents=True)
    shutil.copy(qwen_image_edit.__file__, packages / "qwen_edit_method.py")
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: qwen-edit\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(
        "[personabench.methods]\nqwen-edit = qwen_edit_method:QwenImageEdit\n"
    )
    for name in ("ada", "bob"):
        person = tmp_path / "people" / name
        person.mkdir(parents=True)
        for i in range(3):
            Image.effect_noise((SIDE, SIDE), 40 + 9 * i + len(name)).save(person / f"{i}.png")
            (person / f"{i}.txt").write_text("a photo of {subject}")
    (tmp_path / "edited.toml").write_text(SUITE.format(folder=folder))
    monkeypatch.syspath_prepend(FAKES)
    monkeypatch.syspath_prepend(packages)
    monkeypatch.chdir(tmp_path)
    words = ["run", "--suite", "edited.toml", "--methods", "qwen-edit", "--out", "run", "--workers", "1"]
    monkeypatch.setattr("sys.argv", ["bench", *words])
    with pytest.raises(SystemExit) as ended:
        main()
    assert not ended.value.code, capsys.readouterr().err
    images = sorted((tmp_path / "run" / "images").rglob("*.png"))
    # No class images: the plan knows this from the source.
    assert not generates_class_images("qwen-edit")
    assert [path.parent.name for path in images] == ["ada", "bob"]
    first, second = (Image.open(path).tobytes() for path in images)
    assert first != second
    assert set(first) != {0}
    manifest = (tmp_path / "run" / "run.json").read_text()
    assert "qwen_edit_method" in manifest
