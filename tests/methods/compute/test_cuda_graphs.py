"""Networks as CUDA graphs: the same outputs and gradients as without, and a bound on the number of graphs."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from methods.compute import cuda_graphs
from methods.compute.cuda_graphs import MOST_SHAPES, GraphedNetwork


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 8), nn.SiLU(), nn.Linear(8, 4))


def inputs(rows: int, seed: int, device: str = "cpu") -> Tensor:
    values = torch.randn(rows, 4, generator=torch.Generator().manual_seed(seed))
    return values.to(device).requires_grad_()


def test_cpu_calls_the_network() -> None:
    plain = network()
    graphed = GraphedNetwork(plain)
    assert torch.equal(graphed(inputs(3, 0)), plain(inputs(3, 0)))
    assert graphed.graphs == {}


def test_graphs_are_recorded_by_shape_up_to_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a recorder in place of CUDA's; inputs of a further shape reach the network itself."""
    recorded: list[int] = []

    class OnGpu(Tensor):
        device = torch.device("cuda")

    def record(network: nn.Module, inputs: tuple[Tensor, ...]) -> nn.Module:
        recorded.append(len(inputs[0]))
        return nn.Identity()

    monkeypatch.setattr(cuda_graphs, "_recorded", record)
    graphed = GraphedNetwork(nn.Flatten(0))
    for _ in range(2):
        for rows in range(1, MOST_SHAPES + 2):
            output = graphed(torch.zeros(rows, 4).as_subclass(OnGpu))
            assert output.dim() == (2 if rows <= MOST_SHAPES else 1)
    assert recorded == list(range(1, MOST_SHAPES + 1))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_replayed_graphs_train_as_the_network_does() -> None:
    """Two shapes in one step, whose gradients add up, over several steps of an optimizer."""
    weights = []
    for graphs in (True, False):
        trained = network().cuda()
        run = GraphedNetwork(trained) if graphs else trained
        optimizer = torch.optim.AdamW(trained.parameters(), 1e-2, fused=True)
        for step in range(5):
            with torch.autocast("cuda", torch.bfloat16):
                loss = sum(
                    (run(inputs(rows, 10 * step + rows, "cuda")).float() ** 2).mean() for rows in (3, 5)
                )
            assert isinstance(loss, Tensor)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        weights.append(torch.cat([p.detach().flatten() for p in trained.parameters()]))
        assert not graphs or len(run.graphs) == 2
    start = torch.cat([p.detach().flatten() for p in network().parameters()]).cuda()
    assert (weights[0] - weights[1]).norm() < 1e-2 * (weights[0] - start).norm()
