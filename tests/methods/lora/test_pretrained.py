"""LoRA files on backbones of every family: ours in diffusers, and the published layouts here."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from diffusers import DiffusionPipeline
from diffusers.utils import convert_all_state_dict_to_peft, convert_state_dict_to_kohya
from PIL.Image import Image
from safetensors.torch import load_file, save_file
from tiny_pipelines import FAMILIES, SmallFolders
from torch import Tensor

from methods.backbone.backbone import Backbone
from methods.backbone.spec import BackboneSpec
from methods.dreambooth_lora.method import DreamBoothLora
from methods.errors import MethodError
from methods.lora.checkpoint import FILE
from methods.lora.pretrained import LoraFolder
from methods.phrase_file import PHRASE
from methods.subject import Request, Subject

State = dict[str, Tensor]
METHOD = DreamBoothLora(steps=2, learning_rate=5e-2, text_encoder=True)
REQUEST = [Request("a photo of {subject}, smiling", 3)]


def diffusers_image(folder: Path, lora: Path) -> Image:
    """The image of diffusers' pipeline with a LoRA, with the sampling settings of the fixtures."""
    pipe = DiffusionPipeline.from_pretrained(folder, safety_checker=None, feature_extractor=None)
    pipe.set_progress_bar_config(disable=True)
    pipe.load_lora_weights(lora)
    image: Image = pipe(
        ["a photo of sks woman, smiling"] * 2,
        num_inference_steps=2,
        guidance_scale=3.0,
        height=64,
        width=64,
        generator=[torch.Generator().manual_seed(3) for _ in range(2)],
    ).images[0]
    return image


def assert_same_image(one: Image, other: Image) -> None:
    pairs = zip(one.tobytes(), other.tobytes(), strict=True)
    assert max(abs(a - b) for a, b in pairs) <= 1


@pytest.fixture(scope="module")
def backbones(tiny_pipelines: SmallFolders) -> Mapping[str, Backbone]:
    return {family: opened(tiny_pipelines[family]) for family in FAMILIES}


@pytest.fixture(scope="module")
def fits(
    backbones: Mapping[str, Backbone], subject: Subject, tmp_path_factory: pytest.TempPathFactory
) -> Mapping[str, Path]:
    """For each family the folder of a fit, text encoders and all."""
    made = {}
    for family, backbone in backbones.items():
        made[family] = tmp_path_factory.mktemp(f"fit-{family}")
        METHOD.fit(subject, made[family], backbone=backbone, seed=1)
        assert backbone.state.leftovers(backbone.pipe) == []
    return made


def opened(folder: Path) -> Backbone:
    return Backbone.open(BackboneSpec(path=str(folder), steps=2, guidance=3.0, batch=2, device="cpu"))


def fit_and_generate(method: LoraFolder, subject: Subject, into: Path, backbone: Backbone) -> Image:
    into.mkdir()
    method.fit(subject, into, backbone=backbone, seed=1)
    image = method.load(into, backbone=backbone).generate(REQUEST)[0]
    assert backbone.state.leftovers(backbone.pipe) == []
    return image


@pytest.mark.parametrize("text_encoder", [False, True], ids=["unet", "text-encoder"])
@pytest.mark.parametrize("family", FAMILIES)
def test_diffusers_generates_the_same_image(
    family: str,
    text_encoder: bool,
    subject: Subject,
    backbones: Mapping[str, Backbone],
    fits: Mapping[str, Path],
    tmp_path: Path,
) -> None:
    fit, backbone = fits[family], backbones[family]
    if not text_encoder:
        fit, method = tmp_path, replace(METHOD, text_encoder=False)
        method.fit(subject, fit, backbone=backbone, seed=1)
    parts = {name.partition(".")[0] for name in load_file(fit / FILE)}
    texts = {"text_encoder", "text_encoder_2"} if family == "sdxl" else {"text_encoder"}
    assert parts == {"unet", *(texts if text_encoder else ())}
    ours = METHOD.load(fit, backbone=backbone).generate(REQUEST)[0]
    assert_same_image(ours, diffusers_image(backbone.folder, fit))
    assert ours.tobytes() != backbone.generate(["a photo of sks woman, smiling"], [3])[0].tobytes()


def old_layout(state: State, *, prefix: str = "unet.") -> State:
    """The layout of diffusers before peft: LoRA in the attention processors."""
    found = {}
    for name, value in state.items():
        name = name.replace("lora_A.weight", "down.weight").replace("lora_B.weight", "up.weight")
        if name.startswith("unet."):
            name = re.sub(r"\.(to_[qkv]|to_out)(\.0)?\.(down|up)", r".processor.\1_lora.\3", name)
            name = prefix + name.removeprefix("unet.")
        else:
            name = re.sub(r"^(text_encoder\w*)\.(?!text_model)", r"\1.text_model.", name)
            name = name.replace("lora_linear_layer.", "").replace("_proj.", "_proj.lora_linear_layer.")
        found[name] = value
    return found


def kohya_layout(state: State, *, sdxl: bool) -> State:
    """sd-scripts' names and alphas; SDXL's blocks by the numbers of its first publication."""
    found = {}
    for name, value in convert_state_dict_to_kohya(convert_all_state_dict_to_peft(dict(state))).items():
        if name.endswith(".alpha"):
            value = torch.tensor(2.0)
        elif "lora_up" in name:
            # alpha / rank is a half.
            value = value * 2
        if sdxl:
            name = re.sub(r"down_blocks_(\d)_attentions_(\d)", lambda m: _numbered("input", m, 1), name)
            name = re.sub(r"up_blocks_(\d)_attentions_(\d)", lambda m: _numbered("output", m, 0), name)
            name = name.replace("mid_block_attentions_0", "middle_block_1")
        # The text encoders' names begin with `text_model`, independent of transformers' module names.
        name = re.sub(r"^(lora_te\d?)_(?!text_model)", r"\1_text_model_", name)
        found[name] = value
    return found


def _numbered(side: str, block: re.Match[str], first: int) -> str:
    return f"{side}_blocks_{3 * int(block[1]) + int(block[2]) + first}_1"


# SD 2's layers have the names of SD 1.
@pytest.mark.parametrize("family", ["sd1", "sdxl"])
@pytest.mark.parametrize("layout", ["diffusers", "diffusers-old", "kohya"])
def test_published_layout_generates_the_same_image_as_the_fit(
    family: str,
    layout: str,
    subject: Subject,
    backbones: Mapping[str, Backbone],
    fits: Mapping[str, Path],
    tmp_path: Path,
) -> None:
    backbone, state = backbones[family], load_file(fits[family] / FILE)
    if layout == "diffusers-old":
        state = old_layout(state)
    elif layout == "kohya":
        state = kohya_layout(state, sdxl=family == "sdxl")
    (tmp_path / "loras").mkdir()
    save_file(state, tmp_path / "loras" / "ada.safetensors")
    method = LoraFolder(str(tmp_path / "loras"))
    ours = fit_and_generate(method, subject, tmp_path / "fit", backbone)
    assert_same_image(ours, METHOD.load(fits[family], backbone=backbone).generate(REQUEST)[0])


def test_oldest_layout_is_read_without_unpickling(
    backbones: Mapping[str, Backbone], subject: Subject, fits: Mapping[str, Path], tmp_path: Path
) -> None:
    """`pytorch_lora_weights.bin` of the U-Net alone, without the prefix `unet.`."""
    state = {name: value for name, value in load_file(fits["sd1"] / FILE).items() if name.startswith("unet.")}
    images = []
    for kind, stored in (("bin", old_layout(state, prefix="")), ("safetensors", state)):
        (tmp_path / kind / "ada").mkdir(parents=True)
        if kind == "bin":
            torch.save(stored, tmp_path / kind / "ada" / "pytorch_lora_weights.bin")
        else:
            save_file(stored, tmp_path / kind / "ada" / "any name.safetensors")
        method = LoraFolder(str(tmp_path / kind))
        images.append(fit_and_generate(method, subject, tmp_path / f"fit-{kind}", backbones["sd1"]))
    assert_same_image(*images)


class Code:
    """An object that is not a tensor."""


def test_pickle_with_code_is_refused(backbone: Backbone, subject: Subject, tmp_path: Path) -> None:
    torch.save({"unet.x": Code()}, tmp_path / "ada.bin")
    with pytest.raises(MethodError, match=r"contains a pickled .*Code; expected tensors"):
        LoraFolder(str(tmp_path)).fit(subject, tmp_path, backbone=backbone, seed=1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda state: state | {"unet.nowhere.to_k.lora_A.weight": torch.ones(4, 8)}, "has layers for"),
        (lambda state: {f"x.{name}": value for name, value in state.items()}, "has layers for 0 of"),
        (lambda state: {name: torch.ones(9, 9) for name in state}, "not a LoRA for this backbone"),
        (lambda state: {"lora_unet_x.dora_scale": torch.ones(1)}, "DoRA"),
        (lambda state: {"weight": torch.ones(1)}, "not a LoRA for this backbone"),
        (
            lambda state: {
                **kohya_layout(state, sdxl=False),
                "lora_unet_x.y": torch.ones(1),
                "lora_te_z.y": torch.ones(1),
            },
            r"2 tensors have no layer, such as lora_",
        ),
    ],
    ids=["one layer too many", "no layer", "other sizes", "dora", "no lora", "kohya's and others"],
)
def test_file_that_does_not_load_completely_is_refused(
    change: Callable[[State], State],
    message: str,
    subject: Subject,
    backbones: Mapping[str, Backbone],
    fits: Mapping[str, Path],
    tmp_path: Path,
) -> None:
    save_file(change(load_file(fits["sd1"] / FILE)), tmp_path / "ada.safetensors")
    (tmp_path / "fit").mkdir()
    backbone = backbones["sd1"]
    with pytest.raises(MethodError, match=message):
        LoraFolder(str(tmp_path)).fit(subject, tmp_path / "fit", backbone=backbone, seed=1)
    assert backbone.state.leftovers(backbone.pipe) == []


def test_person_without_a_file_or_with_two_is_unsupported(subject: Subject, tmp_path: Path) -> None:
    method = LoraFolder(str(tmp_path))
    assert "no LoRA" in (method.unsupported_reason(subject) or "")
    (tmp_path / "ada.safetensors").write_bytes(b"x")
    assert method.unsupported_reason(subject) is None
    (tmp_path / "ada.bin").write_bytes(b"x")
    assert "2 LoRA files" in (method.unsupported_reason(subject) or "")


def test_phrase_comes_from_the_file_or_from_the_setting(subject: Subject, tmp_path: Path) -> None:
    assert LoraFolder(str(tmp_path)).phrase(subject) == "sks woman"
    assert LoraFolder(str(tmp_path), trigger="ohwx-{id} {noun}").phrase(subject) == "ohwx-ada woman"
    (tmp_path / "ada").mkdir()
    for encoding in ("utf-8", "utf-8-sig"):
        (tmp_path / "ada" / PHRASE).write_text("zwx woman\n", encoding=encoding)
        assert LoraFolder(str(tmp_path)).phrase(subject) == "zwx woman"
    (tmp_path / "ada" / PHRASE).write_text("zwx woman\n", encoding="utf-16")
    with pytest.raises(MethodError, match=r"phrase\.txt: not UTF-8"):
        LoraFolder(str(tmp_path)).phrase(subject)


def test_weights_include_every_file(tmp_path: Path) -> None:
    for name in ("ada/pytorch_lora_weights.safetensors", "ada/phrase.txt", "bob.bin", "notes.md"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    names = [path.relative_to(tmp_path).as_posix() for path in LoraFolder(str(tmp_path)).weights]
    assert names == ["ada/phrase.txt", "ada/pytorch_lora_weights.safetensors", "bob.bin"]


@pytest.mark.parametrize("path", ["", "/nowhere/at/all"])
def test_missing_folder_is_refused(path: str) -> None:
    with pytest.raises(MethodError, match="give the"):
        LoraFolder(path)
