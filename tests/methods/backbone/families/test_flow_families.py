"""Transformers of rectified flow in their published layouts, compared with diffusers' pipelines."""

from __future__ import annotations

import json
import math
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import DiffusionPipeline
from PIL import Image
from safetensors.torch import load_file, save_file
from tiny_pipelines import SIDE
from tiny_transformers import FlowFolders, spec_of

from methods.backbone.backbone import Backbone
from methods.backbone.locate import locate_checkpoint
from methods.backbone.rectified_flow import RectifiedFlow
from methods.catalog import make
from methods.errors import MethodError
from methods.subject import FLAW, Subject

PROMPTS = ["a photo of a man, smiling", "a photo of a dog"]


def diffusers_pipeline(folder: Path, **parts: Any) -> Any:
    # T5's config has half precision.
    pipe = DiffusionPipeline.from_pretrained(folder, dtype=torch.float32, **parts)
    pipe.set_progress_bar_config(disable=True)
    pipe.vae.to(memory_format=torch.channels_last)
    return pipe


def plain_images(pipe: Any, backbone: Backbone, **arguments: Any) -> list[Image.Image]:
    """The pipeline's own images for `PROMPTS` and the seeds 4 and 5."""
    images: list[Image.Image] = pipe(
        PROMPTS,
        num_inference_steps=2,
        height=SIDE,
        width=SIDE,
        max_sequence_length=backbone.spec.max_sequence_length,
        generator=[torch.Generator().manual_seed(seed) for seed in (4, 5)],
        **{"guidance_scale": backbone.spec.guidance, **arguments},
    ).images
    return images


def largest_difference(ours: list[Image.Image], theirs: list[Image.Image]) -> int:
    pairs = zip(ours, theirs, strict=True)
    return max(int(np.abs(np.asarray(a).astype(int) - np.asarray(b)).max()) for a, b in pairs)


def with_settings(backbone: Backbone, **settings: Any) -> Backbone:
    return replace(backbone, spec=replace(backbone.spec, **settings), cache={})


@pytest.mark.parametrize("guidance", [3.0, 1.0])
def test_images_equal_those_of_the_diffusers_pipeline(flow_backbone: Backbone, guidance: float) -> None:
    backbone = with_settings(flow_backbone, guidance=guidance)
    images = backbone.generate(PROMPTS, [4, 5])
    expected = plain_images(diffusers_pipeline(backbone.folder), backbone)
    assert largest_difference(images, expected) <= 1
    assert images[0].tobytes() != images[1].tobytes()


def test_absent_t5_can_have_no_tokens(flow_folders: FlowFolders) -> None:
    without = Backbone.open(spec_of(flow_folders["sd3"], t5=False, max_sequence_length=0))
    images = without.generate(PROMPTS, [4, 5])
    pipe = diffusers_pipeline(without.folder, text_encoder_3=None, tokenizer_3=None)
    assert largest_difference(images, plain_images(pipe, without)) <= 1
    none, four = (with_settings(without, max_sequence_length=tokens) for tokens in (0, 4))
    assert four.encode_text([""]).tokens.shape[1] - none.encode_text([""]).tokens.shape[1] == 4


def test_no_tokens_of_a_t5_that_is_loaded_are_refused(flow_backbone: Backbone) -> None:
    with pytest.raises(MethodError, match="max_sequence_length = 0 is for sd3 without T5") as caught:
        Backbone.open(spec_of(flow_backbone.folder, max_sequence_length=0))
    assert "\n" not in str(caught.value)


def test_batch_and_order_do_not_change_an_image(flow_backbone: Backbone) -> None:
    images = flow_backbone.generate([*PROMPTS, PROMPTS[0]], [4, 5, 6])
    alone = flow_backbone.generate(PROMPTS[1:], [5])
    assert alone[0].tobytes() == images[1].tobytes()


def test_latents_of_the_pipeline_decode_to_its_images(flow_backbone: Backbone) -> None:
    latents = flow_backbone.generate_latents(PROMPTS, [4, 5])
    channels = flow_backbone.pipe.vae.config.latent_channels
    assert latents.shape == (2, channels, SIDE // 8, SIDE // 8)
    scale = flow_backbone.pipe.vae.config
    with torch.no_grad():
        pixels = flow_backbone.pipe.vae.decode(latents / scale.scaling_factor + scale.shift_factor).sample
    decoded = flow_backbone.pipe.image_processor.postprocess(pixels)
    assert largest_difference(decoded, flow_backbone.generate(PROMPTS, [4, 5])) <= 1


def test_pixels_are_encoded_with_scale_and_shift(flow_backbone: Backbone) -> None:
    vae = flow_backbone.pipe.vae
    pixels = torch.rand(1, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        mode = vae.encode(pixels * 2 - 1).latent_dist.mode()
    expected = (mode - vae.config.shift_factor) * vae.config.scaling_factor
    assert torch.allclose(flow_backbone.encode_pixels(pixels), expected, atol=1e-5)


def test_predicted_velocity_points_from_image_to_noise(flow_backbone: Backbone) -> None:
    """One step of Euler's method with `predict` is the pipeline's step."""
    backbone = with_settings(flow_backbone, guidance=1.0, steps=1)
    x = torch.randn(1, *backbone.generate_latents(PROMPTS[:1], [4]).shape[1:])
    arguments = backbone.conditioning(backbone.encode_text(PROMPTS[:1]))
    with torch.no_grad():
        velocity = backbone.predict(x, torch.tensor([1000.0]), arguments)
    expected = backbone.noise.add(x, x, torch.tensor([1000.0])) - velocity
    start = backbone.denoiser.packed_latents(x)
    pipe = diffusers_pipeline(backbone.folder)
    found = pipe(
        PROMPTS[:1],
        num_inference_steps=1,
        guidance_scale=1.0,
        height=SIDE,
        width=SIDE,
        max_sequence_length=16,
        latents=start,
        output_type="latent",
    ).images
    assert torch.allclose(backbone.denoiser.unpacked(found, SIDE), expected, atol=1e-3)


def test_half_precision_changes_an_image_little(flow_folders: FlowFolders, flow_backbone: Backbone) -> None:
    half = Backbone.open(spec_of(flow_backbone.folder, dtype="bf16"))
    assert half.network.dtype == torch.bfloat16
    image, expected = (one.generate(PROMPTS[:1], [1])[0] for one in (half, flow_backbone))
    assert np.abs(np.asarray(image).astype(int) - np.asarray(expected)).mean() < 6
    t = half.noise.random_timesteps(1, torch.Generator().manual_seed(0))
    x = half.generate_latents(PROMPTS[:1], [1])
    arguments = half.conditioning(half.encode_text(PROMPTS[:1]))
    with torch.no_grad():
        assert half.predict(x, t, arguments).dtype == torch.float32


@pytest.mark.parametrize(
    ("setting", "value"), [("scheduler", "ddim"), ("guidance_rescale", 0.7), ("attention_slicing", True)]
)
def test_settings_of_u_nets_are_refused(setting: str, value: object, flow_backbone: Backbone) -> None:
    with pytest.raises(MethodError, match=f"{setting} = .* is for U-Nets") as caught:
        Backbone.open(spec_of(flow_backbone.folder, **{setting: value}))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("setting", [{"shift": 2.0}, {"max_sequence_length": 8}, {"t5": False}])
def test_settings_of_transformers_are_refused_for_u_nets(setting: dict[str, Any], sd_folder: Path) -> None:
    with pytest.raises(MethodError, match=f"{next(iter(setting))}.* is for "):
        Backbone.open(spec_of(sd_folder, **{"max_sequence_length": None, **setting}))


@pytest.mark.parametrize(
    ("name", "message"),
    [("ip-adapter", "its layout is plus, and a backbone of"), ("loo-mean", "trained with backbone")],
)
def test_adapters_for_u_nets_are_refused_in_one_line(
    name: str,
    message: str,
    flow_backbone: Backbone,
    settings: dict[str, dict[str, object]],
    subject: Subject,
    tmp_path: Path,
) -> None:
    method = make(name, settings[name])
    with pytest.raises(MethodError, match=message) as caught:
        method.fit(subject, tmp_path, backbone=flow_backbone, seed=1)
    assert "\n" not in str(caught.value)
    assert flow_backbone.state.leftovers(flow_backbone.pipe) == []


def test_resolution_must_be_a_multiple_of_a_patch(flow_backbone: Backbone) -> None:
    with pytest.raises(MethodError, match="resolution 72; expected a multiple of 16"):
        Backbone.open(spec_of(flow_backbone.folder, resolution=72))


def test_non_finite_image_is_marked(flow_backbone: Backbone) -> None:
    start = torch.randn(2, 16, SIDE // 8, SIDE // 8, generator=torch.Generator().manual_seed(0))
    start[1, 0, 0, 0] = float("inf")
    packed = flow_backbone.denoiser.packed_latents(start)
    images = flow_backbone.generate(PROMPTS, [1, 2], before=lambda _: {"latents": packed.clone()})
    assert [image.info.get(FLAW) for image in images] == [None, "nan"]


def test_changes_to_every_network_are_found_and_undone(flow_backbone: Backbone) -> None:
    for encoder in flow_backbone.text_encoders:
        with pytest.raises(MethodError, match=encoder.name), flow_backbone.clean(), torch.no_grad():
            next(encoder.network.parameters()).add_(1.0)
        with pytest.raises(MethodError, match=f"{encoder.tokenizer_name} has"), flow_backbone.clean():
            encoder.tokenizer.add_tokens(["<new>"])
    assert flow_backbone.state.leftovers(flow_backbone.pipe) == []


def edited(folder: Path, to: Path, file: str, **changes: object) -> Path:
    shutil.copytree(folder, to)
    path = to / file
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    return to


def test_shift_is_that_of_the_checkpoint_or_of_the_setting(flow_folders: FlowFolders, tmp_path: Path) -> None:
    backbone = flow_folders.backbone("sd3")
    assert backbone.noise == RectifiedFlow(shift=3.0)
    shifted = Backbone.open(spec_of(backbone.folder, shift=1.0))
    assert shifted.noise == RectifiedFlow(shift=3.0)
    folder = edited(backbone.folder, tmp_path / "sd3", "scheduler/scheduler_config.json", shift=1.0)
    images = shifted.generate(PROMPTS, [4, 5])
    assert largest_difference(images, plain_images(diffusers_pipeline(folder), backbone)) <= 1
    assert images[0].tobytes() != backbone.generate(PROMPTS, [4, 5])[0].tobytes()


def test_text_features_equal_those_of_the_pipeline_without_and_with_skipped_layers(
    flow_folders: FlowFolders,
) -> None:
    backbone = flow_folders.backbone("sd3")
    for clip_skip in (None, 1):
        with torch.no_grad():
            tokens, negative, pooled, negative_pooled = backbone.pipe.encode_prompt(
                PROMPTS[:1], None, None, clip_skip=clip_skip, max_sequence_length=16
            )
        found = with_settings(backbone, clip_skip=clip_skip).encode_text([PROMPTS[0], ""])
        assert torch.allclose(found.tokens, torch.cat([tokens, negative]), atol=1e-5)
        assert torch.allclose(found.pooled, torch.cat([pooled, negative_pooled]), atol=1e-5)


@pytest.mark.parametrize("how", ["left out of the folder", "not loaded"])
def test_zeros_stand_for_t5_as_in_diffusers(how: str, flow_folders: FlowFolders, tmp_path: Path) -> None:
    folder = flow_folders["sd3"]
    if how == "left out of the folder":
        absent = {"text_encoder_3": [None, None], "tokenizer_3": [None, None]}
        folder = edited(folder, tmp_path / "sd3", "model_index.json", **absent)
        shutil.rmtree(folder / "text_encoder_3")
        shutil.rmtree(folder / "tokenizer_3")
    backbone = Backbone.open(spec_of(folder, t5=how != "not loaded"))
    assert [encoder.name for encoder in backbone.text_encoders] == ["text_encoder", "text_encoder_2"]
    assert not any("text_encoder_3" in path.parts for path in backbone.files())
    pipe = diffusers_pipeline(folder, text_encoder_3=None, tokenizer_3=None)
    assert largest_difference(backbone.generate(PROMPTS, [4, 5]), plain_images(pipe, backbone)) <= 1


def test_negative_prompt_and_karras_sigmas_are_those_of_diffusers(flow_folders: FlowFolders) -> None:
    folder = flow_folders["sd3"]
    backbone = Backbone.open(spec_of(folder, use_karras_sigmas=True, negative_prompt="a blurry picture"))
    pipe = diffusers_pipeline(folder)
    pipe.scheduler = type(pipe.scheduler).from_config(pipe.scheduler.config, use_karras_sigmas=True)
    expected = plain_images(pipe, backbone, negative_prompt=["a blurry picture"] * 2)
    assert largest_difference(backbone.generate(PROMPTS, [4, 5]), expected) <= 1


@pytest.mark.parametrize(
    ("file", "changes", "message"),
    [
        (
            "scheduler/scheduler_config.json",
            {"num_train_timesteps": 500},
            "of 500 timesteps is not supported",
        ),
        ("model_index.json", {"_class_name": "SanaPipeline"}, "a SanaPipeline; expected one of"),
        ("vae/config.json", {"latent_channels": 4}, "size mismatch|cannot be loaded"),
    ],
)
def test_other_checkpoints_are_refused_in_one_line(
    file: str, changes: dict[str, object], message: str, flow_folders: FlowFolders, tmp_path: Path
) -> None:
    folder = edited(flow_folders["sd3"], tmp_path / "sd3", file, **changes)
    with pytest.raises(MethodError, match=message) as caught:
        Backbone.open(spec_of(folder))
    assert "\n" not in str(caught.value)


def test_files_include_the_transformer_and_a_missing_part_is_named(
    flow_folders: FlowFolders, tmp_path: Path
) -> None:
    folder = shutil.copytree(flow_folders["sd3"], tmp_path / "sd3")
    files = set(locate_checkpoint(spec_of(folder), fetch=False).files())
    assert folder / "transformer" / "diffusion_pytorch_model.safetensors" in files
    assert folder / "tokenizer_3" / "tokenizer.json" in files
    shutil.rmtree(folder / "text_encoder_3")
    with pytest.raises(MethodError, match="text_encoder_3: no such folder"):
        locate_checkpoint(spec_of(folder), fetch=False)


def test_guidance_of_flux_is_an_input_or_true(flow_folders: FlowFolders) -> None:
    backbone = flow_folders.backbone("flux")
    weak, strong = (with_settings(backbone, guidance=g).generate(PROMPTS[:1], [4])[0] for g in (1.0, 9.0))
    assert weak.tobytes() != strong.tobytes()
    true = with_settings(backbone, true_cfg_scale=2.0, negative_prompt="a blurry picture")
    pipe = diffusers_pipeline(backbone.folder)
    expected = plain_images(pipe, backbone, true_cfg_scale=2.0, negative_prompt=["a blurry picture"] * 2)
    assert largest_difference(true.generate(PROMPTS, [4, 5]), expected) <= 1
    assert true.is_guided
    assert not backbone.is_guided


@pytest.mark.parametrize(
    ("family", "settings", "message"),
    [
        ("flux", {"negative_prompt": "a dog"}, "reads negative_prompt only with true_cfg_scale above 1"),
        ("flux", {"clip_skip": 1}, "clip_skip = 1 has no effect"),
        ("flux", {"t5": False}, "t5 = false is for Stable Diffusion 3"),
        ("sd3", {"true_cfg_scale": 2.0}, "true_cfg_scale is for flux"),
    ],
)
def test_settings_without_effect_are_refused(
    family: str, settings: dict[str, Any], message: str, flow_folders: FlowFolders
) -> None:
    with pytest.raises(MethodError, match=message):
        Backbone.open(spec_of(flow_folders[family], **settings))


def test_schnell_has_no_guidance_and_a_constant_shift(flow_folders: FlowFolders, tmp_path: Path) -> None:
    config = "transformer/config.json"
    folder = edited(flow_folders["flux"], tmp_path / "schnell", config, guidance_embeds=False)
    weights = folder / "transformer" / "diffusion_pytorch_model.safetensors"
    state = {name: value for name, value in load_file(weights).items() if "guidance_embedder" not in name}
    save_file(state, weights, metadata={"format": "pt"})
    scheduler = folder / "scheduler" / "scheduler_config.json"
    changes = {"shift": 1.0, "use_dynamic_shifting": False}
    scheduler.write_text(json.dumps({**json.loads(scheduler.read_text()), **changes}))
    backbone = Backbone.open(spec_of(folder))
    assert "guidance" not in backbone.conditioning(backbone.encode_text(PROMPTS))
    assert backbone.noise == RectifiedFlow(shift=1.0)
    expected = plain_images(diffusers_pipeline(folder), backbone)
    assert largest_difference(backbone.generate(PROMPTS, [4, 5]), expected) <= 1


def test_shift_by_resolution_applies_in_sampling_only(flow_folders: FlowFolders) -> None:
    backbone = flow_folders.backbone("flux")
    assert backbone.noise == RectifiedFlow(shift=1.0)
    # At 64 pixels, 16 tokens: mu = 0.459 by diffusers' `calculate_shift`.
    shifted = Backbone.open(spec_of(backbone.folder, shift=math.exp(0.459375)))
    images = shifted.generate(PROMPTS, [4, 5])
    assert largest_difference(images, backbone.generate(PROMPTS, [4, 5])) <= 1
