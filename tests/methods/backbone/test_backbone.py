"""The shared backbone: opening, drawing, encoding, and being handed back clean."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionPipeline
from peft import LoraConfig
from safetensors.torch import load_file, save_file

from methods.backbone.backbone import Backbone
from methods.backbone.spec import BackboneSpec
from methods.errors import MethodError
from methods.subject import Subject

SENTENCES = ["a photo of a man, smiling", "a photo of a woman, sad", "a photo of a man"]


def opened(folder: Path, **settings: object) -> Backbone:
    return Backbone.open(BackboneSpec(path=str(folder), device="cpu", **settings))  # type: ignore[arg-type]


def test_a_picture_is_the_one_that_plain_diffusers_draws(backbone: Backbone, sd_folder: Path) -> None:
    pipe = StableDiffusionPipeline.from_pretrained(sd_folder)
    pipe.set_progress_bar_config(disable=True)
    pipe.unet.to(memory_format=torch.channels_last)
    pipe.vae.to(memory_format=torch.channels_last)
    wanted = pipe(
        SENTENCES[:2],
        num_inference_steps=2,
        guidance_scale=3.0,
        negative_prompt=["", ""],
        generator=[torch.Generator().manual_seed(seed) for seed in (4, 5)],
    ).images
    drawn = backbone.generate(SENTENCES[:2], [4, 5])
    assert [image.tobytes() for image in drawn] == [image.tobytes() for image in wanted]


def test_another_guidance_draws_another_picture_and_leaves_the_first_backbone_as_it_is(
    backbone: Backbone,
) -> None:
    backbone.remembered["class pictures",] = "drawn by 3.0"
    stronger = backbone.guided(6.0)
    assert stronger.remembered == {}
    assert stronger.unet is backbone.unet
    assert backbone.guided(6.0) is stronger
    before = backbone.generate(SENTENCES[:1], [4])[0].tobytes()
    assert stronger.generate(SENTENCES[:1], [4])[0].tobytes() != before
    assert backbone.generate(SENTENCES[:1], [4])[0].tobytes() == before


def test_padding_and_place_in_the_batch_change_no_byte(backbone: Backbone) -> None:
    together = backbone.generate(SENTENCES, [1, 2, 3])
    apart = [backbone.generate([s], [seed])[0] for s, seed in zip(SENTENCES, (1, 2, 3), strict=True)]
    turned = backbone.generate(SENTENCES[::-1], [3, 2, 1])[::-1]
    assert [i.tobytes() for i in together] == [i.tobytes() for i in apart] == [i.tobytes() for i in turned]


def test_every_batch_has_the_same_size_and_its_rows_are_announced(backbone: Backbone) -> None:
    seen: list[list[int]] = []
    backbone.generate(SENTENCES, [1, 2, 3], before=lambda rows: seen.append(list(rows)) or {})
    assert seen == [[0, 1], [2, 2]]


def test_a_few_are_drawn_in_smaller_batches(backbone: Backbone) -> None:
    eight = replace(backbone, spec=replace(backbone.spec, batch=8))
    seen: list[list[int]] = []
    eight.generate(SENTENCES, [1, 2, 3], before=lambda rows: seen.append(list(rows)) or {}, few=True)
    assert seen == [[0, 1], [2, 2]]
    seen.clear()
    backbone.generate(SENTENCES, [1, 2, 3], before=lambda rows: seen.append(list(rows)) or {}, few=True)
    assert seen == [[0], [1], [2]]


def test_latents_before_the_decoder_are_scaled_as_the_encoder_scales(backbone: Backbone) -> None:
    latents = backbone.generate_latents(SENTENCES[:1], [1])
    vae = backbone.pipe.vae
    with torch.no_grad():
        decoded = vae.decode(latents / vae.config.scaling_factor).sample
    pixels = ((decoded[0] / 2 + 0.5).clamp(0, 1) * 255).round().byte().permute(1, 2, 0).numpy()
    drawn = np.asarray(backbone.generate(SENTENCES[:1], [1])[0])
    assert np.abs(pixels.astype(int) - drawn).max() <= 1


def test_latents_of_a_photograph_are_the_mode_of_the_posterior(backbone: Backbone, subject: Subject) -> None:
    image = subject.references[0].image
    latents = backbone.encode_images([image])
    assert latents.shape == (1, 4, 8, 8)
    assert torch.equal(latents, backbone.encode_images([image]))
    assert not torch.equal(latents, backbone.encode_images([subject.references[1].image]))


def test_text_features_are_what_cross_attention_reads(backbone: Backbone) -> None:
    features = backbone.encode_text(SENTENCES)
    wanted, _ = backbone.pipe.encode_prompt(SENTENCES, "cpu", 1, False)
    assert torch.equal(features.tokens, wanted)
    assert features.pooled.shape == (3, features.tokens.shape[2])
    assert not torch.allclose(features.pooled[0], features.pooled[1])


def test_files_list_weights_configs_and_tokenizer(backbone: Backbone, sd_folder: Path) -> None:
    names = {path.relative_to(sd_folder).as_posix() for path in backbone.files()}
    assert {"model_index.json", "unet/diffusion_pytorch_model.safetensors", "unet/config.json"} <= names
    assert any(name.startswith("tokenizer/") for name in names)


def test_the_digest_changes_with_a_weight(sd_folder: Path, backbone: Backbone, tmp_path: Path) -> None:
    folder = shutil.copytree(sd_folder, tmp_path / "sd")
    assert opened(folder).digest == backbone.digest
    file = folder / "unet" / "diffusion_pytorch_model.safetensors"
    state = load_file(file)
    state["conv_in.bias"] = state["conv_in.bias"] + 1
    save_file(state, file, metadata={"format": "pt"})
    assert opened(folder).digest != backbone.digest


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"scheduler": "dpm+++"}, "unknown scheduler"),
        ({"batch": 0}, "at least 1"),
        ({"steps": 0}, "at least 1"),
    ],
)
def test_a_wrong_setting_is_one_clear_line(sd_folder: Path, settings: dict[str, object], told: str) -> None:
    with pytest.raises(MethodError, match=told) as caught:
        opened(sd_folder, **settings)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("scheduler", ["ddim", "dpm++", "euler", "unipc", "pndm"])
def test_every_named_scheduler_draws_and_repeats_itself(sd_folder: Path, scheduler: str) -> None:
    # PNDM's warm-up is as long as its order.
    backbone = opened(sd_folder, scheduler=scheduler, steps=4, batch=1)
    first, second = (backbone.generate(SENTENCES[:1], [1])[0].tobytes() for _ in range(2))
    assert first == second
    assert backbone.state.leftovers(backbone.pipe) == []


def remove_model_index(folder: Path) -> None:
    (folder / "model_index.json").unlink()


def cut_weights(folder: Path) -> None:
    file = folder / "unet" / "diffusion_pytorch_model.safetensors"
    file.write_bytes(file.read_bytes()[:1000])


def lose_a_weight(folder: Path) -> None:
    file = folder / "vae" / "diffusion_pytorch_model.safetensors"
    state = load_file(file)
    del state["decoder.conv_in.weight"]
    save_file(state, file, metadata={"format": "pt"})


def lose_a_text_weight(folder: Path) -> None:
    file = folder / "text_encoder" / "model.safetensors"
    state = load_file(file)
    del state[next(name for name in state if name.endswith("final_layer_norm.weight"))]
    save_file(state, file, metadata={"format": "pt"})


def remove_tokenizer(folder: Path) -> None:
    shutil.rmtree(folder / "tokenizer")


def break_config(folder: Path) -> None:
    (folder / "unet" / "config.json").write_text("{")


@pytest.mark.parametrize(
    "damage",
    [remove_model_index, cut_weights, lose_a_weight, lose_a_text_weight, remove_tokenizer, break_config],
)
def test_a_broken_folder_is_one_clear_line(
    sd_folder: Path, tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    folder = shutil.copytree(sd_folder, tmp_path / "broken")
    damage(folder)
    with pytest.raises(MethodError, match="broken") as caught:
        opened(folder)
    assert "\n" not in str(caught.value)


def test_a_missing_folder_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(MethodError, match="no such folder"):
        opened(tmp_path / "nothing")


def test_a_safety_checker_in_the_folder_never_blackens(sd_folder: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(sd_folder, tmp_path / "checked")
    index = json.loads((folder / "model_index.json").read_text())
    index["safety_checker"] = ["stable_diffusion", "StableDiffusionSafetyChecker"]
    index["requires_safety_checker"] = True
    (folder / "model_index.json").write_text(json.dumps(index))
    backbone = opened(folder, steps=2, batch=2)
    assert backbone.pipe.safety_checker is None
    assert np.asarray(backbone.generate(SENTENCES[:1], [1])[0]).max() > 0


def leave_lora(backbone: Backbone) -> None:
    with torch.random.fork_rng():
        backbone.pipe.unet.add_adapter(LoraConfig(r=2, target_modules=["to_k"]), adapter_name="left")


def leave_text_lora(backbone: Backbone) -> None:
    with torch.random.fork_rng():
        backbone.pipe.text_encoder.add_adapter(
            LoraConfig(r=2, target_modules=["q_proj"]), adapter_name="left"
        )


def leave_processor(backbone: Backbone) -> None:
    class Own:
        def __call__(self) -> None: ...

    backbone.pipe.unet.set_attn_processor(Own())


def leave_scheduler(backbone: Backbone) -> None:
    backbone.pipe.scheduler = type(backbone.pipe.scheduler).from_config(backbone.pipe.scheduler.config)


def leave_scheduler_setting(backbone: Backbone) -> None:
    backbone.pipe.scheduler.register_to_config(prediction_type="epsilon")


def leave_training_mode(backbone: Backbone) -> None:
    backbone.pipe.unet.train()


def leave_learning_weights(backbone: Backbone) -> None:
    backbone.pipe.vae.requires_grad_(True)


@pytest.mark.parametrize(
    "leave",
    [
        leave_lora,
        leave_text_lora,
        leave_processor,
        leave_scheduler,
        leave_scheduler_setting,
        leave_training_mode,
        leave_learning_weights,
    ],
)
def test_whatever_is_left_behind_is_an_error_and_is_taken_away(
    backbone: Backbone, leave: Callable[[Backbone], None]
) -> None:
    before = backbone.generate(SENTENCES[:1], [1])[0].tobytes()
    with pytest.raises(MethodError, match="handed back changed"), backbone.clean():
        leave(backbone)
    assert backbone.state.leftovers(backbone.pipe) == []
    assert backbone.generate(SENTENCES[:1], [1])[0].tobytes() == before


def test_a_body_that_fails_keeps_its_own_error_and_leaves_a_clean_backbone(backbone: Backbone) -> None:
    def fail() -> None:
        with backbone.clean():
            leave_lora(backbone)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert backbone.state.leftovers(backbone.pipe) == []


def test_an_overwritten_weight_cannot_be_mended(sd_folder: Path) -> None:
    backbone = opened(sd_folder)
    with pytest.raises(MethodError, match="cannot be mended"), backbone.clean(), torch.no_grad():
        backbone.pipe.unet.conv_in.bias.add_(1)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_gpu_draws_the_same_noise_and_tells_its_memory(sd_folder: Path) -> None:
    backbone = Backbone.open(BackboneSpec(path=str(sd_folder), steps=2, batch=2, device="cuda"))
    backbone.reset_peak_memory()
    on_gpu = np.asarray(backbone.generate(SENTENCES[:1], [1])[0]).astype(int)
    on_cpu = np.asarray(opened(sd_folder, steps=2, batch=2).generate(SENTENCES[:1], [1])[0])
    assert np.abs(on_gpu - on_cpu).max() <= 3
    assert (backbone.peak_memory() or 0) > 0


def test_a_cpu_has_no_device_memory_to_tell(backbone: Backbone) -> None:
    assert backbone.peak_memory() is None
