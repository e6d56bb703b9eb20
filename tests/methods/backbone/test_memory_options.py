"""Options for small GPUs: the same pictures, nothing left behind, and refusals where they cannot be."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers.models.attention_processor import SlicedAttnProcessor
from peft import LoraConfig
from tiny_pipelines import SmallFolders
from torch._dynamo.exc import FailOnRecompileLimitHit

from methods.backbone.backbone import Backbone
from methods.backbone.memory_options import compiling, place
from methods.backbone.spec import BackboneSpec
from methods.errors import MethodError

SENTENCES = ["a photo of a man, smiling", "a photo of a woman, sad"]


def opened(path: Path, **settings: object) -> Backbone:
    chosen: dict[str, object] = {"steps": 2, "guidance": 3.0, "batch": 2, "device": "cpu", **settings}
    return Backbone.open(BackboneSpec(path=str(path), **chosen))  # type: ignore[arg-type]


def far(one: list[object], other: list[object]) -> float:
    """The largest difference of any pixel, of 255."""
    return max(
        float(np.abs(np.asarray(a).astype(int) - np.asarray(b)).max())
        for a, b in zip(one, other, strict=True)
    )


def test_sliced_attention_draws_the_same_and_is_gone_afterwards(family_backbone: Backbone) -> None:
    spec, seen = replace(family_backbone.spec, attention_slicing=True), set()
    sliced = replace(family_backbone, spec=spec)

    def look(*_: object) -> None:
        seen.update(type(p) for p in sliced.unet.attn_processors.values())

    hook = sliced.unet.register_forward_hook(look)
    drawn = sliced.generate(SENTENCES, [1, 2])
    hook.remove()
    assert seen == {SlicedAttnProcessor}
    assert far(drawn, family_backbone.generate(SENTENCES, [1, 2])) <= 2
    assert drawn[0].tobytes() == sliced.generate(SENTENCES[::-1], [2, 1])[1].tobytes()


def test_sliced_and_tiled_decoding_draws_nearly_the_same(sd_folder: Path) -> None:
    whole = opened(sd_folder).generate(SENTENCES, [1, 2])
    assert far(opened(sd_folder, vae_slicing=True).generate(SENTENCES, [1, 2]), whole) <= 1
    tiled = opened(sd_folder, vae_tiling=True, resolution=32)
    assert tiled.pipe.vae.use_tiling
    plain = opened(sd_folder, resolution=32).generate(SENTENCES, [1, 2])
    drawn = tiled.generate(SENTENCES, [1, 2])
    assert drawn[0].tobytes() != plain[0].tobytes()
    assert np.abs(np.asarray(drawn[0]).astype(int) - np.asarray(plain[0])).mean() < 40


def test_offloaded_networks_draw_the_same_and_count_as_clean(sd_folder: Path) -> None:
    """The hooks of offload, without a GPU to move to."""
    whole, backbone = opened(sd_folder), opened(sd_folder)
    place(backbone.pipe, replace(backbone.spec, cpu_offload=True), torch.device("cpu"))
    with backbone.clean():
        drawn = backbone.generate(SENTENCES, [1, 2])
        assert torch.equal(backbone.encode_text(SENTENCES).tokens, whole.encode_text(SENTENCES).tokens)
        latents = backbone.encode_images(drawn)
    assert far(drawn, whole.generate(SENTENCES, [1, 2])) == 0
    assert torch.equal(latents, whole.encode_images(drawn))
    with pytest.raises(MethodError, match="LoRA adapters"), backbone.clean(), torch.random.fork_rng():
        backbone.unet.add_adapter(LoraConfig(r=2, target_modules=["to_k"]), "left")
    assert far(drawn, backbone.generate(SENTENCES, [1, 2])) == 0


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"cpu_offload": True}, "cpu_offload is for a GPU"),
        ({"compile": True, "attention_slicing": True}, "compile and attention_slicing undo each other"),
        ({"resolution": 20}, "resolution 20; wanted is a multiple of"),
        ({"dtype": "fp8"}, "unknown dtype 'fp8'; known are fp32, fp16, bf16"),
    ],
)
def test_what_cannot_be_had_is_one_clear_line(
    tiny_pipelines: SmallFolders, settings: dict[str, object], told: str
) -> None:
    with pytest.raises(MethodError, match=told) as caught:
        opened(tiny_pipelines["sd1"], **settings)
    assert "\n" not in str(caught.value)


@pytest.mark.slow
def test_a_compiled_unet_draws_what_a_method_made_of_it(backbone: Backbone) -> None:
    """Traced, guarded and compiled anew as in earnest, but run by plain torch: no compiler is needed."""
    traced = torch.compile(backbone.unet, dynamic=False, backend="eager")
    compiled = replace(backbone, compiled=traced)
    plain = backbone.generate(SENTENCES, [1, 2])
    with compiled.clean():
        with torch.random.fork_rng():
            lora = LoraConfig(r=2, target_modules=["to_k"], init_lora_weights=False)
            compiled.unet.add_adapter(lora, "other")
        drawn = compiled.generate(SENTENCES, [1, 2])
        assert far(drawn, backbone.generate(SENTENCES, [1, 2])) == 0
        assert far(drawn, plain) > 0
        compiled.pipe.unload_lora_weights()
    assert far(compiled.generate(SENTENCES, [1, 2]), plain) == 0
    assert compiled.pipe.unet is backbone.unet


def test_when_too_many_versions_are_compiled_the_batch_begins_again() -> None:
    calls = []

    def call() -> torch.Tensor:
        calls.append(1)
        if len(calls) == 1:
            raise FailOnRecompileLimitHit
        return torch.ones(1)

    assert torch.equal(compiling(call), torch.ones(1))
    assert len(calls) == 2


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("family", ["sd1", "sdxl"])
def test_offload_and_compilation_on_a_gpu(family: str, tiny_pipelines: SmallFolders) -> None:
    whole = opened(tiny_pipelines[family], device="cuda")
    wanted = whole.generate(SENTENCES, [1, 2])
    offloaded = opened(tiny_pipelines[family], device="cuda", cpu_offload=True)
    assert [p.tobytes() for p in offloaded.generate(SENTENCES, [1, 2])] == [p.tobytes() for p in wanted]
    assert offloaded.state.leftovers(offloaded.pipe) == []
    compiled = opened(tiny_pipelines[family], device="cuda", compile=True)
    first = compiled.generate(SENTENCES, [1, 2])
    assert far(first, wanted) <= 6
    with compiled.clean():
        compiled.unet.set_attn_processor(compiled.pipe.unet.attn_processors)
    assert [p.tobytes() for p in compiled.generate(SENTENCES, [1, 2])] == [p.tobytes() for p in first]
