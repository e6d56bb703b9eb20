"""SD 1.5, SD 2 and SDXL in their published layouts, beside what plain diffusers makes of them."""

from __future__ import annotations

import copy
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionPipeline, StableDiffusionXLPipeline
from peft import LoraConfig
from single_files import write_single_file
from tiny_pipelines import SIDE, SmallFolders

from methods.backbone.backbone import Backbone
from methods.backbone.load import pipeline_of, scheduler_of
from methods.backbone.locate import networks_of, source_of
from methods.backbone.spec import BackboneSpec
from methods.catalog import make
from methods.errors import MethodError
from methods.subject import FLAW, Request, Subject

SENTENCES = ["a photo of a man, smiling", "a photo of a woman, sad", "a photo of a dog"]


def opened(path: Path, **settings: object) -> Backbone:
    chosen: dict[str, object] = {"steps": 2, "guidance": 3.0, "batch": 2, "device": "cpu", **settings}
    return Backbone.open(BackboneSpec(path=str(path), **chosen))  # type: ignore[arg-type]


def plain(folder: Path) -> StableDiffusionPipeline | StableDiffusionXLPipeline:
    large = (folder / "text_encoder_2").is_dir()
    cls = StableDiffusionXLPipeline if large else StableDiffusionPipeline
    without = {} if large else {"safety_checker": None, "feature_extractor": None}
    pipe = cls.from_pretrained(folder, **without)
    pipe.set_progress_bar_config(disable=True)
    for module in (pipe.unet, pipe.vae):
        module.to(memory_format=torch.channels_last)
    return pipe


def test_the_family_and_the_published_settings_are_told(family_backbone: Backbone) -> None:
    family = family_backbone.family
    assert family_backbone.source.folder.name == family
    assert family_backbone.resolution == SIDE
    assert family_backbone.noise.prediction == ("v_prediction" if family == "sd2" else "epsilon")
    assert family_backbone.pipe.tokenizer.pad_token == ("!" if family == "sd2" else "<|endoftext|>")


@pytest.mark.parametrize("negative", ["", "a blurry picture"])
def test_a_picture_is_the_one_that_plain_diffusers_draws(
    shared_family_backbone: Backbone, negative: str
) -> None:
    backbone = replace(
        shared_family_backbone, spec=replace(shared_family_backbone.spec, negative_prompt=negative)
    )
    wanted = plain(backbone.folder)(
        SENTENCES[:2],
        num_inference_steps=2,
        guidance_scale=3.0,
        negative_prompt=[negative] * 2 if negative else None,
        generator=[torch.Generator().manual_seed(seed) for seed in (4, 5)],
    ).images
    drawn = backbone.generate(SENTENCES[:2], [4, 5])
    # On some processors two copies of one network differ in the last bit, by where they lie in memory.
    for ours, theirs in zip(drawn, wanted, strict=True):
        steps = np.abs(np.asarray(ours).astype(int) - np.asarray(theirs))
        assert steps.max() <= 1
        assert (steps > 0).mean() < 0.01
    assert drawn[0].tobytes() != drawn[1].tobytes()


def test_padding_and_place_in_the_batch_change_no_byte(family_backbone: Backbone) -> None:
    together = family_backbone.generate(SENTENCES, [1, 2, 3])
    apart = [family_backbone.generate([s], [seed])[0] for s, seed in zip(SENTENCES, (1, 2, 3), strict=True)]
    turned = family_backbone.generate(SENTENCES[::-1], [3, 2, 1])[::-1]
    assert [i.tobytes() for i in together] == [i.tobytes() for i in apart] == [i.tobytes() for i in turned]


def encoded(backbone: Backbone, *, guided: bool) -> tuple[torch.Tensor, ...]:
    pipe = backbone.pipe
    with torch.no_grad():
        return tuple(
            pipe.encode_prompt(
                SENTENCES, device="cpu", num_images_per_prompt=1, do_classifier_free_guidance=guided
            )
        )


def test_text_features_are_what_the_pipeline_encodes(family_backbone: Backbone) -> None:
    features, wanted = family_backbone.encode_text(SENTENCES), encoded(family_backbone, guided=False)
    assert torch.equal(features.tokens, wanted[0])
    assert features.tokens.shape[2] == family_backbone.cross_attention_dim
    if family_backbone.family == "sdxl":
        assert torch.equal(features.pooled, wanted[2])


def test_the_empty_sentence_is_what_guidance_reads(family_backbone: Backbone) -> None:
    features, wanted = family_backbone.encode_text(["", SENTENCES[0]]), encoded(family_backbone, guided=True)
    assert torch.allclose(features.tokens[0], wanted[1][0], atol=1e-6)
    assert bool(features.tokens[1].any())
    if family_backbone.family == "sdxl":
        assert torch.equal(features.pooled[0], wanted[3][0])


def test_the_unet_is_told_of_the_text_as_when_drawing(family_backbone: Backbone) -> None:
    """One step from pure noise by hand, with guidance, against the pipeline's own first step."""
    backbone, seen = family_backbone, []
    unet = backbone.unet
    hook = unet.register_forward_hook(
        lambda _, args, kwargs, out: seen.append((args, kwargs, out[0])), with_kwargs=True
    )
    backbone.generate_latents(SENTENCES[:2], [1, 2])
    hook.remove()
    (x_t, t), kwargs, said = seen[0]
    text = backbone.encode_text(["", "", *SENTENCES[:2]])
    with torch.no_grad():
        ours = unet(x_t, t, **backbone.conditioning(text), return_dict=False)[0]
    assert torch.allclose(ours, said, atol=1e-5)
    if backbone.family == "sdxl":
        wanted = kwargs["added_cond_kwargs"]["time_ids"]
        assert torch.equal(backbone.conditioning(text)["added_cond_kwargs"]["time_ids"], wanted)
        cropped = torch.tensor([[80, 100, 8, 0, 64, 64]] * 4)
        given = backbone.conditioning(text, time_ids=cropped)["added_cond_kwargs"]["time_ids"]
        assert torch.equal(given, cropped.float())


def test_latents_of_a_photograph_return_through_the_decoder(
    family_backbone: Backbone, subject: Subject
) -> None:
    vae = family_backbone.pipe.vae
    pixels = torch.rand(1, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0))
    latents = family_backbone.encode_images([subject.references[0].image])
    assert latents.shape == (1, 4, SIDE // 8, SIDE // 8)
    with torch.no_grad():
        wanted = vae.encode(pixels * 2 - 1).latent_dist.mode() * vae.config.scaling_factor
    assert torch.equal(family_backbone.encode_pixels(pixels), wanted)


@pytest.mark.parametrize("name", ["text-only", "photo-copy"])
def test_a_method_without_training_runs_on_every_family(
    name: str, family_backbone: Backbone, subject: Subject, tmp_path: Path
) -> None:
    method = make(name)
    method.fit(subject, tmp_path, backbone=family_backbone, seed=0)
    personalised = method.load(tmp_path, backbone=family_backbone)
    requests = [Request("a photo of {subject}, smiling", seed) for seed in (1, 2)]
    pictures = personalised.generate(requests)
    assert {picture.mode for picture in pictures} == {"RGB"}
    if name == "text-only":
        wanted = family_backbone.generate(["a photo of a woman, smiling"] * 2, [1, 2])
        assert [p.tobytes() for p in pictures] == [p.tobytes() for p in wanted]


@pytest.mark.parametrize("scheduler", ["ddim", "dpm++", "euler", "unipc", "pndm"])
def test_a_scheduler_by_name_keeps_the_folder_s_prediction_and_schedule(
    family_backbone: Backbone, scheduler: str
) -> None:
    own = family_backbone.pipe.scheduler.config
    config = scheduler_of(scheduler, family_backbone.pipe.scheduler).config
    assert config.prediction_type == own.prediction_type
    assert (config.beta_start, config.beta_end) == (0.00085, 0.012)
    assert config.beta_schedule == "scaled_linear"


def test_a_single_file_is_the_folder_it_was_made_from(family_backbone: Backbone, tmp_path: Path) -> None:
    whole, folder = family_backbone, family_backbone.folder
    file = tmp_path / "model.safetensors"
    write_single_file(folder, file)
    one = opened(file, config=str(folder))
    for part, network in networks_of(whole.pipe).items():
        own, wanted = networks_of(one.pipe)[part].state_dict(), network.state_dict()
        assert own.keys() == wanted.keys()
        assert all(torch.equal(own[name], wanted[name]) for name in wanted)
    assert one.generate(SENTENCES[:1], [1])[0].tobytes() == whole.generate(SENTENCES[:1], [1])[0].tobytes()
    assert file in one.files()
    assert folder / "tokenizer" / "vocab.json" in one.files()
    assert not any(path.name.startswith("diffusion_pytorch_model") for path in one.files())
    assert one.digest != whole.digest


def test_half_precision_leaves_the_autoencoder_of_sdxl_in_full(
    tiny_pipelines: SmallFolders, subject: Subject
) -> None:
    full, backbone = opened(tiny_pipelines["sdxl"]), opened(tiny_pipelines["sdxl"], dtype="fp16")
    assert (backbone.unet.dtype, backbone.pipe.vae.dtype) == (torch.float16, torch.float32)
    assert backbone.pipe.text_encoder_2.dtype == torch.float16
    assert backbone.encode_images([subject.references[0].image]).dtype == torch.float16
    picture = backbone.generate(SENTENCES[:1], [1])[0]
    wanted = full.generate(SENTENCES[:1], [1])[0]
    assert np.abs(np.asarray(picture).astype(int) - np.asarray(wanted)).mean() < 4


def test_a_mended_autoencoder_of_sdxl_is_loaded_in_half(tiny_pipelines: SmallFolders, tmp_path: Path) -> None:
    folder = shutil.copytree(tiny_pipelines["sdxl"], tmp_path / "mended")
    config = json.loads((folder / "vae" / "config.json").read_text())
    (folder / "vae" / "config.json").write_text(json.dumps({**config, "force_upcast": False}))
    pipe = pipeline_of(source_of(BackboneSpec(path=str(folder)), fetch=False), torch.float16)
    assert pipe.vae.dtype == torch.float16


def test_a_picture_that_is_no_numbers_says_so_and_spares_its_neighbour(family_backbone: Backbone) -> None:
    start = torch.randn(2, 4, SIDE // 8, SIDE // 8, generator=torch.Generator().manual_seed(0))
    sound = family_backbone.generate(SENTENCES[:2], [1, 2], before=lambda _: {"latents": start.clone()})
    start[1, 0, 0, 0] = float("inf")
    drawn = family_backbone.generate(SENTENCES[:2], [1, 2], before=lambda _: {"latents": start.clone()})
    assert [picture.info.get(FLAW) for picture in drawn] == [None, "nan"]
    assert drawn[0].tobytes() == sound[0].tobytes()
    assert not np.asarray(drawn[1]).any()


def test_latents_that_are_no_numbers_are_not_handed_out(sd_folder: Path) -> None:
    backbone = opened(sd_folder)
    with torch.no_grad():
        backbone.unet.conv_out.bias.fill_(float("nan"))
    with pytest.raises(MethodError, match="not finite"):
        backbone.generate_latents(SENTENCES[:1], [1])


def test_what_is_left_on_sdxl_s_second_half_is_found_and_taken_away(family_backbone: Backbone) -> None:
    backbone = family_backbone
    if backbone.family != "sdxl":
        assert not hasattr(backbone.pipe, "text_encoder_2")
        return
    with pytest.raises(MethodError, match="text_encoder_2"), backbone.clean(), torch.random.fork_rng():
        backbone.pipe.text_encoder_2.add_adapter(LoraConfig(r=2, target_modules=["q_proj"]), "left")
    with pytest.raises(MethodError, match="tokenizer_2 was exchanged"), backbone.clean():
        backbone.pipe.tokenizer_2 = copy.deepcopy(backbone.pipe.tokenizer_2)
    assert backbone.state.leftovers(backbone.pipe) == []
