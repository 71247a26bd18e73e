"""Rows: what a network says of one depends on that row alone, on this processor and on those that sum otherwise."""

from multiprocessing.reduction import ForkingPickler

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional

from games.keys import fold
from games.registry import make
from marl.algorithms.opponent_shaping.agent import ActorAgent
from marl.algorithms.opponent_shaping.networks import Head
from marl.algorithms.policy_gradient.ippo import IppoConfig
from marl.algorithms.policy_gradient.networks import ActorCritic
from marl.algorithms.value_factorization.agent import TeamAgent
from marl.algorithms.value_factorization.networks import Team, TeamNetworkConfig
from marl.algorithms.zero.muzero import MuZeroConfig, MuZeroInference, MuZeroNetwork
from marl.algorithms.zero.networks import PolicyValue, PolicyValueInference, folded
from marl.learning import rowwise
from marl.learning.backends import OpenVino
from marl.learning.networks import Network, generator_of, linear
from marl.learning.rowwise import BLOCK, PROBES, SMALLER, Rowwise, Sizes, kind_of, twin_of
from marl.rollout.types import View
from tests.properties import examples

SPEC = make("openspiel:connect_four", 1).spec
ROWS = 150


@pytest.fixture(autouse=True)
def unverified(monkeypatch):
    """Begin without what other tests have verified."""
    monkeypatch.setattr(rowwise, "_verified", {})


def policy_value(encoder="mlp", hidden=(96, 40), channels=8, blocks=1):
    return PolicyValue(SPEC, generator_of(3), encoder=encoder, hidden=hidden, channels=channels, blocks=blocks)


def views(rows=ROWS):
    return np.random.default_rng(0).random((rows, 3, 6, 7), np.float32), np.arange(rows) % 2


def judged(**computed):
    judge = PolicyValueInference(policy_value(), SPEC, "cpu", **computed)
    return lambda rows: np.concatenate(judge(*(x[rows] for x in views())), 1)


def imagined(**computed):
    network = MuZeroNetwork(MuZeroConfig(encoder="mlp", hidden=(72, 48)), SPEC, generator_of(3))
    made = MuZeroInference(network, SPEC, "cpu", **computed)
    hidden = np.random.default_rng(1).random((ROWS, 48), np.float32)

    def said(rows):
        imagined = made.recurrent(hidden[rows], np.arange(ROWS)[rows] % 7, np.arange(ROWS)[rows] % 2)
        return np.concatenate([imagined.hidden, imagined.logits, imagined.value, imagined.reward], 1)

    return said


def chosen(agent):
    """Return what an agent decides and remembers in some rows, and what its networks were told."""
    obs, player = views()
    hidden = agent.initial_hidden(ROWS)
    hidden = None if hidden is None else np.random.default_rng(2).random(hidden.shape, np.float32) // 0.1 * 0.1

    def said(rows):
        mask = np.ones((ROWS, 7), bool)
        view = View(obs[rows], mask[rows], player[rows], np.arange(ROWS)[rows], mask[rows, 0], fold(1, rows))
        decision, after = agent.act(view, None if hidden is None else hidden[rows])
        return decision.action[:, None] if after is None else np.concatenate([decision.action[:, None], after], 1)

    return said


def ippos():
    model = ActorCritic(IppoConfig(encoder="cnn", channels=(4,), hidden=(64,)), SPEC, generator_of(1), player_id=True)
    asked = Rowwise(model, "cpu")
    obs, player = views()
    return lambda rows: asked.ask("policy", obs[rows], np.ones((len(rows), 7), bool), player[rows])


def ippos_with_memory():
    config = IppoConfig(recurrent=True, hidden=(40,), hidden_size=24)
    asked = Rowwise(ActorCritic(config, SPEC, generator_of(1), player_id=True), "cpu")
    obs, player = views()
    hidden = np.random.default_rng(1).normal(size=(ROWS, 24)).astype(np.float32)
    return lambda rows: asked.ask("step", obs[rows], np.ones((len(rows), 7), bool), player[rows], hidden[rows])


def teams(share):
    config = TeamNetworkConfig(hidden=40, share_parameters=share)
    return chosen(TeamAgent(Team(config, SPEC, 1), "cpu"))


def pairs(memory):
    return chosen(ActorAgent(Head(126, 7, (40,), memory, 1), "cpu"))


COMPUTED = [{"precision": p, "backend": b} for b in ("torch", "openvino") for p in ("float32", "bfloat16")]
ASKED = {
    **{f"judge-{c['backend']}-{c['precision']}": lambda c=c: judged(**c) for c in COMPUTED},
    **{f"imagination-{c['backend']}-{c['precision']}": lambda c=c: imagined(**c) for c in COMPUTED},
    "ippo": ippos,
    "ippo-with-memory": ippos_with_memory,
    "team": lambda: teams(True),
    "team-each-its-own": lambda: teams(False),
    "head": lambda: pairs(24),
    "head-without-memory": lambda: pairs(0),
}
PARTS = [
    range(1),
    range(5),
    range(20, 61),
    range(10, 50),
    range(64, 128),
    range(149, 150),
    [7, 149, 3, 64, 80, 12, 99, 1, 30],
]


def holds(said):
    """Raise AssertionError unless a row is told the same in every batch."""
    whole = said(np.arange(ROWS))
    assert len(np.unique(whole, axis=0)) > 1
    for part in PARTS:
        np.testing.assert_array_equal(said(np.array(part)), whole[part])


@pytest.mark.processor
@pytest.mark.parametrize("asked", ASKED)
def test_what_is_said_of_a_row_does_not_depend_on_its_batch(asked):
    holds(ASKED[asked]())


@pytest.mark.processor
@pytest.mark.parametrize(
    "encoder, hidden, outputs", [("mlp", (32,), 7), ("cnn", (32,), 7), ("mlp", (256, 256), 7), ("mlp", (127, 5), 1)]
)
@settings(max_examples=examples(12))
@given(size=st.integers(1, 200), start=st.integers(0, 100))
def test_a_row_does_not_depend_on_its_batch(encoder, hidden, outputs, size, start):
    of = {"channels": (8,), "player_id": True, "output_gain": 1.0, "generator": generator_of(0)}
    asked = Rowwise(Network(SPEC, outputs, hidden=hidden, encoder=encoder, **of), "cpu")
    obs, player = views(300)
    part = slice(start, start + size)
    assert (asked.ask("forward", obs[part], player[part]) == asked.ask("forward", obs, player)[part]).all()


# Processors whose library sums some rows of a product in another order: which, by the number of rows.
PROCESSORS = {
    "small products": lambda rows: np.full(rows, rows < 16),
    "large products": lambda rows: np.full(rows, rows > 32),
    "rows beyond a multiple of 48": lambda rows: np.arange(rows) >= rows // 48 * 48,
    "rows beyond a multiple of 6": lambda rows: np.arange(rows) >= rows // 6 * 6,
    "the last row": lambda rows: np.arange(rows) == rows - 1,
    "every second row": lambda rows: np.arange(rows) % 2 == 1,
}
BLOCKS = dict(zip(PROCESSORS, (64, 64, 48, 48, 1, 1), strict=True))  # the largest that holds


def other_processor(monkeypatch, name):
    """Let linear layers sum as on that processor, and OpenVINO's results differ where those would."""
    sums_otherwise = PROCESSORS[name]

    def linear(x, weight, bias=None):
        half = torch.is_autocast_enabled("cpu")
        if half:
            x, weight, bias = (t.bfloat16().float() for t in (x, weight, bias))
        terms = x[:, None].double() * weight
        otherwise = torch.from_numpy(sums_otherwise(len(x)))[:, None]
        middle = x.shape[1] // 2
        sums = torch.where(
            otherwise,
            in_two(terms[..., ::2], terms[..., 1::2]),
            in_two(terms[..., :middle], terms[..., middle:]),
        )
        return (sums + bias).bfloat16() if half else sums + bias

    def answered(self, part, *inputs):
        said = ask(self, part, *inputs)
        rows = torch.from_numpy(sums_otherwise(len(said)))[:, None]
        return torch.where(rows, torch.nextafter(said, torch.tensor(np.inf)), said)

    ask = OpenVino.__call__
    monkeypatch.setattr(functional, "linear", linear)
    monkeypatch.setattr(OpenVino, "__call__", answered)


def in_two(some, others):
    """Sum terms [B, O, K] in two parts, each rounded to float32."""
    return some.sum(2).float() + others.sum(2).float()


@pytest.mark.parametrize("asked", ASKED)
@pytest.mark.parametrize("name", PROCESSORS)
def test_it_holds_on_processors_that_sum_otherwise(name, asked, monkeypatch):
    other_processor(monkeypatch, name)
    holds(ASKED[asked]())
    largest = BLOCKS[name]
    if largest == BLOCK:  # nothing limits it but what was asked for
        largest *= {"head": 4, "head-without-memory": 16}.get(asked, 1)
    assert {sizes.largest for sizes in rowwise._verified.values()} == {largest}


@pytest.mark.parametrize("name", PROCESSORS)
def test_those_processors_would_break_it(name, monkeypatch):
    """In blocks of 64, the last one padded to a multiple of 8, as if nothing had been verified."""
    other_processor(monkeypatch, name)
    monkeypatch.setattr(Sizes, "_probed", lambda *_: torch.zeros(PROBES, 1))
    with pytest.raises(AssertionError):
        holds(judged())


def test_lower_precision_hides_the_order_from_rows_but_not_from_the_twin(monkeypatch):
    """Almost every sum is rounded to the same bfloat16: nothing that a test of rows would find."""
    other_processor(monkeypatch, "small products")
    layer = nn.Sequential(linear(64, 2, 1.0, generator_of(1)))
    asked = Rowwise(layer, "cpu", precision="bfloat16")
    x = torch.randn(64, 64, generator=generator_of(2))
    few = torch.cat([asked._backend("forward", x[i : i + 8]) for i in range(0, 64, 8)])
    assert torch.equal(few, asked._backend("forward", x))
    asked("forward", x)
    (sizes,) = rowwise._verified.values()
    assert [sizes.size(rows) for rows in (1, 8, 16, 17)] == [16, 16, 16, 24]


@pytest.mark.parametrize(
    "network",
    [
        lambda: folded(policy_value("residual", channels=32, blocks=20)),
        lambda: folded(policy_value("mlp", hidden=(256,) * 6)),
        lambda: folded(policy_value("mlp", hidden=(5, 3))),
        lambda: Head(9, 2, (), 0, 1),
    ],
)
def test_the_twin_is_of_the_same_kind_and_its_numbers_are_finite(network):
    network = network()
    twin = twin_of(network)
    assert kind_of(twin) == kind_of(network)
    assert all(torch.equal(a, b) for a, b in zip(twin.parameters(), twin_of(network).parameters(), strict=True))
    Rowwise(network, "cpu")(*asked_of(network))
    (sizes,) = rowwise._verified.values()
    assert sizes._expected.isfinite().all() and sizes._expected.std() > 1e-3
    assert sizes._expected.abs().max() < 2**24  # small against the terms that cancel


def asked_of(network):
    if isinstance(network, Head):
        return "decide", torch.ones(1, 9), torch.ones(1, 2, dtype=torch.bool)
    return "forward", network.encode(torch.ones(1, 3, 6, 7), torch.zeros(1, dtype=torch.int64))


class Recorder(nn.Module):
    """A network that keeps what it was asked."""

    def __init__(self):
        super().__init__()
        self.asked = []

    def double(self, x):
        self.asked.append(x)
        return x * 2


@pytest.mark.parametrize("rows, blocks", [(1, [8]), (63, [64]), (64, [64]), (65, [64, 8]), (192, [64] * 3)])
def test_rows_are_asked_in_blocks_of_their_own_memory_and_every_row_comes_back(rows, blocks):
    recorder = Recorder()
    x = np.arange(1, rows + 1, dtype=np.float32)[:, None]
    assert Rowwise(recorder, "cpu").ask("double", x).tolist() == (2 * x).tolist()
    asked = recorder.asked
    assert [len(block) for block in asked] == blocks
    assert all(block.data_ptr() % 64 == 0 for block in asked)
    assert torch.cat(asked)[:, 0].tolist() == [*x[:, 0].tolist(), *[0.0] * (sum(blocks) - rows)]


def test_a_small_network_is_asked_in_larger_blocks():
    recorder = Recorder()
    Rowwise(recorder, "cpu", largest=256).ask("double", np.ones((600, 1), np.float32))
    assert [len(block) for block in recorder.asked] == [256, 256, 128]


def test_networks_of_one_kind_are_verified_once_in_a_process():
    asked = [Rowwise(linear(5, 20, 1.0, generator_of(seed)), "cpu") for seed in (1, 2)]
    said = asked[0].ask("forward", np.ones((3, 5), np.float32))
    (sizes,) = rowwise._verified.values()
    asked[1].ask("forward", np.ones((3, 5), np.float32))
    assert list(rowwise._verified.values()) == [sizes]
    assert asked[0].__getstate__()["_sizes"] == {}  # an actor that has played is sent to workers as one that has not
    again = ForkingPickler.loads(ForkingPickler.dumps(asked[0]))
    assert (again.ask("forward", np.ones((3, 5), np.float32)) == said).all()
    Rowwise(linear(5, 21, 1.0, generator_of(1)), "cpu").ask("forward", np.ones((3, 5), np.float32))
    Rowwise(linear(5, 20, 1.0, generator_of(1)), "cpu", precision="bfloat16").ask(
        "forward", np.ones((1, 5), np.float32)
    )
    assert len(rowwise._verified) == 3


def test_blocks_are_tried_from_the_largest_and_one_row_is_what_remains():
    tried = []

    def ask(x):
        tried.append(len(x))
        return x + torch.arange(len(x))[:, None]  # nothing but a row alone is the same in every place

    sizes = Sizes(ask, [torch.zeros(PROBES, 1)], 1024)
    assert sizes.largest == 1 and sizes.size(100) == 1
    assert list(dict.fromkeys(tried)) == [1024, *SMALLER]


def test_numbers_that_are_not_finite_verify_nothing():
    assert Sizes(lambda x: x * np.inf, [torch.ones(PROBES, 1)], BLOCK).largest == 1


def test_known_rows_repeat_what_the_first_layer_sums():
    """Of three planes no half of the planes repeats; products that do not cancel saturate a GRU, which hides orders."""
    like = torch.zeros(1, 3, 6, 7)
    flat = rowwise._probes(like, generator_of(0), convolves=False).flatten(1)
    assert torch.equal(flat[:, :63], flat[:, 63:])
    planes = rowwise._probes(like, generator_of(0), convolves=True)
    assert torch.equal(planes[:, 0], planes[:, 1]) and not torch.equal(planes[:, 0], planes[:, 2])
