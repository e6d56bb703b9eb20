"""SD 1.5, SD 2 and SDXL in their published layouts, compared with diffusers' pipelines."""

from __future__ import annotations

import copy
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionPipeline, StableDiffusionXLPipeline
from peft import LoraConfig
from single_files import write_single_file
from tiny_pipelines import SIDE, SmallFolders

from methods.backbone.backbone import Backbone
from methods.backbone.families.catalog import networks_of
from methods.backbone.families.unet_schedulers import make_scheduler
from methods.backbone.load import load_pipeline
from methods.backbone.locate import locate_checkpoint
from methods.backbone.spec import BackboneSpec
from methods.catalog import make
from methods.compute.token_counts import excess_tokens
from methods.errors import MethodError
from methods.subject import FLAW, Request, Subject

PROMPTS = ["a photo of a man, smiling", "a photo of a woman, sad", "a photo of a dog"]


def opened(path: Path, **settings: object) -> Backbone:
    chosen: dict[str, object] = {"steps": 2, "guidance": 3.0, "batch": 2, "device": "cpu", **settings}
    return Backbone.open(BackboneSpec(path=str(path), **chosen))  # type: ignore[arg-type]


def diffusers_pipeline(folder: Path) -> StableDiffusionPipeline | StableDiffusionXLPipeline:
    large = (folder / "text_encoder_2").is_dir()
    cls = StableDiffusionXLPipeline if large else StableDiffusionPipeline
    without = {} if large else {"safety_checker": None, "feature_extractor": None}
    pipe = cls.from_pretrained(folder, **without)
    pipe.set_progress_bar_config(disable=True)
    for module in (pipe.unet, pipe.vae):
        module.to(memory_format=torch.channels_last)
    return pipe


def test_family_and_published_settings_are_detected(family_backbone: Backbone) -> None:
    family = family_backbone.family
    assert family_backbone.source.folder.name == family
    assert family_backbone.resolution == SIDE
    assert family_backbone.noise.prediction == ("v_prediction" if family == "sd2" else "epsilon")
    assert family_backbone.pipe.tokenizer.pad_token == ("!" if family == "sd2" else "<|endoftext|>")


@pytest.mark.parametrize("negative", ["", "a blurry picture"])
def test_image_equals_that_of_the_diffusers_pipeline(shared_family_backbone: Backbone, negative: str) -> None:
    backbone = replace(
        shared_family_backbone, spec=replace(shared_family_backbone.spec, negative_prompt=negative)
    )
    expected = diffusers_pipeline(backbone.folder)(
        PROMPTS[:2],
        num_inference_steps=2,
        guidance_scale=3.0,
        negative_prompt=[negative] * 2 if negative else None,
        generator=[torch.Generator().manual_seed(seed) for seed in (4, 5)],
    ).images
    images = backbone.generate(PROMPTS[:2], [4, 5])
    # On some processors two copies of a network differ in the last bit, by their memory alignment.
    for ours, theirs in zip(images, expected, strict=True):
        differences = np.abs(np.asarray(ours).astype(int) - np.asarray(theirs))
        assert differences.max() <= 1
        assert (differences > 0).mean() < 0.01
    assert images[0].tobytes() != images[1].tobytes()


def skipped_prompt(pipe: Any, prompt: str) -> dict[str, Any]:
    """Arguments for `clip_skip = 1`, which the pipeline of SD computes for older text encoders only."""
    if hasattr(pipe, "text_encoder_2"):
        return {"prompt": [prompt] * 2, "clip_skip": 1}
    ids = pipe.tokenizer(prompt, padding="max_length", truncation=True, return_tensors="pt").input_ids
    with torch.no_grad():
        states = pipe.text_encoder(ids, output_hidden_states=True).hidden_states
        embeds = pipe.text_encoder.final_layer_norm(states[-2])
        negative = pipe.encode_prompt("", "cpu", 1, False)[0]
    return {"prompt_embeds": embeds.repeat(2, 1, 1), "negative_prompt_embeds": negative.repeat(2, 1, 1)}


@pytest.mark.parametrize("setting", ["clip_skip", "guidance_rescale"])
def test_sampling_settings_are_those_of_the_diffusers_pipeline(
    setting: str, shared_family_backbone: Backbone
) -> None:
    plain, value = shared_family_backbone, {"clip_skip": 1, "guidance_rescale": 0.7}[setting]
    settings: dict[str, Any] = {setting: value}
    backbone = replace(plain, spec=replace(plain.spec, **settings), cache={})
    pipe = diffusers_pipeline(backbone.folder)
    rescaled = {"prompt": PROMPTS[:1] * 2, "guidance_rescale": 0.7}
    options = skipped_prompt(pipe, PROMPTS[0]) if setting == "clip_skip" else rescaled
    expected = pipe(
        **options,
        num_inference_steps=2,
        guidance_scale=3.0,
        height=SIDE,
        width=SIDE,
        generator=[torch.Generator().manual_seed(1) for _ in range(2)],
    ).images[0]
    (image,) = backbone.generate(PROMPTS[:1], [1])
    assert np.abs(np.asarray(image).astype(int) - np.asarray(expected)).max() <= 1
    assert image.tobytes() != plain.generate(PROMPTS[:1], [1])[0].tobytes()


def test_the_empty_prompt_has_no_skipped_layers(shared_family_backbone: Backbone) -> None:
    """As the pipelines' unconditional input."""
    plain = shared_family_backbone
    backbone = replace(plain, spec=replace(plain.spec, clip_skip=1))
    assert torch.equal(
        backbone.encode_text([PROMPTS[0], ""]).tokens[1], plain.encode_text(["", ""]).tokens[1]
    )
    assert not torch.equal(backbone.encode_text(PROMPTS[:1]).tokens, plain.encode_text(PROMPTS[:1]).tokens)


@pytest.mark.parametrize("scheduler", ["own", "dpm++", "euler", "unipc", "ddim", "pndm"])
def test_karras_sigmas_are_used_or_refused(scheduler: str, tiny_pipelines: SmallFolders) -> None:
    settings = {"scheduler": scheduler, "use_karras_sigmas": True}
    if scheduler in ("ddim", "pndm"):
        with pytest.raises(MethodError, match="has no Karras sigmas; use scheduler = 'dpm"):
            opened(tiny_pipelines["sdxl"], **settings)
        return
    backbone = opened(tiny_pipelines["sdxl"], **settings, steps=4)
    assert backbone.pipe.scheduler.config.use_karras_sigmas
    plain = opened(tiny_pipelines["sdxl"], scheduler=scheduler, steps=4).generate(PROMPTS[:1], [1])
    assert backbone.generate(PROMPTS[:1], [1])[0].tobytes() != plain[0].tobytes()


def test_padding_and_batch_position_do_not_change_an_image(family_backbone: Backbone) -> None:
    together = family_backbone.generate(PROMPTS, [1, 2, 3])
    apart = [family_backbone.generate([s], [seed])[0] for s, seed in zip(PROMPTS, (1, 2, 3), strict=True)]
    reordered = family_backbone.generate(PROMPTS[::-1], [3, 2, 1])[::-1]
    assert [i.tobytes() for i in together] == [i.tobytes() for i in apart] == [i.tobytes() for i in reordered]


def encoded(backbone: Backbone, *, guided: bool) -> tuple[torch.Tensor, ...]:
    pipe = backbone.pipe
    with torch.no_grad():
        return tuple(
            pipe.encode_prompt(
                PROMPTS, device="cpu", num_images_per_prompt=1, do_classifier_free_guidance=guided
            )
        )


def test_text_features_equal_those_of_the_pipeline(family_backbone: Backbone) -> None:
    features, expected = family_backbone.encode_text(PROMPTS), encoded(family_backbone, guided=False)
    assert torch.equal(features.tokens, expected[0])
    assert features.tokens.shape[2] == family_backbone.attention.width
    if family_backbone.family == "sdxl":
        assert torch.equal(features.pooled, expected[2])


def test_empty_prompt_gives_the_unconditional_features(family_backbone: Backbone) -> None:
    features, expected = family_backbone.encode_text(["", PROMPTS[0]]), encoded(family_backbone, guided=True)
    assert torch.allclose(features.tokens[0], expected[1][0], atol=1e-6)
    assert bool(features.tokens[1].any())
    if family_backbone.family == "sdxl":
        assert torch.equal(features.pooled[0], expected[3][0])


def test_excess_tokens_are_those_without_effect(family_backbone: Backbone) -> None:
    words, limits = ["a"] * 200, family_backbone.source.text_limits(None)

    def excess(*texts: str) -> list[int]:
        return [found["CLIP"] for found in excess_tokens(family_backbone.folder, limits, texts)]

    lost, none = excess(" ".join(words), "a")
    assert lost > none == 0
    fitting = words[:-lost]
    assert excess(" ".join(fitting)) == [0]
    last, beyond, plain = (
        family_backbone.encode_text([" ".join(text)]).tokens
        for text in ([*fitting[:-1], "man"], [*fitting, "man"], fitting)
    )
    assert torch.equal(beyond, plain)
    assert not torch.equal(last, plain)


def test_conditioning_equals_that_of_the_pipeline(family_backbone: Backbone) -> None:
    """One guided step from pure noise, compared with the pipeline's first step."""
    backbone, calls = family_backbone, []
    unet = backbone.network
    hook = unet.register_forward_hook(
        lambda _, args, kwargs, out: calls.append((args, kwargs, out[0])), with_kwargs=True
    )
    backbone.generate_latents(PROMPTS[:2], [1, 2])
    hook.remove()
    (x_t, t), kwargs, output = calls[0]
    text = backbone.encode_text(["", "", *PROMPTS[:2]])
    with torch.no_grad():
        ours = unet(x_t, t, **backbone.conditioning(text), return_dict=False)[0]
    assert torch.allclose(ours, output, atol=1e-5)
    if backbone.family == "sdxl":
        expected = kwargs["added_cond_kwargs"]["time_ids"]
        assert torch.equal(backbone.conditioning(text)["added_cond_kwargs"]["time_ids"], expected)
        cropped = torch.tensor([[80, 100, 8, 0, 64, 64]] * 4)
        time_ids = backbone.conditioning(text, time_ids=cropped)["added_cond_kwargs"]["time_ids"]
        assert torch.equal(time_ids, cropped.float())


def test_encoded_pixels_are_the_scaled_posterior_mode(family_backbone: Backbone, subject: Subject) -> None:
    vae = family_backbone.pipe.vae
    pixels = torch.rand(1, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0))
    latents = family_backbone.encode_images([subject.references[0].image])
    assert latents.shape == (1, 4, SIDE // 8, SIDE // 8)
    with torch.no_grad():
        expected = vae.encode(pixels * 2 - 1).latent_dist.mode() * vae.config.scaling_factor
    assert torch.equal(family_backbone.encode_pixels(pixels), expected)


@pytest.mark.parametrize("name", ["text-only", "photo-copy"])
def test_baseline_runs_on_every_family(
    name: str, family_backbone: Backbone, subject: Subject, tmp_path: Path
) -> None:
    method = make(name)
    method.fit(subject, tmp_path, backbone=family_backbone, seed=0)
    personalised = method.load(tmp_path, backbone=family_backbone)
    requests = [Request("a photo of {subject}, smiling", seed) for seed in (1, 2)]
    images = personalised.generate(requests)
    assert {image.mode for image in images} == {"RGB"}
    if name == "text-only":
        expected = family_backbone.generate(["a photo of a woman, smiling"] * 2, [1, 2])
        assert [p.tobytes() for p in images] == [p.tobytes() for p in expected]


@pytest.mark.parametrize("scheduler", ["ddim", "dpm++", "euler", "unipc", "pndm"])
def test_named_scheduler_keeps_prediction_type_and_noise_schedule(
    family_backbone: Backbone, scheduler: str
) -> None:
    own = family_backbone.pipe.scheduler.config
    config = make_scheduler(scheduler, family_backbone.pipe.scheduler).config
    assert config.prediction_type == own.prediction_type
    assert (config.beta_start, config.beta_end) == (0.00085, 0.012)
    assert config.beta_schedule == "scaled_linear"


def test_single_file_loads_the_same_weights_as_its_folder(family_backbone: Backbone, tmp_path: Path) -> None:
    original, folder = family_backbone, family_backbone.folder
    file = tmp_path / "model.safetensors"
    write_single_file(folder, file)
    one = opened(file, config=str(folder))
    for part, network in networks_of(original.pipe).items():
        own, expected = networks_of(one.pipe)[part].state_dict(), network.state_dict()
        assert own.keys() == expected.keys()
        assert all(torch.equal(own[name], expected[name]) for name in expected)
    assert one.generate(PROMPTS[:1], [1])[0].tobytes() == original.generate(PROMPTS[:1], [1])[0].tobytes()
    assert file in one.files()
    assert folder / "tokenizer" / "vocab.json" in one.files()
    assert not any(path.name.startswith("diffusion_pytorch_model") for path in one.files())
    assert one.digest != original.digest


def test_half_precision_keeps_sdxl_autoencoder_in_fp32(
    tiny_pipelines: SmallFolders, subject: Subject
) -> None:
    full, backbone = opened(tiny_pipelines["sdxl"]), opened(tiny_pipelines["sdxl"], dtype="fp16")
    assert (backbone.network.dtype, backbone.pipe.vae.dtype) == (torch.float16, torch.float32)
    assert backbone.pipe.text_encoder_2.dtype == torch.float16
    assert backbone.encode_images([subject.references[0].image]).dtype == torch.float16
    image = backbone.generate(PROMPTS[:1], [1])[0]
    expected = full.generate(PROMPTS[:1], [1])[0]
    assert np.abs(np.asarray(image).astype(int) - np.asarray(expected)).mean() < 4


def test_sdxl_autoencoder_without_force_upcast_is_loaded_in_fp16(
    tiny_pipelines: SmallFolders, tmp_path: Path
) -> None:
    folder = shutil.copytree(tiny_pipelines["sdxl"], tmp_path / "no-upcast")
    config = json.loads((folder / "vae" / "config.json").read_text())
    (folder / "vae" / "config.json").write_text(json.dumps({**config, "force_upcast": False}))
    source = locate_checkpoint(BackboneSpec(path=str(folder)), fetch=False)
    pipe = load_pipeline(source, torch.float16, torch.device("cpu"))
    assert pipe.vae.dtype == torch.float16


def edited_config(folder: Path, to: Path, part: str, **settings: object) -> Path:
    """A copy of a folder with other settings in one part's config."""
    shutil.copytree(folder, to)
    (file,) = (to / part).glob("*config.json")
    file.write_text(json.dumps({**json.loads(file.read_text()), **settings}))
    return to


def test_mean_and_deviation_of_the_latents_are_used(tiny_pipelines: SmallFolders, tmp_path: Path) -> None:
    settings = {"latents_mean": [0.4, -0.3, 0.2, 0.5], "latents_std": [2.0, 1.5, 3.0, 0.5]}
    folder = edited_config(tiny_pipelines["sdxl"], tmp_path / "sdxl", "vae", **settings)
    backbone = opened(folder)
    expected = diffusers_pipeline(folder)(
        PROMPTS[:2],
        num_inference_steps=2,
        guidance_scale=3.0,
        height=SIDE,
        width=SIDE,
        generator=[torch.Generator().manual_seed(seed) for seed in (1, 2)],
    ).images
    images = backbone.generate(PROMPTS[:2], [1, 2])
    differences = [np.asarray(a).astype(int) - np.asarray(b) for a, b in zip(images, expected, strict=True)]
    assert np.abs(differences).max() <= 1
    plain = opened(tiny_pipelines["sdxl"])
    mean, deviation = (torch.tensor(values).view(1, 4, 1, 1) for values in settings.values())
    pixels = torch.rand(1, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0))
    own, factor = plain.encode_posterior(pixels), plain.pipe.vae.config.scaling_factor
    found = backbone.encode_posterior(pixels)
    assert torch.allclose(found[0], (own[0] / factor - mean) * factor / deviation, atol=1e-5)
    assert torch.allclose(found[1], own[1] / deviation, atol=1e-5)


@pytest.mark.parametrize(
    "scheduler",
    [
        {"_class_name": "EDMDPMSolverMultistepScheduler", "sigma_min": 0.002, "sigma_max": 80.0},
        {"_class_name": "FlowMatchEulerDiscreteScheduler", "shift": 3.0},
    ],
)
def test_other_kinds_of_schedulers_are_refused(
    scheduler: dict[str, object], tiny_pipelines: SmallFolders, tmp_path: Path
) -> None:
    folder = shutil.copytree(tiny_pipelines["sdxl"], tmp_path / "sdxl")
    (folder / "scheduler" / "scheduler_config.json").write_text(json.dumps(scheduler))
    index = json.loads((folder / "model_index.json").read_text())
    index["scheduler"] = ["diffusers", scheduler["_class_name"]]
    (folder / "model_index.json").write_text(json.dumps(index))
    with pytest.raises(MethodError, match=f"{scheduler['_class_name']} .* is not supported") as caught:
        opened(folder)
    assert "\n" not in str(caught.value)


def test_text_encoders_are_not_trained_with_offload(family_backbone: Backbone) -> None:
    backbone = replace(family_backbone, spec=replace(family_backbone.spec, cpu_offload=True))
    with pytest.raises(MethodError, match="cpu_offload cannot train text encoders"):
        backbone.encode_text_with_grad(PROMPTS)


def test_non_finite_image_is_marked_and_does_not_affect_the_next_row(family_backbone: Backbone) -> None:
    start = torch.randn(2, 4, SIDE // 8, SIDE // 8, generator=torch.Generator().manual_seed(0))
    finite = family_backbone.generate(PROMPTS[:2], [1, 2], before=lambda _: {"latents": start.clone()})
    start[1, 0, 0, 0] = float("inf")
    images = family_backbone.generate(PROMPTS[:2], [1, 2], before=lambda _: {"latents": start.clone()})
    assert [image.info.get(FLAW) for image in images] == [None, "nan"]
    assert images[0].tobytes() == finite[0].tobytes()
    assert not np.asarray(images[1]).any()


def test_non_finite_latents_are_refused(sd_folder: Path) -> None:
    backbone = opened(sd_folder)
    with torch.no_grad():
        backbone.network.conv_out.bias.fill_(float("nan"))
    with pytest.raises(MethodError, match="not finite"):
        backbone.generate_latents(PROMPTS[:1], [1])


def test_changes_to_sdxl_s_second_text_encoder_are_found_and_undone(family_backbone: Backbone) -> None:
    backbone = family_backbone
    if backbone.family != "sdxl":
        assert not hasattr(backbone.pipe, "text_encoder_2")
        return
    with pytest.raises(MethodError, match="text_encoder_2"), backbone.clean(), torch.random.fork_rng():
        backbone.pipe.text_encoder_2.add_adapter(LoraConfig(r=2, target_modules=["q_proj"]), "left")
    with pytest.raises(MethodError, match="tokenizer_2 was replaced"), backbone.clean():
        backbone.pipe.tokenizer_2 = copy.deepcopy(backbone.pipe.tokenizer_2)
    assert backbone.state.leftovers(backbone.pipe) == []
