"""DreamBooth-LoRA: training data, settings, and that diffusers reads the file."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionPipeline
from peft import LoraConfig
from peft.utils import get_peft_model_state_dict
from PIL.Image import Image
from safetensors import safe_open
from tiny_pipelines import SmallFolders

from methods.backbone.backbone import Backbone
from methods.backbone.spec import BackboneSpec
from methods.dreambooth_lora.method import DreamBoothLora
from methods.errors import MethodError
from methods.lora.checkpoint import ADAPTER, FILE
from methods.subject import Photo, Request, Subject

QUICK = DreamBoothLora(steps=4, class_pictures=2, learning_rate=2e-2, prior_weight=1.0, captions="per-photo")
REQUEST = Request("a photo of {subject}, smiling", 3)


def changed_settings(method: DreamBoothLora) -> str:
    """Names of the settings that differ from QUICK."""
    settings = (field.name for field in fields(method))
    return ", ".join(name for name in settings if getattr(method, name) != getattr(QUICK, name))


def fit_and_generate(method: DreamBoothLora, subject: Subject, into: Path, backbone: Backbone) -> Image:
    into.mkdir()
    method.fit(subject, into, backbone=backbone, seed=1)
    return method.load(into, backbone=backbone).generate([REQUEST])[0]


def tensors(folder: Path) -> dict[str, torch.Tensor]:
    with safe_open(folder / FILE, "pt") as stored:
        return {key: stored.get_tensor(key) for key in stored.keys()}  # noqa: SIM118  # no mapping


@pytest.mark.parametrize(
    "method",
    [
        QUICK,
        replace(QUICK, text_encoder=True, alpha=2.0),
        replace(QUICK, targets=["to_k", "ff.net.2", "conv1", "proj_in"]),  # type: ignore[arg-type]
        replace(QUICK, use_dora=True),
        replace(QUICK, use_rslora=True, alpha=2.0),
    ],
    ids=["attention", "text-encoder, alpha", "convolutions", "dora", "rslora"],
)
def test_diffusers_generates_the_same_image_from_the_file(
    method: DreamBoothLora, subject: Subject, backbone: Backbone, sd_folder: Path, tmp_path: Path
) -> None:
    ours = fit_and_generate(method, subject, tmp_path / "fit", backbone)
    pipe = StableDiffusionPipeline.from_pretrained(sd_folder)
    pipe.set_progress_bar_config(disable=True)
    pipe.unet.to(memory_format=torch.channels_last)
    pipe.vae.to(memory_format=torch.channels_last)
    pipe.load_lora_weights(tmp_path / "fit")
    theirs = pipe(
        ["a photo of sks woman, smiling"] * 2,
        num_inference_steps=2,
        guidance_scale=3.0,
        negative_prompt=["", ""],
        generator=[torch.Generator().manual_seed(3) for _ in range(2)],
    ).images[0]
    pairs = zip(ours.tobytes(), theirs.tobytes(), strict=True)
    assert max(abs(a - b) for a, b in pairs) <= 1
    assert ours.tobytes() != backbone.generate(["a photo of sks woman, smiling"], [3])[0].tobytes()


def test_zero_scale_gives_the_backbone_s_own_image(
    subject: Subject, backbone: Backbone, tmp_path: Path
) -> None:
    image = fit_and_generate(replace(QUICK, scale=0.0), subject, tmp_path / "fit", backbone)
    assert image.tobytes() == backbone.generate(["a photo of sks woman, smiling"], [3])[0].tobytes()


def test_diffusers_loads_every_layer_of_the_file(
    subject: Subject, backbone: Backbone, tmp_path: Path
) -> None:
    """diffusers' loader silently drops layers of a file with two kinds of names."""
    targets = ("to_k", "to_out.0", "ff.net.2", "conv1", "proj_in")
    method = replace(QUICK, targets=targets, text_encoder=True)
    fit_and_generate(method, subject, tmp_path / "fit", backbone)
    stored = tensors(tmp_path / "fit")
    assert all(any(f"{target}.lora" in name for name in stored) for target in targets)
    with backbone.clean(), torch.random.fork_rng():
        backbone.pipe.load_lora_weights(tmp_path / "fit", adapter_name="person")
        loaded = [
            value
            for part in (backbone.pipe.unet, backbone.pipe.text_encoder)
            for value in get_peft_model_state_dict(part, adapter_name="person").values()
        ]
        backbone.pipe.unload_lora_weights()
    assert len(loaded) == len(stored)
    assert sum(v.double().sum() for v in loaded).item() == pytest.approx(
        sum(v.double().sum() for v in stored.values()).item()
    )


@pytest.fixture(scope="module")
def baseline(
    subject: Subject, shared_backbone: Backbone, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, torch.Tensor]:
    """Tensors learned with the QUICK settings."""
    folder = tmp_path_factory.mktemp("baseline")
    QUICK.fit(subject, folder, backbone=shared_backbone, seed=1)
    return tensors(folder)


@pytest.mark.parametrize(
    "other",
    [
        replace(QUICK, captions="instance"),
        replace(QUICK, prior_weight=0.0),
        replace(QUICK, prior_weight=3.0),
        replace(QUICK, min_snr=1.0),
        replace(QUICK, flip=True),
        replace(QUICK, noise_offset=0.3),
        replace(QUICK, use_dora=True),
        replace(QUICK, use_rslora=True),
        replace(QUICK, token="zwx"),
        replace(QUICK, batch=2),
        replace(QUICK, class_prompt="a photo of {subject}, sad"),
        replace(QUICK, instance_prompt="{subject}", captions="instance"),
        replace(QUICK, crop="centre"),
        replace(QUICK, latents="mode"),
        replace(QUICK, accumulation=2),
        replace(QUICK, lr_scheduler="cosine"),
        replace(QUICK, lr_scheduler="constant_with_warmup", warm_up=2),
        replace(QUICK, lr_scheduler="cosine_with_restarts", lr_cycles=2),
        replace(QUICK, lr_scheduler="polynomial", lr_power=2.0),
        replace(QUICK, adam_beta1=0.5),
        replace(QUICK, adam_beta2=0.9),
        replace(QUICK, adam_epsilon=1.0),
        replace(QUICK, weight_decay=0.5),
        replace(QUICK, max_grad_norm=1e-6, adam_epsilon=1e-3),
        replace(QUICK, dropout=0.5),
        replace(QUICK, alpha=1.0),
        replace(QUICK, text_encoder=True),
        replace(QUICK, mixed_precision="bf16"),
        replace(QUICK, mixed_precision="fp16"),
    ],
    ids=changed_settings,
)
def test_every_setting_changes_the_learned_weights(
    other: DreamBoothLora,
    baseline: dict[str, torch.Tensor],
    subject: Subject,
    backbone: Backbone,
    tmp_path: Path,
) -> None:
    other.fit(subject, tmp_path, backbone=backbone, seed=1)
    learned = tensors(tmp_path)
    assert any(not torch.equal(baseline[key], learned[key]) for key in baseline)


def test_training_lowers_the_loss_of_the_photograph(
    subject: Subject, backbone: Backbone, tmp_path: Path
) -> None:
    one = Subject(subject.id, subject.noun, subject.references[:1])
    method = replace(
        QUICK,
        steps=25,
        batch=4,
        learning_rate=4e-2,
        prior_weight=0.0,
        targets=("to_k", "to_v", "conv1", "conv2"),
    )
    fit_and_generate(method, one, tmp_path / "fit", backbone)
    latents = backbone.encode_images([one.references[0].image]).expand(16, -1, -1, -1)
    text = backbone.encode_text([one.references[0].caption.replace("{subject}", "sks woman")]).tokens
    t = backbone.noise.sample_timesteps(16, torch.Generator().manual_seed(0))
    eps = torch.randn(latents.shape, generator=torch.Generator().manual_seed(1))

    @torch.no_grad()
    def loss() -> float:
        output = backbone.network(
            backbone.noise.add(latents, eps, t), t, encoder_hidden_states=text.expand(16, -1, -1)
        ).sample
        return float((output - backbone.noise.target(latents, eps, t)).square().mean())

    before = loss()
    with backbone.clean():
        with torch.random.fork_rng():
            backbone.pipe.load_lora_weights(tmp_path / "fit")
        after = loss()
        backbone.pipe.unload_lora_weights()
    assert after < 0.97 * before


def test_class_images_are_generated_once_per_noun(
    subject: Subject, backbone: Backbone, tmp_path: Path
) -> None:
    backbone.cache.clear()
    for name, noun, sets in (("ada", "woman", 1), ("eve", "woman", 1), ("bob", "man", 2)):
        method = replace(QUICK, steps=1)
        method.fit(Subject(name, noun, subject.references), tmp_path, backbone=backbone, seed=1)
        assert len(backbone.cache) == sets


def test_photographs_of_any_size_and_shape_are_accepted(
    subject: Subject, backbone: Backbone, tmp_path: Path
) -> None:
    wide = subject.references[0].image.resize((50, 17)).convert("L")
    odd = Subject("odd", "man", (Photo(wide, "a photo of {subject}"), *subject.references))
    assert fit_and_generate(QUICK, odd, tmp_path / "fit", backbone).size == (16, 16)


def test_error_gives_the_reason_why_lora_could_not_be_added(
    subject: Subject, backbone: Backbone, tmp_path: Path
) -> None:
    with pytest.raises(MethodError, match="no layer of the backbone is called to_w"):
        fit_and_generate(replace(QUICK, targets=("to_w",)), subject, tmp_path / "unknown", backbone)
    backbone.pipe.unet.add_adapter(LoraConfig(target_modules=["to_k"]), adapter_name=ADAPTER)
    with pytest.raises(MethodError, match=r"added to UNet2DConditionModel \(.*already exists"):
        fit_and_generate(QUICK, subject, tmp_path / "twice", backbone)
    assert backbone.state.leftovers(backbone.pipe) == []


def test_text_encoders_use_text_learning_rate(subject: Subject, backbone: Backbone, tmp_path: Path) -> None:
    method = replace(QUICK, steps=1, prior_weight=0.0, text_encoder=True)
    largest = []
    for place, rate in enumerate((None, 1e-3)):
        into = tmp_path / str(place)
        into.mkdir()
        replace(method, text_learning_rate=rate).fit(subject, into, backbone=backbone, seed=1)
        # LoRA's B is zero at the start; Adam's first step has the size of the learning rate.
        halves = {key: value for key, value in tensors(into).items() if "lora_B" in key or ".up." in key}
        largest.append(
            [
                max(float(v.abs().max()) for key, v in halves.items() if key.startswith(part))
                for part in ("unet.", "text_encoder.")
            ]
        )
    assert largest == [pytest.approx([2e-2, 2e-2], rel=0.05), pytest.approx([2e-2, 1e-3], rel=0.05)]


@pytest.mark.parametrize("text_encoder", [False, True], ids=["unet", "text-encoder"])
def test_gradient_checkpointing_learns_the_same(
    text_encoder: bool, subject: Subject, backbone: Backbone, tmp_path: Path
) -> None:
    method = replace(QUICK, steps=2, prior_weight=0.0, text_encoder=text_encoder)
    for place, checkpointing in enumerate((False, True)):
        (tmp_path / str(place)).mkdir()
        replace(method, gradient_checkpointing=checkpointing).fit(
            subject, tmp_path / str(place), backbone=backbone, seed=1
        )
    one, other = tensors(tmp_path / "0"), tensors(tmp_path / "1")
    assert all(torch.allclose(one[key], other[key], atol=2e-4) for key in one)
    assert backbone.state.leftovers(backbone.pipe) == []


def test_sdxl_receives_the_crop_of_a_photograph(
    tiny_pipelines: SmallFolders, subject: Subject, tmp_path: Path
) -> None:
    """SDXL's time ids contain the original size and the crop's position."""
    backbone = Backbone.open(BackboneSpec(path=str(tiny_pipelines["sdxl"]), device="cpu", batch=1))
    received: list[torch.Tensor] = []

    def record(module: torch.nn.Module, args: object, named: dict[str, dict[str, torch.Tensor]]) -> None:
        received.append(named["added_cond_kwargs"]["time_ids"])

    wide = subject.references[0].image.resize((160, 80))
    method = replace(QUICK, steps=1, prior_weight=1.0, class_pictures=1, crop="centre")
    backbone.cache[("class images", "a photo of a woman", 1)] = torch.zeros(1, 4, 8, 8)
    person = Subject("ada", "woman", (Photo(wide, "a photo of {subject}"),))
    with backbone.clean():
        hook = backbone.network.register_forward_pre_hook(record, with_kwargs=True)
        method.fit(person, tmp_path, backbone=backbone, seed=1)
        hook.remove()
    assert [ids.tolist() for ids in received] == [[[80, 160, 0, 32, 64, 64], [64, 64, 0, 0, 64, 64]]]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"steps": 0}, "steps is 0"),
        ({"rank": 0}, "rank is 0"),
        ({"targets": ()}, "no targets"),
        ({"class_pictures": 0}, "prior_weight = 0"),
        ({"dropout": 1.0}, "dropout is 1.0"),
        ({"dropout": 0.1, "merged": True}, "no inputs for dropout; set dropout = 0"),
        ({"use_dora": True, "merged": True}, "merged does not compute DoRA"),
        ({"crop": "center"}, "expected one of 'random', 'centre', 'squeeze'"),
        ({"lr_scheduler": "cosin"}, "'cosine'"),
    ],
)
def test_invalid_setting_is_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(MethodError, match=message):
        replace(QUICK, **settings)  # type: ignore[arg-type]


def test_targets_without_a_layer_are_refused(subject: Subject, backbone: Backbone, tmp_path: Path) -> None:
    with pytest.raises(MethodError, match="to_nothing"):
        replace(QUICK, targets=("to_nothing",)).fit(subject, tmp_path, backbone=backbone, seed=1)
    assert backbone.state.leftovers(backbone.pipe) == []


def test_diverging_learning_rate_is_refused(subject: Subject, backbone: Backbone, tmp_path: Path) -> None:
    method = replace(QUICK)
    # A rate within the bounds takes longer to diverge.
    object.__setattr__(method, "learning_rate", 1e30)
    with pytest.raises(MethodError, match="lower learning_rate"):
        method.fit(subject, tmp_path, backbone=backbone, seed=1)


def test_merged_learns_the_same_as_unmerged(subject: Subject, backbone: Backbone, tmp_path: Path) -> None:
    targets = ("to_k", "to_out.0", "ff.net.2", "conv1", "proj_in")
    learned, images = [], []
    for name, merged in (("unmerged", False), ("merged", True)):
        method = replace(QUICK, steps=3, alpha=2.0, text_encoder=True, targets=targets, merged=merged)
        images.append(fit_and_generate(method, subject, tmp_path / name, backbone))
        learned.append(tensors(tmp_path / name))
    unmerged, inside = learned
    assert unmerged.keys() == inside.keys()
    assert all(torch.allclose(unmerged[key], inside[key], atol=2e-3) for key in unmerged)
    assert any(not torch.equal(unmerged[key], inside[key]) for key in unmerged)
    differences = np.abs(np.asarray(images[0]).astype(int) - np.asarray(images[1]))
    assert differences.max() <= 2
    assert backbone.state.leftovers(backbone.pipe) == []
