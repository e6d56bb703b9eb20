"""Image tokens of each row in the attention of transformers, by the formulas and against diffusers."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from diffusers.models.transformers.transformer_flux import FluxIPAdapterAttnProcessor
from tiny_transformers import FlowFolders
from torch import Tensor

from methods.backbone.attention.token_layers import ImageTokens, TokenLayer, TokenSlot
from methods.backbone.backbone import Backbone
from methods.errors import MethodError

TOKENS = 5
PROMPTS = ["a photo of a man", "a photo of a dog"]
T = torch.tensor([300.0, 900.0])


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def layers_of(backbone: Backbone, slot: TokenSlot) -> dict[str, TokenLayer]:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return backbone.adapter_attention.token_layers(slot)


def tokens_of(backbone: Backbone) -> Tensor:
    """Tokens of two rows."""
    return 3 * random(2, TOKENS, backbone.adapter_attention.token_width, seed=1)


@torch.no_grad()
def predict(
    backbone: Backbone, image: ImageTokens | None, *, scale: float = 1.0, rows: slice = slice(None)
) -> Tensor:
    """The velocity with tokens in all layers; in the unchanged backbone without them."""
    x = random(2, 16, 8, 8)[rows]
    arguments = backbone.conditioning(backbone.encode_text(PROMPTS[rows]))
    if image is None:
        return backbone.predict(x, T[rows], arguments)
    slot = TokenSlot()
    slot.scale = scale
    slot.fill(image)
    with backbone.clean(), backbone.adapter_attention.replaced(layers_of(backbone, slot)):
        return backbone.predict(x, T[rows], arguments)


def test_every_block_that_reads_the_text_gets_a_layer(flow_backbone: Backbone) -> None:
    names = list(layers_of(flow_backbone, TokenSlot()))
    assert names == [f"transformer_blocks.{i}.attn.processor" for i in range(2)]


def test_scale_zero_and_no_tokens_give_exactly_the_backbone(flow_backbone: Backbone) -> None:
    tokens = ImageTokens(tokens_of(flow_backbone), None)
    plain = predict(flow_backbone, None)
    assert torch.equal(predict(flow_backbone, tokens, scale=0.0), plain)
    with flow_backbone.clean():
        attention = flow_backbone.adapter_attention
        with torch.no_grad(), attention.replaced(layers_of(flow_backbone, TokenSlot())):
            x, text = random(2, 16, 8, 8), flow_backbone.encode_text(PROMPTS)
            assert torch.equal(flow_backbone.predict(x, T, flow_backbone.conditioning(text)), plain)
    assert not torch.allclose(predict(flow_backbone, tokens), plain, atol=1e-3)


def test_rows_with_different_masked_tokens_equal_the_rows_alone(flow_backbone: Backbone) -> None:
    tokens, mask = tokens_of(flow_backbone), torch.ones(2, TOKENS, dtype=torch.bool)
    mask[1, 2:] = False
    both = predict(flow_backbone, ImageTokens(tokens, mask))
    first = predict(flow_backbone, ImageTokens(tokens[:1], None), rows=slice(0, 1))
    second = predict(flow_backbone, ImageTokens(tokens[1:, :2], None), rows=slice(1, 2))
    assert torch.allclose(both, torch.cat([first, second]), atol=1e-5)
    unmasked = predict(flow_backbone, ImageTokens(tokens[1:], None), rows=slice(1, 2))
    assert not torch.allclose(second, unmasked, atol=1e-3)


def test_wrong_number_of_rows_is_refused(flow_backbone: Backbone) -> None:
    with pytest.raises(MethodError, match="1 rows of tokens for 2 images"):
        predict(flow_backbone, ImageTokens(tokens_of(flow_backbone)[:1], None))


def test_joint_attention_adds_the_tokens_before_the_projection(flow_folders: FlowFolders) -> None:
    """`to_out` of the backbone's attention plus softmax(q k / sqrt d) v over the image tokens."""
    backbone = flow_folders.backbone("sd3")
    slot = TokenSlot()
    slot.scale = 0.7
    layers = layers_of(backbone, slot)
    name, layer = next(iter(layers.items()))
    attn = backbone.adapter_attention.module(name)
    torch.nn.init.normal_(layer.norm_k_ip.weight, generator=torch.Generator().manual_seed(3))
    tokens = tokens_of(backbone)
    slot.fill(ImageTokens(tokens, None))
    latents, text = random(2, 6, 64, seed=4), random(2, 3, 64, seed=5)
    inputs: list[Tensor] = []
    with torch.no_grad(), backbone.clean(), backbone.adapter_attention.replaced(layers):
        hook = attn.to_out[0].register_forward_pre_hook(lambda module, args: inputs.append(args[0]))
        output, context = attn(latents, encoder_hidden_states=text)
        hook.remove()
        slot.scale = 0.0
        _, plain_context = attn(latents, encoder_hidden_states=text)
        (inner,) = inputs
        q, k, v = attn.to_q(latents), layer.to_k_ip(tokens), layer.to_v_ip(tokens)
        heads = [x.unflatten(2, (attn.heads, -1)).transpose(1, 2) for x in (q, k, v)]
        q, k = attn.norm_q(heads[0]), normalised(heads[1]) * layer.norm_k_ip.weight
        image = (q @ k.transpose(2, 3) / q.shape[-1] ** 0.5).softmax(dim=3) @ heads[2]
        expected = attn.to_out[0](inner + 0.7 * image.transpose(1, 2).flatten(2))
    assert torch.allclose(output, expected, atol=1e-4)
    assert not torch.allclose(output, attn.to_out[0](inner), atol=1e-2)
    assert torch.equal(context, plain_context)


def normalised(x: Tensor) -> Tensor:
    return x * (x.square().mean(dim=-1, keepdim=True) + 1e-6).rsqrt()


def test_double_blocks_equal_diffusers_without_the_norm_of_keys(flow_folders: FlowFolders) -> None:
    backbone = flow_folders.backbone("flux")
    attention, slot, tokens = backbone.adapter_attention, TokenSlot(), tokens_of(backbone)
    slot.scale = 0.7
    slot.fill(ImageTokens(tokens, None))
    layers = layers_of(backbone, slot)
    theirs: dict[str, Any] = {}
    for name, layer in layers.items():
        layer.norm_k_ip = None
        theirs[name] = FluxIPAdapterAttnProcessor(64, 64, num_tokens=(TOKENS,), scale=0.7)
        for own, their in (
            (layer.to_k_ip, theirs[name].to_k_ip[0]),
            (layer.to_v_ip, theirs[name].to_v_ip[0]),
        ):
            their.load_state_dict({"weight": own.weight, "bias": torch.zeros(64)})
    x, arguments = random(2, 16, 8, 8), backbone.conditioning(backbone.encode_text(PROMPTS))
    with backbone.clean(), torch.no_grad():
        with attention.replaced(layers):
            own_output = backbone.predict(x, T, arguments)
        with attention.replaced(theirs):
            passed = {"joint_attention_kwargs": {"ip_hidden_states": [tokens]}}
            expected = backbone.predict(x, T, {**arguments, **passed})
    assert torch.allclose(own_output, expected, atol=1e-5)


def test_slot_gives_each_pass_its_tokens_in_turn() -> None:
    slot = TokenSlot()
    slot.begin_pass()
    assert slot.image is None
    first, second = (ImageTokens(torch.full((1, 1, 1), value), None) for value in (1.0, 2.0))
    slot.fill(first, second)
    seen = []
    for _ in range(3):
        slot.begin_pass()
        seen.append(slot.image)
    assert seen == [first, second, first]
    slot.fill(second)
    slot.begin_pass()
    assert slot.image is second
