"""Recording and replaying, with a graph that computes again what was recorded, on the CPU."""

import pytest
import torch
from torch import nn

from core.hardware import cuda_graphs


class Graph:
    """Stand-in for a CUDA graph: a replay does the work again and fills the same tensors."""

    def pool(self):
        return id(self)

    def replay(self):
        for own, new in zip(self.results, self.compute(), strict=True):
            own.copy_(new)


def capture(graph, work, pool=None):
    def compute():
        result = work()
        return [x.detach() for x in result] if isinstance(result, tuple) else [result.detach()]

    result = work()
    graph.compute = compute
    graph.results = [x.detach() for x in (result if isinstance(result, tuple) else (result,))]
    return result


@pytest.fixture(autouse=True)
def graphs_on_the_cpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "CUDAGraph", Graph)
    monkeypatch.setattr(cuda_graphs, "capture", capture)


@torch.no_grad()
def test_a_replay_reads_new_inputs_and_weights():
    layer, x = nn.Linear(3, 2), torch.randn(4, 3)
    work = cuda_graphs.record(layer, [x])
    first = work(x)
    assert torch.equal(first, layer(x))
    kept = first.clone()
    layer.weight.mul_(2)
    other = torch.randn(4, 3)
    assert torch.equal(work(other), layer(other))
    assert torch.equal(first, kept)  # a later replay changes no result


def test_a_replay_gives_gradients_and_the_next_one_its_own():
    layer, unused = nn.Linear(3, 2, bias=False), nn.Parameter(torch.zeros(1))
    own, output, grad_output = torch.zeros(4, 3), torch.zeros(4, 2), torch.zeros(4, 2)
    grads = torch.zeros(2, 3), None
    forward, backward = Graph(), Graph()
    forward.results, forward.compute = [output], lambda: [layer(own).detach()]
    backward.results, backward.compute = grads[:1], lambda: [grad_output.mT @ own]
    graphs = cuda_graphs._Graphs(forward, backward, [own], output, grad_output, grads)
    for x in torch.randn(2, 4, 3):
        replayed = cuda_graphs._Replay.apply(graphs, (x,), layer.weight, unused)
        assert torch.equal(replayed, layer(x))
        layer.zero_grad()
        replayed.pow(2).sum().backward()
        (expected,) = torch.autograd.grad(layer(x).pow(2).sum(), [layer.weight])
        assert torch.allclose(layer.weight.grad, expected) and unused.grad is None
