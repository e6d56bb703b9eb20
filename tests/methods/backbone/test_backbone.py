"""The shared backbone: opening, sampling, encoding, and restoring its state."""

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
from methods.backbone.load import load_pipeline
from methods.backbone.locate import locate_checkpoint
from methods.backbone.spec import BackboneSpec
from methods.errors import MethodError
from methods.subject import Subject

PROMPTS = ["a photo of a man, smiling", "a photo of a woman, sad", "a photo of a man"]


def opened(folder: Path, **settings: object) -> Backbone:
    return Backbone.open(BackboneSpec(path=str(folder), device="cpu", **settings))  # type: ignore[arg-type]


def test_image_equals_that_of_the_diffusers_pipeline(backbone: Backbone, sd_folder: Path) -> None:
    pipe = StableDiffusionPipeline.from_pretrained(sd_folder)
    pipe.set_progress_bar_config(disable=True)
    pipe.unet.to(memory_format=torch.channels_last)
    pipe.vae.to(memory_format=torch.channels_last)
    expected = pipe(
        PROMPTS[:2],
        num_inference_steps=2,
        guidance_scale=3.0,
        negative_prompt=["", ""],
        generator=[torch.Generator().manual_seed(seed) for seed in (4, 5)],
    ).images
    images = backbone.generate(PROMPTS[:2], [4, 5])
    # The two copies of the weights lie at other addresses, which can change the last bit of a convolution.
    pixels, others = (
        np.stack([np.asarray(image, dtype=int) for image in found]) for found in (images, expected)
    )
    difference = np.abs(pixels - others)
    assert difference.max() <= 1
    assert (difference > 0).mean() < 0.01


def test_guided_backbone_has_its_own_cache_and_leaves_the_first_unchanged(
    backbone: Backbone,
) -> None:
    backbone.cache["class images",] = "generated with 3.0"
    stronger = backbone.guided(6.0)
    assert stronger.cache == {}
    assert stronger.network is backbone.network
    assert backbone.guided(6.0) is stronger
    before = backbone.generate(PROMPTS[:1], [4])[0].tobytes()
    assert stronger.generate(PROMPTS[:1], [4])[0].tobytes() != before
    assert backbone.generate(PROMPTS[:1], [4])[0].tobytes() == before


def test_padding_and_batch_position_do_not_change_an_image(backbone: Backbone) -> None:
    together = backbone.generate(PROMPTS, [1, 2, 3])
    apart = [backbone.generate([s], [seed])[0] for s, seed in zip(PROMPTS, (1, 2, 3), strict=True)]
    reordered = backbone.generate(PROMPTS[::-1], [3, 2, 1])[::-1]
    assert [i.tobytes() for i in together] == [i.tobytes() for i in apart] == [i.tobytes() for i in reordered]


def test_before_receives_the_padded_rows_of_every_batch(backbone: Backbone) -> None:
    batches: list[list[int]] = []
    backbone.generate(PROMPTS, [1, 2, 3], before=lambda rows: batches.append(list(rows)) or {})
    assert batches == [[0, 1], [2, 2]]


def test_small_batches_have_a_quarter_of_the_rows(backbone: Backbone) -> None:
    eight = replace(backbone, spec=replace(backbone.spec, batch=8))
    batches: list[list[int]] = []
    eight.generate(
        PROMPTS, [1, 2, 3], before=lambda rows: batches.append(list(rows)) or {}, small_batches=True
    )
    assert batches == [[0, 1], [2, 2]]
    batches.clear()
    backbone.generate(
        PROMPTS, [1, 2, 3], before=lambda rows: batches.append(list(rows)) or {}, small_batches=True
    )
    assert batches == [[0], [1], [2]]


def test_generated_latents_have_the_encoder_scale(backbone: Backbone) -> None:
    latents = backbone.generate_latents(PROMPTS[:1], [1])
    vae = backbone.pipe.vae
    with torch.no_grad():
        decoded = vae.decode(latents / vae.config.scaling_factor).sample
    pixels = ((decoded[0] / 2 + 0.5).clamp(0, 1) * 255).round().byte().permute(1, 2, 0).numpy()
    images = np.asarray(backbone.generate(PROMPTS[:1], [1])[0])
    assert np.abs(pixels.astype(int) - images).max() <= 1


def test_encoded_latents_are_deterministic(backbone: Backbone, subject: Subject) -> None:
    image = subject.references[0].image
    latents = backbone.encode_images([image])
    assert latents.shape == (1, 4, 8, 8)
    assert torch.equal(latents, backbone.encode_images([image]))
    assert not torch.equal(latents, backbone.encode_images([subject.references[1].image]))


def test_text_features_equal_those_of_encode_prompt(backbone: Backbone) -> None:
    features = backbone.encode_text(PROMPTS)
    expected, _ = backbone.pipe.encode_prompt(PROMPTS, "cpu", 1, False)
    assert torch.equal(features.tokens, expected)
    assert features.pooled.shape == (3, features.tokens.shape[2])
    assert not torch.allclose(features.pooled[0], features.pooled[1])


def test_files_include_weights_configs_and_tokenizer(backbone: Backbone, sd_folder: Path) -> None:
    names = {path.relative_to(sd_folder).as_posix() for path in backbone.files()}
    assert {"model_index.json", "unet/diffusion_pytorch_model.safetensors", "unet/config.json"} <= names
    assert any(name.startswith("tokenizer/") for name in names)


def test_digest_changes_with_a_weight(sd_folder: Path, backbone: Backbone, tmp_path: Path) -> None:
    folder = shutil.copytree(sd_folder, tmp_path / "sd")
    assert opened(folder).digest == backbone.digest
    file = folder / "unet" / "diffusion_pytorch_model.safetensors"
    state = load_file(file)
    state["conv_in.bias"] = state["conv_in.bias"] + 1
    save_file(state, file, metadata={"format": "pt"})
    assert opened(folder).digest != backbone.digest


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"scheduler": "dpm+++"}, "unknown scheduler"),
        ({"batch": 0}, "at least 1"),
        ({"steps": 0}, "at least 1"),
    ],
)
def test_invalid_setting_is_refused_in_one_line(
    sd_folder: Path, settings: dict[str, object], message: str
) -> None:
    with pytest.raises(MethodError, match=message) as caught:
        opened(sd_folder, **settings)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("scheduler", ["ddim", "dpm++", "euler", "unipc", "pndm"])
def test_every_named_scheduler_is_deterministic(sd_folder: Path, scheduler: str) -> None:
    # PNDM's warm-up is as long as its order.
    backbone = opened(sd_folder, scheduler=scheduler, steps=4, batch=1)
    first, second = (backbone.generate(PROMPTS[:1], [1])[0].tobytes() for _ in range(2))
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
def test_broken_folder_is_refused_in_one_line(
    sd_folder: Path, tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    folder = shutil.copytree(sd_folder, tmp_path / "broken")
    damage(folder)
    with pytest.raises(MethodError, match="broken") as caught:
        opened(folder)
    assert "\n" not in str(caught.value)


def test_missing_folder_is_refused_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(MethodError, match="no such folder"):
        opened(tmp_path / "nothing")


@pytest.mark.parametrize(("device", "channels_last"), [("cpu", True), ("cuda", False)])
def test_memory_layout_is_that_of_the_device(sd_folder: Path, device: str, channels_last: bool) -> None:
    """The weights are on the CPU until the pipeline is moved."""
    source = locate_checkpoint(BackboneSpec(path=str(sd_folder)), fetch=False)
    pipe = load_pipeline(source, torch.float32, torch.device(device))
    for weight in (pipe.unet.conv_in.weight, pipe.vae.decoder.conv_in.weight):
        assert weight.is_contiguous(memory_format=torch.channels_last) == channels_last


def test_safety_checker_of_the_folder_is_not_loaded(sd_folder: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(sd_folder, tmp_path / "checked")
    index = json.loads((folder / "model_index.json").read_text())
    index["safety_checker"] = ["stable_diffusion", "StableDiffusionSafetyChecker"]
    index["requires_safety_checker"] = True
    (folder / "model_index.json").write_text(json.dumps(index))
    backbone = opened(folder, steps=2, batch=2)
    assert backbone.pipe.safety_checker is None
    assert np.asarray(backbone.generate(PROMPTS[:1], [1])[0]).max() > 0


def change_lora(backbone: Backbone) -> None:
    with torch.random.fork_rng():
        backbone.pipe.unet.add_adapter(LoraConfig(r=2, target_modules=["to_k"]), adapter_name="left")


def change_text_lora(backbone: Backbone) -> None:
    with torch.random.fork_rng():
        backbone.pipe.text_encoder.add_adapter(
            LoraConfig(r=2, target_modules=["q_proj"]), adapter_name="left"
        )


def change_processor(backbone: Backbone) -> None:
    class Own:
        def __call__(self) -> None: ...

    backbone.pipe.unet.set_attn_processor(Own())


def change_scheduler(backbone: Backbone) -> None:
    backbone.pipe.scheduler = type(backbone.pipe.scheduler).from_config(backbone.pipe.scheduler.config)


def change_scheduler_setting(backbone: Backbone) -> None:
    backbone.pipe.scheduler.register_to_config(prediction_type="epsilon")


def change_training_mode(backbone: Backbone) -> None:
    backbone.pipe.unet.train()


def change_learning_weights(backbone: Backbone) -> None:
    backbone.pipe.vae.requires_grad_(True)


def change_fused_lora(backbone: Backbone) -> None:
    """The usual recipe, which writes through `.data`."""
    pipe = backbone.pipe
    with torch.random.fork_rng():
        torch.manual_seed(0)
        pipe.unet.add_adapter(
            LoraConfig(r=2, target_modules=["to_k"], init_lora_weights=False), adapter_name="left"
        )
    pipe.fuse_lora()
    pipe.unload_lora_weights()


def change_hook(backbone: Backbone) -> None:
    backbone.network.register_forward_hook(lambda module, inputs, output: (output[0] * 2,))


def change_forward(backbone: Backbone) -> None:
    convolution = backbone.pipe.unet.conv_in
    convolution.forward = lambda x: type(convolution).forward(convolution, x) * 2


def change_class(backbone: Backbone) -> None:
    kind = type(backbone.network)
    forward = kind.forward
    kind.forward = lambda self, *args, **kwargs: (forward(self, *args, **kwargs)[0] * 2,)  # type: ignore[method-assign]


def change_tokenizer_length(backbone: Backbone) -> None:
    backbone.pipe.tokenizer.model_max_length = 8


def change_vocabulary(backbone: Backbone) -> None:
    backbone.pipe.tokenizer.add_tokens(["<other>"])


CHANGES: list[Callable[[Backbone], object]] = [
    change_hook,
    change_forward,
    change_class,
    change_tokenizer_length,
    change_fused_lora,
    lambda backbone: backbone.pipe.enable_freeu(s1=0.9, s2=0.2, b1=1.5, b2=1.6),
    lambda backbone: backbone.pipe.scheduler.alphas_cumprod.mul_(0.5),
    lambda backbone: setattr(backbone.pipe.vae.config, "scaling_factor", 0.1),
    lambda backbone: backbone.pipe.unet.conv_in.weight.data.mul_(2),
    lambda backbone: setattr(
        backbone.pipe.unet.conv_in.weight, "data", torch.zeros_like(backbone.pipe.unet.conv_in.weight)
    ),
    lambda backbone: backbone.pipe.unet.conv_in.bias.detach().add_(1),
]


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_that_torch_does_not_count_is_found_and_undone(
    backbone: Backbone, change: Callable[[Backbone], None]
) -> None:
    before = backbone.generate(PROMPTS[:1], [1])[0].tobytes()
    images = []

    def change_and_generate() -> None:
        with backbone.clean():
            change(backbone)
            images.append(backbone.generate(PROMPTS[:1], [1])[0].tobytes())

    with pytest.raises(MethodError, match="left changed"):
        change_and_generate()
    assert images != [before]
    assert backbone.state.leftovers(backbone.pipe) == []
    assert backbone.generate(PROMPTS[:1], [1])[0].tobytes() == before


def test_the_outer_of_two_contexts_checks(backbone: Backbone) -> None:
    seen = []

    def change_within_two() -> None:
        with backbone.clean():
            with backbone.clean():
                change_hook(backbone)
            seen.extend(backbone.state.leftovers(backbone.pipe))

    with pytest.raises(MethodError, match="left changed"):
        change_within_two()
    assert seen
    assert backbone.state.leftovers(backbone.pipe) == []


@pytest.mark.parametrize(
    "change",
    [
        change_lora,
        change_text_lora,
        change_processor,
        change_scheduler,
        change_scheduler_setting,
        change_training_mode,
        change_learning_weights,
        change_vocabulary,
    ],
)
def test_remaining_change_is_an_error_and_is_undone(
    backbone: Backbone, change: Callable[[Backbone], None]
) -> None:
    before = backbone.generate(PROMPTS[:1], [1])[0].tobytes()
    with pytest.raises(MethodError, match="left changed"), backbone.clean():
        change(backbone)
    assert backbone.state.leftovers(backbone.pipe) == []
    assert backbone.generate(PROMPTS[:1], [1])[0].tobytes() == before


def test_failing_body_keeps_its_error_and_the_backbone_is_restored(backbone: Backbone) -> None:
    def fail() -> None:
        with backbone.clean():
            change_lora(backbone)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert backbone.state.leftovers(backbone.pipe) == []


def test_a_backbone_without_its_files_cannot_be_restored(sd_folder: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(sd_folder, tmp_path / "sd")
    backbone = opened(folder)
    shutil.rmtree(folder)
    with pytest.raises(MethodError, match="cannot be loaded"), backbone.clean(), torch.no_grad():
        backbone.pipe.unet.conv_in.bias.add_(1)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_gpu_and_cpu_images_start_from_the_same_noise(sd_folder: Path) -> None:
    backbone = Backbone.open(BackboneSpec(path=str(sd_folder), steps=2, batch=2, device="cuda"))
    on_gpu = np.asarray(backbone.generate(PROMPTS[:1], [1])[0]).astype(int)
    on_cpu = np.asarray(opened(sd_folder, steps=2, batch=2).generate(PROMPTS[:1], [1])[0])
    assert np.abs(on_gpu - on_cpu).max() <= 3
