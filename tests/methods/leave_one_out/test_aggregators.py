"""What every aggregator keeps: neither the order of the photographs nor absent ones change anything."""

from __future__ import annotations

import pytest
import torch

from methods import catalog
from methods.leave_one_out.aggregators import AGGREGATORS, AggregatedTokens, CaptionAttention, masked_median

WIDTH, CAPTION, TOKENS = 24, 10, 3

every_aggregator = pytest.mark.parametrize("name", AGGREGATORS)


def build(name: str) -> torch.nn.Module:
    """As after some training: no layer is silent any more."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        aggregator = AGGREGATORS[name](WIDTH, CAPTION, TOKENS).eval()
        for value in aggregator.parameters():
            torch.nn.init.normal_(value, std=0.2)
    return aggregator


def draw(n: int, rows: int = 2) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(n)
    tokens = torch.randn(rows, n, TOKENS, WIDTH, generator=generator)
    captions = torch.randn(rows, n, CAPTION, generator=generator)
    wanted = torch.randn(rows, CAPTION, generator=generator)
    return tokens, captions, wanted, torch.ones(rows, n, dtype=torch.bool)


def read(gathered: AggregatedTokens) -> torch.Tensor:
    """What a query reads of the set: the one thing that attention over its tokens can tell."""
    query = torch.randn(1, 5, WIDTH, generator=torch.Generator().manual_seed(9)).expand(
        len(gathered.tokens), -1, -1
    )
    mask = None if gathered.keep is None else gathered.keep[:, None]
    return torch.nn.functional.scaled_dot_product_attention(
        query, gathered.tokens, gathered.tokens, attn_mask=mask
    )


def test_the_table_and_the_catalogue_name_the_same() -> None:
    assert list(AGGREGATORS) == list(catalog.AGGREGATORS)


@every_aggregator
@pytest.mark.parametrize("n", [1, 2, 3, 8])
@torch.no_grad()
def test_the_order_of_the_photos_changes_nothing(name: str, n: int) -> None:
    aggregator = build(name)
    tokens, captions, wanted, mask = draw(n)
    order = torch.randperm(n, generator=torch.Generator().manual_seed(n + 1))
    straight = read(aggregator(tokens, captions, wanted, mask))
    turned = read(aggregator(tokens[:, order], captions[:, order], wanted, mask))
    assert straight.isfinite().all()
    assert torch.allclose(straight, turned, atol=1e-5)


@every_aggregator
@torch.no_grad()
def test_a_masked_batch_equals_its_sets_alone(name: str) -> None:
    aggregator = build(name)
    tokens, captions, wanted, _ = draw(5, rows=3)
    sizes = (1, 3, 5)
    mask = torch.arange(5)[None] < torch.tensor(sizes)[:, None]
    absent = ~mask
    tokens[absent], captions[absent] = float("nan"), float("nan")
    together = read(aggregator(tokens, captions, wanted, mask))
    for row, size in enumerate(sizes):
        pick = slice(row, row + 1)
        alone = aggregator(tokens[pick, :size], captions[pick, :size], wanted[pick], mask[pick, :size])
        assert torch.allclose(together[pick], read(alone), atol=1e-5)


@every_aggregator
@torch.no_grad()
def test_another_photo_changes_what_is_said(name: str) -> None:
    aggregator = build(name)
    tokens, captions, wanted, mask = draw(3)
    other = tokens.clone()
    other[:, 1] = 3 * other[:, 1] + 1
    assert not torch.allclose(
        read(aggregator(tokens, captions, wanted, mask)), read(aggregator(other, captions, wanted, mask))
    )


@every_aggregator
@torch.no_grad()
def test_blended_latents_keep_the_same_promises(name: str) -> None:
    aggregator = build(name)
    _, captions, wanted, mask = draw(4)
    latents = torch.randn(2, 4, 2, 3, 3, generator=torch.Generator().manual_seed(5))
    mask[1, 2:] = False
    blended = aggregator.blend(latents, captions, wanted, mask)
    assert blended.shape == (2, 2, 3, 3)
    order = torch.tensor([1, 0, 3, 2])
    turned = aggregator.blend(latents[:, order], captions[:, order], wanted, mask[:, order])
    assert torch.allclose(blended, turned, atol=1e-5)
    alone = aggregator.blend(latents[1:, :1], captions[1:, :1], wanted[1:], mask[1:, :1])
    assert torch.allclose(alone, latents[1:, 0], atol=1e-5)


@pytest.mark.parametrize("name", ["deep-sets", "attention", "caption-attention"])
@torch.no_grad()
def test_an_untrained_learned_aggregator_says_what_the_mean_says(name: str) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        aggregator = AGGREGATORS[name](WIDTH, CAPTION, TOKENS)
    tokens, captions, wanted, mask = draw(3)
    said = aggregator(tokens, captions, wanted, mask).tokens
    assert torch.allclose(said, tokens.mean(dim=1), atol=0.1)


def test_a_median_is_the_middle_and_of_two_their_mean() -> None:
    x = torch.tensor([[[3.0], [1.0], [2.0], [100.0]]])
    assert masked_median(x, torch.tensor([[True, True, True, False]])).item() == 2.0
    assert masked_median(x, torch.tensor([[True, True, True, True]])).item() == 2.5


@torch.no_grad()
def test_mean_and_max_are_what_they_say() -> None:
    tokens, captions, wanted, mask = draw(3)
    assert torch.allclose(build("mean")(tokens, captions, wanted, mask).tokens, tokens.mean(1), atol=1e-6)
    assert torch.equal(build("max")(tokens, captions, wanted, mask).tokens, tokens.amax(1))


@torch.no_grad()
def test_weights_of_photos_follow_their_captions_and_sum_to_one() -> None:
    aggregator = build("caption-attention")
    assert isinstance(aggregator, CaptionAttention)
    _, captions, wanted, mask = draw(4)
    mask[0, 3] = False
    weights = aggregator.weights(captions, wanted, mask)
    assert torch.allclose(weights.sum(2), torch.ones(2, TOKENS))
    assert (weights[0, :, 3] == 0).all()
    captions[:, 1] = captions[:, 0]
    twins = aggregator.weights(captions, wanted, mask)
    assert torch.allclose(twins[..., 0], twins[..., 1])
    assert not torch.allclose(weights, aggregator.weights(captions, wanted + 1, mask))
