import subprocess
import sys

import pytest
import torch
from torch import nn

from marl.learning.networks import generator_of, mlp
from marl.learning.optimizers import Adam, RMSprop

MAX_NORM = 0.3


def network(seed=0):
    return mlp((5, 7, 3), generator_of(seed))


def loss_of(net, k):
    x = torch.linspace(-1, 1, 20).reshape(4, 5) * (k + 1)
    return (net(x) ** 2).sum() if k % 2 else net[0](x).square().mean()  # every other loss does not reach the last layer


@pytest.mark.parametrize(
    ("ours", "theirs", "eps"),
    [
        (Adam, lambda p: torch.optim.Adam(p, lr=0.01, eps=1e-8, fused=True), 1e-8),
        (RMSprop, lambda p: torch.optim.RMSprop(p, lr=0.01, alpha=0.99, eps=1e-5, foreach=True), 1e-5),
    ],
)
def test_steps_are_those_of_torch_bit_for_bit(ours, theirs, eps):
    mine, other = network(), network()
    optimizer = ours(mine.parameters(), learning_rate=0.01, eps=eps, max_norm=MAX_NORM)
    reference = theirs(other.parameters())
    for k in range(6):
        norm = optimizer.descend(loss_of(mine, k))
        reference.zero_grad()
        loss_of(other, k).backward()
        expected = nn.utils.clip_grad_norm_(other.parameters(), MAX_NORM)
        reference.step()
        assert norm.shape == (1,)
        assert torch.equal(norm[0], expected)
        assert expected > MAX_NORM  # or nothing was clipped
        assert all(torch.equal(a, b) for a, b in zip(mine.parameters(), other.parameters(), strict=True))


def test_each_group_is_clipped_alone():
    net = nn.ParameterList([torch.tensor([1.0, 0.0]), torch.tensor([1.0])])
    optimizer = RMSprop([net[0]], [net[1]], learning_rate=1.0, eps=0.0, max_norm=1.0)
    norms = optimizer.descend(3 * net[0][0] + 4 * net[0][1] + 0.5 * net[1][0])
    torch.testing.assert_close(norms, torch.tensor([5.0, 0.5]))
    squares = torch.cat([optimizer.state()[f"{i}.square_avg"] for i in range(2)])
    torch.testing.assert_close(squares, 0.01 * torch.tensor([0.6, 0.8, 0.5]) ** 2)


@pytest.mark.parametrize("kind", [Adam, RMSprop])
def test_state_round_trip(kind):
    nets = network(0), network(1)
    first, second = (kind(n.parameters(), learning_rate=0.1, eps=1e-8, max_norm=1.0) for n in nets)
    first.descend(loss_of(nets[0], 1))
    nets[1].load_state_dict(nets[0].state_dict())
    second.load_state({name: tensor.clone() for name, tensor in first.state().items()})
    first.descend(loss_of(nets[0], 3)), second.descend(loss_of(nets[1], 3))
    assert all(torch.equal(a, b) for a, b in zip(nets[0].parameters(), nets[1].parameters(), strict=True))


def test_learning_does_not_import_the_compiler():
    code = """
import sys, torch
from marl.learning.networks import generator_of, mlp
from marl.learning.optimizers import Adam
net = mlp((3, 2), generator_of(0))
assert Adam(net.parameters(), learning_rate=0.1, eps=1e-8, max_norm=1.0).descend(net(torch.ones(3)).sum()) > 0
sys.exit(bool({"torch._dynamo", "torch.fx.experimental.symbolic_shapes"} & set(sys.modules)))
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
