"""HAPPO: players improve in turn, reweighted by those before them; the return of a one-step game never falls."""

import numpy as np
import pytest
import torch

from games.errors import UserError
from games.keys import fold_one, stream
from games.registry import make
from marl.algorithms.policy_gradient.batch import Batch
from marl.algorithms.policy_gradient.happo import Happo
from marl.algorithms.policy_gradient.ppo import actor_loss
from tests.marl.algorithms.policy_gradient.games import Player


def values(game, logits):
    """Return the expected return of a one-step team game [A, B] under softmax policies."""
    row, column = (torch.softmax(of_player, 0) for of_player in logits)
    return float(row @ game @ column)


def improved(game, logits, order, *, in_turn, clip=0.2, steps=30):
    """Return the logits after one update of every player on the exact expectation over joint actions."""
    old = [torch.log_softmax(of_player, 0) for of_player in logits]
    joint = old[0][:, None] + old[1][None, :]
    advantage = (game - values(game, logits)).reshape(-1)
    new, weight = list(logits), torch.ones(game.numel())
    for player in order:
        logit = logits[player].clone().requires_grad_()
        optimizer = torch.optim.SGD([logit], lr=0.3)
        spread = (lambda x: x[:, None]) if player == 0 else (lambda x: x[None, :])
        taken = spread(old[player]).expand_as(game).reshape(-1)
        best, kept = -np.inf, logits[player]
        for _ in range(steps):
            log_prob = spread(torch.log_softmax(logit, 0)).expand_as(game).reshape(-1)
            share = joint.reshape(-1).exp() * weight * game.numel()
            loss, logged = actor_loss(
                log_prob, torch.zeros(1), taken, advantage, clip=clip, entropy_coefficient=0.0, weight=share
            )
            if -float(logged["policy_loss"]) > best:
                best, kept = -float(logged["policy_loss"]), logit.detach().clone()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        new[player] = kept
        if in_turn:
            weight = weight * (spread(torch.log_softmax(kept, 0) - old[player]).expand_as(game).reshape(-1)).exp()
    return new


def changes(in_turn):
    """Yield the change of the return in each update, over updates of games drawn at random."""
    drawn = torch.Generator().manual_seed(4)
    for _ in range(12):
        # Whoever changes alone gains, and whoever changes with the other loses.
        game = torch.tensor([[0.0, 1.0], [1.0, 0.0]]) + 0.1 * torch.randn(2, 2, generator=drawn)
        logits = [torch.tensor([0.3, 0.0]) + 0.1 * torch.randn(2, generator=drawn) for _ in range(2)]
        for update in range(12):
            after = improved(game, logits, (0, 1) if update % 2 else (1, 0), in_turn=in_turn, clip=0.5)
            yield values(game, after) - values(game, logits)
            logits = after


def test_the_return_never_falls_when_players_improve_in_turn():
    """The clipped surrogate is at most the true gain, and equal to it before the first step: an exact guarantee."""
    assert min(changes(in_turn=True)) > -1e-5
    assert any(change < -1e-3 for change in changes(in_turn=False))  # at once, and without M, there is none


@pytest.mark.parametrize("recurrent", [False, True])
def test_weights_are_the_products_of_the_ratios_of_those_before(recurrent):
    player = Player("happo", "two_step", learning_rate=3e-2, recurrent=recurrent, minibatch_size=32)
    player.learn(1)
    learner, trajectory = player.learner, player.rollout()
    learn = trajectory.learnable([0])
    batches, _ = learner._batches(trajectory, learn, learner._shown(trajectory))
    order = np.random.default_rng(fold_one(stream(learner._key, "order"), learner._updates)).permutation([0, 1])
    before, columns = {}, {}
    for group, batch in learner._in_turn(batches, learn):
        columns[group] = batch.columns["weight"].clone()
        before[group] = batch.columns["old_log_prob"]
        learner._improve(group, batch, 0.01, np.random.default_rng(0), Ignored())
    assert list(columns) == order.tolist()
    first, second = order.tolist()
    assert (columns[first] == 1).all()
    # Both act at every step, so their rows are of the same steps, in the same order.
    expected = learner._ratios(first, batches[first])
    np.testing.assert_allclose(columns[second], expected, rtol=1e-5)
    assert np.abs(expected - 1).max() > 0.01


class Ignored:
    def add(self, logged):
        pass


def test_orders_differ_between_updates():
    learner = Player("happo", "two_step").learner
    learner._ratios = lambda group, batch: np.zeros(0)
    batches, orders = {group: Batch({}, None) for group in (0, 1)}, set()
    for learner._updates in range(8):
        empty = np.zeros((1, 1, 2), bool)
        orders.add(tuple(group for group, _ in learner._in_turn(batches, empty)))
    assert orders == {(0, 1), (1, 0)}


@pytest.mark.parametrize(
    "game, settings, said",
    [
        (
            "openspiel:kuhn_poker",
            {},
            r"happo needs a team game, .* and 'openspiel:kuhn_poker' is zero_sum: choose ippo",
        ),
        ("two_step", {"share_parameters": True}, r"got one network of all players, who then cannot improve in turn"),
        ("two_step", {"share_parameters": ((0, 1),)}, r"got one network of all players"),
    ],
)
def test_what_happo_cannot_learn_is_refused(game, settings, said):
    with pytest.raises(UserError, match=said):
        Happo(Happo.Config(**settings), make(game, 1).spec, key=0, total_steps=1, device="cpu")


@pytest.mark.parametrize("recurrent", [False, True])
def test_it_learns_the_two_step_game(recurrent):
    """8 at best, which both must want; 7 is safe."""
    player = Player("happo", "two_step", learning_rate=1e-2, recurrent=recurrent, minibatch_size=128, anneal=False)
    player.learn(60)
    trajectory = player.rollout(32)
    assert trajectory.reward[trajectory.terminated[1:]].mean() > 6.5
