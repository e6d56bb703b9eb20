"""Textual-inversion files in the layouts in which they are shared, and refusals of all others."""

from __future__ import annotations

import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import DiffusionPipeline
from safetensors.torch import save_file
from torch import Tensor, nn

from methods.backbone.backbone import Backbone
from methods.backbone.families.text_features import text_encoders_of
from methods.errors import MethodError
from methods.subject import Request, Subject
from methods.textual_inversion.embeddings import FILES, word_embeddings
from methods.textual_inversion.pretrained import TextualInversionFolder
from methods.textual_inversion.published_file import embeddings_in, read_published

VECTORS = torch.arange(12.0).reshape(2, 6)
G_VECTORS = torch.arange(16.0).reshape(2, 8)
SDXL = [VECTORS, G_VECTORS]


def a1111(parameters: Any) -> dict[str, Any]:
    """What A1111's `Embedding.save` stores."""
    return {
        "string_to_token": {"*": 265},
        "string_to_param": parameters,
        "name": "ada",
        "step": 1500,
        "sd_checkpoint": "4bdfc29c",
        "sd_checkpoint_name": "sd-v1-5",
    }


def first_implementation() -> dict[str, Any]:
    """What the authors' `EmbeddingManager.save` stores."""
    parameters = nn.ParameterDict({"*": nn.Parameter(VECTORS)})
    return {"string_to_token": {"*": torch.tensor(265)}, "string_to_param": parameters}


LAYOUTS: dict[str, tuple[str, Any, list[Tensor]]] = {
    "diffusers": ("learned_embeds.bin", {"<ada>": VECTORS[0]}, [VECTORS[:1]]),
    "diffusers, several vectors": ("learned_embeds.safetensors", {"<ada>": VECTORS}, [VECTORS]),
    "A1111": ("ada.pt", a1111({"*": VECTORS}), [VECTORS]),
    "A1111, trainable": ("ada.pt", a1111({"*": VECTORS.clone().requires_grad_()}), [VECTORS]),
    "the authors'": ("embeddings.pt", first_implementation(), [VECTORS]),
    "emb_params": ("ada.safetensors", {"emb_params": VECTORS.half()}, [VECTORS]),
    "emb_params, pickled": ("ada.pt", {"emb_params": VECTORS}, [VECTORS]),
    "SDXL": ("ada.safetensors", {"clip_g": G_VECTORS, "clip_l": VECTORS}, SDXL),
    "cog-sdxl": ("embeddings.pti", {"text_encoders_0": VECTORS, "text_encoders_1": G_VECTORS}, SDXL),
    "SD 1.5 of the advanced script": ("ada_emb.safetensors", {"clip_l": VECTORS}, [VECTORS]),
}


def write(path: Path, content: Any) -> Path:
    if path.suffix in (".safetensors", ".pti"):
        save_file({name: value.clone() for name, value in content.items()}, path)
    else:
        torch.save(content, path)
    return path


@pytest.mark.parametrize("layout", LAYOUTS)
def test_published_layout_is_read(layout: str, tmp_path: Path) -> None:
    name, content, expected = LAYOUTS[layout]
    found = embeddings_in(write(tmp_path / name, content))
    assert all(map(torch.equal, found, expected))
    assert len(found) == len(expected)
    assert not any(rows.requires_grad for rows in found)


REFUSED: dict[str, tuple[str, Any, str]] = {
    "object": ("a.pt", {"*": types.SimpleNamespace(x=1)}, r"contains a pickled types\.SimpleNamespace"),
    "list": ("a.pt", [VECTORS], "no textual inversion"),
    "tensor": ("a.pt", VECTORS, "no textual inversion"),
    "text": ("a.pt", {"*": "vector"}, "no textual inversion"),
    "two words": (
        "a.pt",
        a1111({"*": VECTORS, "x": VECTORS}),
        r"2 tensors, such as \*; expected one embedding",
    ),
    "no word": ("a.pt", a1111({}), "0 tensors; expected one embedding"),
    "LoRA": ("a.safetensors", {"x.lora_A": VECTORS, "x.lora_B": VECTORS}, r"2 tensors, such as x\.lora_A"),
    "SD 3": (
        "a.safetensors",
        {"clip_l": VECTORS, "clip_g": G_VECTORS, "t5": VECTORS},
        "3 tensors, such as t5",
    ),
    "clip_g only": ("a.safetensors", {"clip_g": G_VECTORS}, "expected one embedding, or clip_l and clip_g"),
    "twice": ("a.safetensors", {"clip_l": VECTORS, "text_encoders_0": VECTORS}, "2 tensors, such as clip_l"),
    "three dimensions": ("a.pt", {"x": VECTORS[None]}, r"x has shape \(1, 2, 6\)"),
    "no vector": ("a.pt", {"x": VECTORS[:0]}, r"x has shape \(0, 6\)"),
    "integers": ("a.pt", {"x": VECTORS.long()}, "expected vectors of numbers"),
    "nan": ("a.pt", {"x": VECTORS * float("nan")}, "x is not finite"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_other_file_is_refused_in_one_line(case: str, tmp_path: Path) -> None:
    name, content, message = REFUSED[case]
    file = write(tmp_path / name, content)
    with pytest.raises(MethodError, match=message) as caught:
        embeddings_in(file)
    assert str(caught.value).startswith(f"{file}: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("suffix", [".pt", ".bin", ".safetensors", ".pti"])
@pytest.mark.parametrize("damage", [lambda b: b[: len(b) // 2], lambda b: b"<html>", lambda b: b""])
def test_cut_file_is_refused_in_one_line(
    suffix: str, damage: Callable[[bytes], bytes], tmp_path: Path
) -> None:
    file = write(tmp_path / f"a{suffix}", {"x": VECTORS})
    file.write_bytes(damage(file.read_bytes()))
    with pytest.raises(MethodError, match=rf"a\{suffix}: ") as caught:
        embeddings_in(file)
    assert "\n" not in str(caught.value)


def published_for(backbone: Backbone, folder: Path, *, vectors: int = 2) -> Path:
    """A file of the layout in which this family's embeddings are shared."""
    encoders = backbone.text_encoders
    generator = torch.Generator().manual_seed(4)
    rows = [torch.randn(vectors, e.config.hidden_size, generator=generator) for _, e, *_ in encoders]
    folder.mkdir(parents=True, exist_ok=True)
    if len(rows) == 1:
        return write(folder / "ada.pt", a1111({"*": rows[0]}))
    return write(folder / "ada.safetensors", {"clip_l": rows[0], "clip_g": rows[1]})


def test_file_of_another_family_is_refused(family_backbone: Backbone, tmp_path: Path) -> None:
    (first, *others) = word_embeddings(family_backbone, "woman")
    wide = write(tmp_path / "wide.pt", {"x": torch.cat([first, first])})
    several = {f"text_encoders_{i}": first for i in range(1 if others else 2)}
    cases = {
        write(tmp_path / "several.safetensors", several): "embeddings for . text encoders, this backbone has",
        (wide if not others else write(tmp_path / "g.pti", {"clip_l": first, "clip_g": first})): (
            "embeddings of width .*, this backbone's have"
        ),
    }
    for file, message in cases.items():
        with pytest.raises(MethodError, match=message):
            read_published([file], family_backbone)
    if others:
        uneven = {"clip_l": first[None], "clip_g": others[0].repeat(2, 1)}
        with pytest.raises(MethodError, match="1 and 2 vectors for the text encoders"):
            read_published([write(tmp_path / "uneven.safetensors", uneven)], family_backbone)


def test_diffusers_generates_the_same_image(
    family_backbone: Backbone, subject: Subject, tmp_path: Path
) -> None:
    file = published_for(family_backbone, tmp_path / "published" / "ada")
    method = TextualInversionFolder(str(tmp_path / "published"), "{token} {noun}")
    (tmp_path / "fit").mkdir()
    assert method.weights == (file,)
    method.fit(subject, tmp_path / "fit", backbone=family_backbone, seed=1)
    request = Request("a photo of {subject}, smiling", 3)
    (ours,) = method.load(tmp_path / "fit", backbone=family_backbone).generate([request])
    pipe = DiffusionPipeline.from_pretrained(
        family_backbone.folder, safety_checker=None, feature_extractor=None
    )
    pipe.set_progress_bar_config(disable=True)
    for rows, (tokenizer, encoder, *_) in zip(embeddings_in(file), text_encoders_of(pipe), strict=True):
        pipe.load_textual_inversion(rows, token="<ada>", tokenizer=tokenizer, text_encoder=encoder)
    theirs = pipe(
        ["a photo of <ada> woman, smiling"] * 2,
        num_inference_steps=2,
        guidance_scale=3.0,
        height=64,
        width=64,
        generator=[torch.Generator().manual_seed(3) for _ in range(2)],
    ).images[0]
    assert max(abs(a - b) for a, b in zip(ours.tobytes(), theirs.tobytes(), strict=True)) <= 1
    assert ours.tobytes() != family_backbone.generate(["a photo of a woman, smiling"], [3])[0].tobytes()
    assert family_backbone.state.leftovers(family_backbone.pipe) == []


def test_two_files_of_diffusers_are_one_fit_for_sdxl(
    family_backbone: Backbone, subject: Subject, tmp_path: Path
) -> None:
    folder = tmp_path / "published" / subject.id
    folder.mkdir(parents=True)
    for name, row in zip(FILES, word_embeddings(family_backbone, "woman"), strict=False):
        save_file({"<ada>": row[None]}, folder / name)
    (tmp_path / "fit").mkdir()
    method = TextualInversionFolder(str(tmp_path / "published"))
    assert method.unsupported_reason(subject) is None
    method.fit(subject, tmp_path / "fit", backbone=family_backbone, seed=1)
    (folder / "other.pt").touch()
    assert "leave one" in str(method.unsupported_reason(subject))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "path is not set"),
        ({"path": "/no/such/folder"}, "no such folder"),
        ({"path": ".", "trigger": "ada"}, r"trigger is 'ada'; expected \{token\} in it"),
    ],
)
def test_invalid_setting_is_refused(settings: dict[str, str], message: str) -> None:
    with pytest.raises(MethodError, match=message):
        TextualInversionFolder(**settings)


def test_too_many_vectors_for_a_prompt_are_refused(
    backbone: Backbone, subject: Subject, tmp_path: Path
) -> None:
    published_for(backbone, tmp_path / "published" / "ada", vectors=90)
    (tmp_path / "fit").mkdir()
    with pytest.raises(MethodError, match="a prompt of this text encoder has"):
        TextualInversionFolder(str(tmp_path / "published")).fit(
            subject, tmp_path / "fit", backbone=backbone, seed=1
        )
