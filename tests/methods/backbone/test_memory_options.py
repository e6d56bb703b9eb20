"""Memory options: the same images, nothing left on the backbone, contradictory options refused."""

from __future__ import annotations

import gc
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers.models.attention_processor import SlicedAttnProcessor
from offloaded import open_offloaded, weights_off_the_gpu
from peft import LoraConfig
from tiny_pipelines import SIDE, SmallFolders
from tiny_transformers import SETTINGS, TRANSFORMERS, FlowFolders, spec_of
from torch._dynamo.exc import FailOnRecompileLimitHit

from methods.backbone.backbone import Backbone
from methods.backbone.memory_options import check_memory_options, move_to_device, run_compiled
from methods.backbone.spec import BackboneSpec, CpuOffload
from methods.errors import MethodError

PROMPTS = ["a photo of a man, smiling", "a photo of a woman, sad"]


def opened(path: Path, **settings: object) -> Backbone:
    chosen: dict[str, object] = {"steps": 2, "guidance": 3.0, "batch": 2, "device": "cpu", **settings}
    return Backbone.open(BackboneSpec(path=str(path), **chosen))  # type: ignore[arg-type]


def largest_difference(one: list[object], other: list[object]) -> float:
    """The largest difference of any pixel, of 255."""
    return max(
        float(np.abs(np.asarray(a).astype(int) - np.asarray(b)).max())
        for a, b in zip(one, other, strict=True)
    )


def test_attention_slicing_keeps_the_image_and_is_removed_afterwards(family_backbone: Backbone) -> None:
    spec, processors = replace(family_backbone.spec, attention_slicing=True), set()
    sliced = replace(family_backbone, spec=spec)

    def record(*_: object) -> None:
        processors.update(type(p) for p in sliced.network.attn_processors.values())

    hook = sliced.network.register_forward_hook(record)
    images = sliced.generate(PROMPTS, [1, 2])
    hook.remove()
    assert processors == {SlicedAttnProcessor}
    assert largest_difference(images, family_backbone.generate(PROMPTS, [1, 2])) <= 2
    assert images[0].tobytes() == sliced.generate(PROMPTS[::-1], [2, 1])[1].tobytes()


def test_sliced_and_tiled_decoding_give_nearly_the_same_image(sd_folder: Path) -> None:
    whole = opened(sd_folder).generate(PROMPTS, [1, 2])
    assert largest_difference(opened(sd_folder, vae_slicing=True).generate(PROMPTS, [1, 2]), whole) <= 1
    tiled = opened(sd_folder, vae_tiling=True, resolution=32)
    assert tiled.pipe.vae.use_tiling
    plain = opened(sd_folder, resolution=32).generate(PROMPTS, [1, 2])
    images = tiled.generate(PROMPTS, [1, 2])
    assert images[0].tobytes() != plain[0].tobytes()
    assert np.abs(np.asarray(images[0]).astype(int) - np.asarray(plain[0])).mean() < 40


def images_equal_to_those_of(whole: Backbone, offloaded: Backbone) -> list[object]:
    """The offloaded backbone's images; they, latents and text features are equal, and changes are found."""
    with offloaded.clean():
        images = offloaded.generate(PROMPTS, [1, 2])
        assert torch.equal(offloaded.encode_text(PROMPTS).tokens, whole.encode_text(PROMPTS).tokens)
        latents = offloaded.encode_images(images)
    assert largest_difference(images, whole.generate(PROMPTS, [1, 2])) == 0
    assert torch.equal(latents, whole.encode_images(images))
    with pytest.raises(MethodError, match="LoRA adapters"), offloaded.clean(), torch.random.fork_rng():
        offloaded.network.add_adapter(LoraConfig(r=2, target_modules=["to_k"]), "left")
    return images


def test_offloaded_networks_give_the_same_image_and_count_as_unchanged(sd_folder: Path) -> None:
    """Offload hooks on the CPU: no GPU is needed."""
    whole, backbone = opened(sd_folder), opened(sd_folder)
    move_to_device(backbone.pipe, replace(backbone.spec, cpu_offload=True), torch.device("cpu"))
    images = images_equal_to_those_of(whole, backbone)
    assert largest_difference(images, backbone.generate(PROMPTS, [1, 2])) == 0


@pytest.mark.parametrize("family", ["sd1", "sdxl"])
def test_sequential_offload_gives_the_same_image_and_finds_changes(
    family: str, tiny_pipelines: SmallFolders
) -> None:
    whole = opened(tiny_pipelines[family])
    backbone = open_offloaded(whole.spec)
    assert backbone.digest == whole.digest
    images = images_equal_to_those_of(whole, backbone)
    weight = "conv_in.weight"
    with pytest.raises(MethodError, match=f"weight unet.{weight} was changed"), backbone.clean():
        backbone.network.get_parameter(weight).mul_(2)
    assert largest_difference(images, backbone.generate(PROMPTS, [1, 2])) == 0


def test_each_layer_is_loaded_only_while_it_runs_under_sequential_offload(sd_folder: Path) -> None:
    """The decoder's and the encoder's layers, too, which run outside the pipeline."""
    backbone = open_offloaded(opened(sd_folder).spec)
    with weights_off_the_gpu(backbone) as unloaded:
        backbone.encode_images(backbone.generate(PROMPTS, [1, 2]))
        table, row = backbone.pipe.text_encoder.get_input_embeddings().weight, torch.tensor(3)
        with pytest.raises(AssertionError, match=r"embedding\.weight is used and not loaded"):
            table[row]
    assert unloaded.ran == set(unloaded.all)
    assert unloaded.names == unloaded.all
    # The matrix and the bias of one layer.
    assert unloaded.most == 2


def test_training_is_refused_with_sequential_offload(sd_folder: Path) -> None:
    backbone = open_offloaded(opened(sd_folder).spec)
    x_t, conditioning = torch.zeros(1, 4, 8, 8), backbone.conditioning(backbone.encode_text(["a man"]))
    with pytest.raises(MethodError, match="'sequential' is for sampling only; use cpu_offload = true"):
        backbone.predict(x_t, torch.tensor([1]), conditioning)
    with torch.no_grad():
        backbone.predict(x_t, torch.tensor([1]), conditioning)


@pytest.mark.parametrize("offload", [True, "model", "sequential"])
def test_options_that_exclude_offload_are_refused(offload: CpuOffload) -> None:
    gpu = torch.device("cuda")
    check_memory_options(BackboneSpec(cpu_offload=offload), gpu)
    with pytest.raises(MethodError, match="compile and cpu_offload exclude each other"):
        check_memory_options(BackboneSpec(cpu_offload=offload, compile=True), gpu)
    quantised = BackboneSpec(cpu_offload=offload, quantization="torchao-int8")
    if offload == "sequential":
        with pytest.raises(MethodError, match="quantization and cpu_offload = 'sequential' exclude"):
            check_memory_options(quantised, gpu)
    else:
        check_memory_options(quantised, gpu)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"cpu_offload": True}, "cpu_offload is for a GPU"),
        ({"cpu_offload": "sequential"}, "cpu_offload is for a GPU"),
        ({"compile": True, "attention_slicing": True}, "compile and attention_slicing exclude each other"),
        ({"resolution": 20}, "resolution 20; expected a multiple of"),
        ({"dtype": "fp8"}, "unknown dtype 'fp8'; known: fp32, fp16, bf16"),
    ],
)
def test_contradictory_options_are_refused_in_one_line(
    tiny_pipelines: SmallFolders, settings: dict[str, object], message: str
) -> None:
    with pytest.raises(MethodError, match=message) as caught:
        opened(tiny_pipelines["sd1"], **settings)
    assert "\n" not in str(caught.value)


@pytest.mark.slow
def test_compiled_unet_follows_a_method_s_changes(backbone: Backbone) -> None:
    """The backend `eager` traces, guards and recompiles, but runs without a compiler."""
    traced = torch.compile(backbone.network, dynamic=False, backend="eager")
    compiled = replace(backbone, compiled=traced)
    plain = backbone.generate(PROMPTS, [1, 2])
    with compiled.clean():
        with torch.random.fork_rng():
            lora = LoraConfig(r=2, target_modules=["to_k"], init_lora_weights=False)
            compiled.network.add_adapter(lora, "other")
        images = compiled.generate(PROMPTS, [1, 2])
        assert largest_difference(images, backbone.generate(PROMPTS, [1, 2])) == 0
        assert largest_difference(images, plain) > 0
        compiled.pipe.unload_lora_weights()
    assert largest_difference(compiled.generate(PROMPTS, [1, 2]), plain) == 0
    assert compiled.pipe.unet is backbone.network


def test_batch_is_repeated_at_the_recompile_limit() -> None:
    calls = []

    def call() -> torch.Tensor:
        calls.append(1)
        if len(calls) == 1:
            raise FailOnRecompileLimitHit
        return torch.ones(1)

    assert torch.equal(run_compiled(call), torch.ones(1))
    assert len(calls) == 2


ON_GPU = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]


@pytest.mark.parametrize(
    "family", [pytest.param(family, marks=ON_GPU) for family in ("sd1", "sdxl", *TRANSFORMERS)]
)
def test_sequential_offload_takes_less_memory_of_a_gpu(
    family: str, tiny_pipelines: SmallFolders, flow_folders: FlowFolders
) -> None:
    chosen: dict[str, Any] = {"device": "cuda", **SETTINGS.get(family, {})}
    if family in TRANSFORMERS:
        spec = spec_of(flow_folders[family], **chosen)
    else:
        spec = spec_of(tiny_pipelines[family], **chosen, max_sequence_length=None)

    def images_and_peak(offload: CpuOffload) -> tuple[list[Any], int]:
        """The images, and the most bytes that were allocated beyond those before opening."""
        gc.collect()
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        images = Backbone.open(replace(spec, cpu_offload=offload)).generate(PROMPTS, [1, 2])
        return images, torch.cuda.max_memory_allocated() - before

    # The first call also allocates the memory that CUDA's libraries keep.
    expected, _ = images_and_peak(offload=False)
    _, whole = images_and_peak(offload=False)
    _, by_network = images_and_peak(offload="model")
    images, by_layer = images_and_peak(offload="sequential")
    assert largest_difference(images, expected) <= 1
    assert by_layer < by_network < whole


@pytest.mark.parametrize("offload", [True, "sequential"])
@pytest.mark.parametrize("dtype", ["fp32", "bf16"])
@pytest.mark.parametrize("family", [pytest.param(family, marks=ON_GPU) for family in ("sd1", "sdxl", "sd3")])
def test_offload_on_a_gpu_gives_the_same_images(
    family: str, dtype: str, offload: CpuOffload, tiny_pipelines: SmallFolders, flow_folders: FlowFolders
) -> None:
    folder = flow_folders[family] if family == "sd3" else tiny_pipelines[family]
    settings = {"device": "cuda", "dtype": dtype, "resolution": SIDE}
    expected = opened(folder, **settings).generate(PROMPTS, [1, 2])
    offloaded = opened(folder, **settings, cpu_offload=offload)
    assert [p.tobytes() for p in offloaded.generate(PROMPTS, [1, 2])] == [p.tobytes() for p in expected]
    assert offloaded.state.leftovers(offloaded.pipe) == []
    assert not next(offloaded.network.parameters()).is_cuda


@pytest.mark.parametrize("family", [pytest.param(family, marks=ON_GPU) for family in ("sd1", "sdxl")])
def test_compilation_on_a_gpu(family: str, tiny_pipelines: SmallFolders) -> None:
    expected = opened(tiny_pipelines[family], device="cuda").generate(PROMPTS, [1, 2])
    compiled = opened(tiny_pipelines[family], device="cuda", compile=True)
    first = compiled.generate(PROMPTS, [1, 2])
    assert largest_difference(first, expected) <= 6
    with compiled.clean():
        compiled.network.set_attn_processor(compiled.pipe.unet.attn_processors)
    assert [p.tobytes() for p in compiled.generate(PROMPTS, [1, 2])] == [p.tobytes() for p in first]
