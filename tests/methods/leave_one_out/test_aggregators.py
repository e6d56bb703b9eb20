"""Properties of every aggregator: photo order and absent photos do not change the result."""

from __future__ import annotations

import pytest
import torch

from methods import catalog
from methods.backbone.attention.token_layers import ImageTokens
from methods.leave_one_out.aggregators import AGGREGATORS, CaptionAttention, masked_median

WIDTH, CAPTION, TOKENS = 24, 10, 3

every_aggregator = pytest.mark.parametrize("name", AGGREGATORS)


def build(name: str) -> torch.nn.Module:
    """An aggregator whose layers are all non-zero, as after training."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        aggregator = AGGREGATORS[name](WIDTH, CAPTION, TOKENS).eval()
        for value in aggregator.parameters():
            torch.nn.init.normal_(value, std=0.2)
    return aggregator


def random_set(n: int, rows: int = 2) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(n)
    tokens = torch.randn(rows, n, TOKENS, WIDTH, generator=generator)
    captions = torch.randn(rows, n, CAPTION, generator=generator)
    prompt = torch.randn(rows, CAPTION, generator=generator)
    return tokens, captions, prompt, torch.ones(rows, n, dtype=torch.bool)


def attend_to(aggregated: ImageTokens) -> torch.Tensor:
    """Attention output of fixed queries: all that a U-Net can observe of the tokens."""
    query = torch.randn(1, 5, WIDTH, generator=torch.Generator().manual_seed(9)).expand(
        len(aggregated.tokens), -1, -1
    )
    mask = None if aggregated.mask is None else aggregated.mask[:, None]
    return torch.nn.functional.scaled_dot_product_attention(
        query, aggregated.tokens, aggregated.tokens, attn_mask=mask
    )


def test_catalogue_lists_every_aggregator() -> None:
    assert list(AGGREGATORS) == list(catalog.AGGREGATORS)


@every_aggregator
@pytest.mark.parametrize("n", [1, 2, 3, 8])
@torch.no_grad()
def test_photo_order_does_not_change_the_result(name: str, n: int) -> None:
    aggregator = build(name)
    tokens, captions, prompt, mask = random_set(n)
    order = torch.randperm(n, generator=torch.Generator().manual_seed(n + 1))
    original = attend_to(aggregator(tokens, captions, prompt, mask))
    reordered = attend_to(aggregator(tokens[:, order], captions[:, order], prompt, mask))
    assert original.isfinite().all()
    assert torch.allclose(original, reordered, atol=1e-5)


@every_aggregator
@torch.no_grad()
def test_masked_batch_equals_its_sets_processed_separately(name: str) -> None:
    aggregator = build(name)
    tokens, captions, prompt, _ = random_set(5, rows=3)
    sizes = (1, 3, 5)
    mask = torch.arange(5)[None] < torch.tensor(sizes)[:, None]
    absent = ~mask
    tokens[absent], captions[absent] = float("nan"), float("nan")
    together = attend_to(aggregator(tokens, captions, prompt, mask))
    for row, size in enumerate(sizes):
        pick = slice(row, row + 1)
        alone = aggregator(tokens[pick, :size], captions[pick, :size], prompt[pick], mask[pick, :size])
        assert torch.allclose(together[pick], attend_to(alone), atol=1e-5)


@every_aggregator
@torch.no_grad()
def test_every_photo_influences_the_result(name: str) -> None:
    aggregator = build(name)
    tokens, captions, prompt, mask = random_set(3)
    other = tokens.clone()
    other[:, 1] = 3 * other[:, 1] + 1
    assert not torch.allclose(
        attend_to(aggregator(tokens, captions, prompt, mask)),
        attend_to(aggregator(other, captions, prompt, mask)),
    )


@every_aggregator
@torch.no_grad()
def test_blended_latents_ignore_order_and_absent_photos(name: str) -> None:
    aggregator = build(name)
    _, captions, prompt, mask = random_set(4)
    latents = torch.randn(2, 4, 2, 3, 3, generator=torch.Generator().manual_seed(5))
    mask[1, 2:] = False
    blended = aggregator.blend(latents, captions, prompt, mask)
    assert blended.shape == (2, 2, 3, 3)
    order = torch.tensor([1, 0, 3, 2])
    reordered = aggregator.blend(latents[:, order], captions[:, order], prompt, mask[:, order])
    assert torch.allclose(blended, reordered, atol=1e-5)
    alone = aggregator.blend(latents[1:, :1], captions[1:, :1], prompt[1:], mask[1:, :1])
    assert torch.allclose(alone, latents[1:, 0], atol=1e-5)


@pytest.mark.parametrize("name", ["deep-sets", "attention", "caption-attention"])
@torch.no_grad()
def test_untrained_learned_aggregator_outputs_the_mean(name: str) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        aggregator = AGGREGATORS[name](WIDTH, CAPTION, TOKENS)
    tokens, captions, prompt, mask = random_set(3)
    output = aggregator(tokens, captions, prompt, mask).tokens
    assert torch.allclose(output, tokens.mean(dim=1), atol=0.1)


def test_masked_median_of_odd_and_even_counts() -> None:
    x = torch.tensor([[[3.0], [1.0], [2.0], [100.0]]])
    assert masked_median(x, torch.tensor([[True, True, True, False]])).item() == 2.0
    assert masked_median(x, torch.tensor([[True, True, True, True]])).item() == 2.5


@torch.no_grad()
def test_mean_and_max_equal_the_tensor_operations() -> None:
    tokens, captions, prompt, mask = random_set(3)
    assert torch.allclose(build("mean")(tokens, captions, prompt, mask).tokens, tokens.mean(1), atol=1e-6)
    assert torch.equal(build("max")(tokens, captions, prompt, mask).tokens, tokens.amax(1))


@torch.no_grad()
def test_photo_weights_depend_on_captions_and_sum_to_one() -> None:
    aggregator = build("caption-attention")
    assert isinstance(aggregator, CaptionAttention)
    _, captions, prompt, mask = random_set(4)
    mask[0, 3] = False
    weights = aggregator.weights(captions, prompt, mask)
    assert torch.allclose(weights.sum(2), torch.ones(2, TOKENS))
    assert (weights[0, :, 3] == 0).all()
    captions[:, 1] = captions[:, 0]
    equal_captions = aggregator.weights(captions, prompt, mask)
    assert torch.allclose(equal_captions[..., 0], equal_captions[..., 1])
    assert not torch.allclose(weights, aggregator.weights(captions, prompt + 1, mask))
