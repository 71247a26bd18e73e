"""IQL, VDN, QMIX, AERIAL: what their mixers can say, and cannot, by the papers' own games."""

import numpy as np
import pytest
import torch

from games.keys import fold
from games.registry import make
from marl.algorithms.value_factorization.qmix import Aerial, Iql, Monotone, Qmix, QmixConfig, Vdn
from marl.learning.networks import generator_of
from marl.rollout.loop import Carry, play_episodes, rollout

UNIFORM = {"recurrent": False, "last_action": False, "epsilon_end": 1.0}
QTRAN = [[8, -12, -12], [-12, 0, 0], [-12, 0, 0]]
CLIMBING = [[11, -30, 0], [-30, 7, 6], [0, 0, 5]]


def trained(kind, game, steps, key=1, num_envs=64, length=8, **settings):
    """Train and return the learner."""
    venv = make(game, num_envs)
    made = kind(kind.Config(**settings), venv.spec, key=key, total_steps=1, device="cpu")
    seating = np.zeros((num_envs, venv.spec.num_players), np.int64)
    carry = Carry(venv, made.actors(), np.array([2], np.uint64), fold(key, np.arange(num_envs)))
    while made.steps < steps:
        made.update(rollout(venv, made.actors(), seating, carry, length), {0})
    return made


def greedy_return(made, game, count=1):
    venv = make(game, 1)
    seats = np.zeros((count, venv.spec.num_players), np.int64)
    played = list(play_episodes(venv, [made.agent()], np.array([4], np.uint64), fold(9, np.arange(count)), seats))
    return float(np.mean([episode.returns[0] for episode in played]))


def table(made):
    """Return Q_tot of every joint action of a matrix game for two [A, A]."""
    batch, size = made.batch(), made.spec.num_actions
    with torch.no_grad():
        rows, _ = made.team(batch.packed, batch.action_mask)
        q = batch.seats(rows)[0]  # [N, A]: every episode shows the same
        joint = torch.cartesian_prod(torch.arange(size), torch.arange(size))
        state = batch.global_state[:1].expand(len(joint), -1)
        return made.mix(q[torch.arange(2), joint], state).view(size, size).numpy()


def fitted(kind, game):
    """Fit a matrix game on many uniform episodes, at the end at a lower rate and in larger batches: exactly."""
    data = UNIFORM | {"replay_episodes": 200_000, "num_envs": 1024, "steps_per_update": 100}
    made = trained(kind, game, 150_000, **data, learning_rate=3e-3, batch_episodes=512)
    made.optimizers["all"].learning_rate = 3e-4
    for key in range(300):
        made.learn(made.lay_out(made.replay.sample(8192, key)))
        made.updates += 1
    return made


def error(values, payoffs):
    return float(((values - np.array(payoffs)) ** 2).mean())


def nxn(n):
    payoffs = np.zeros((n, n))
    payoffs[0], payoffs[:, 0], payoffs[0, 0] = -12, -12, 8
    return payoffs


class TestMixers:
    def test_monotone_and_negative(self):
        """dQ_tot/dQ_i >= 0 everywhere, and Q_tot may be negative: V has no absolute value."""
        mixer = Monotone(QmixConfig(), 3, 5, generator_of(1))
        q = (10 * torch.randn(1000, 3, generator=generator_of(2))).requires_grad_()
        state = torch.randn(1000, 5, generator=generator_of(3))
        value = mixer(q, state)
        value.sum().backward()
        assert q.grad.min() >= 0 and q.grad.max() > 0.01
        assert value.min() < 0 < value.max()

    def test_no_gradient_reaches_the_memories_through_aerials_mixer(self):
        made = trained(Aerial, "dec_tiger", 300, steps_per_update=100, batch_episodes=4)
        batch = made.batch()
        made.team.zero_grad()
        q, features = made.team(batch.packed, batch.action_mask)
        assert features.requires_grad and not made.mixer_state(batch, features).requires_grad
        made.mix(batch.taken(q.detach()), made.mixer_state(batch, features)).sum().backward()
        # Only the utilities' head could have had a gradient, and they were detached.
        assert all(p.grad is None or not p.grad.any() for p in made.team.parameters())

    def test_targets_are_mixed_from_the_targets_memories(self):
        made = trained(Aerial, "dec_tiger", 300, steps_per_update=100, batch_episodes=4)
        batch, seen = made.batch(), []
        made.target_mix.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[1]))
        before = batch.seats(made.target_team(batch.packed, batch.action_mask)[1])
        made.learn(batch)
        torch.testing.assert_close(seen[0], before)


@pytest.mark.parametrize("kind, best", [(Vdn, 7.0), (Qmix, 8.0)])
def test_the_two_step_game(kind, best):
    """VDN cannot tell that the second door is worth 8; QMIX can. With uniform exploration, exactly."""
    made = trained(kind, "two_step", 30_000, **UNIFORM, steps_per_update=32, learning_rate=2e-3, target_update=20)
    assert greedy_return(made, "two_step") == best


@pytest.mark.slow
@pytest.mark.parametrize("key", range(1, 6))
@pytest.mark.parametrize("kind, best", [(Vdn, 7.0), (Qmix, 8.0)])
def test_the_two_step_game_on_five_seeds(kind, best, key):
    made = trained(kind, "two_step", 40_000, key, **UNIFORM, steps_per_update=32, learning_rate=1e-3, target_update=50)
    assert greedy_return(made, "two_step") == best


@pytest.mark.slow
class TestFits:
    """Fits of uniform data converge to the best that the mixer can say: values computed by hand and by regression."""

    def test_vdn_on_qtrans_game(self):
        values = table(made := fitted(Vdn, "matrix(game=nxn, n=3)"))
        expected = [[-6.22, -4.89, -4.89], [-4.89, -3.56, -3.56], [-4.89, -3.56, -3.56]]
        np.testing.assert_allclose(values, expected, atol=0.1)
        assert error(values, QTRAN) == pytest.approx(50.57, rel=0.01)
        assert greedy_return(made, "matrix(game=nxn, n=3)") == 0

    def test_qmix_on_qtrans_game(self):
        values = table(fitted(Qmix, "matrix(game=nxn, n=3)"))
        # 35.56 is what training ends at; 32 the best monotone fit, by luck.
        assert min(abs(error(values, QTRAN) / best - 1) for best in (35.56, 32.0)) < 0.01

    @pytest.mark.parametrize("kind, best", [(Vdn, 26.21), (Qmix, 14.23)])
    def test_five_actions(self, kind, best):
        values = table(made := fitted(kind, "matrix(game=nxn, n=5)"))
        assert error(values, nxn(5)) == pytest.approx(best, rel=0.01)
        assert greedy_return(made, "matrix(game=nxn, n=5)") == 0

    @pytest.mark.parametrize("kind", [Vdn, Qmix])
    def test_climbing(self, kind):
        values = table(made := fitted(kind, "matrix(game=climbing)"))
        assert error(values, CLIMBING) == pytest.approx(175.09, rel=0.01)
        assert greedy_return(made, "matrix(game=climbing)") == 5


@pytest.mark.slow
def test_iql_values_each_player_by_itself():
    """The mean of a row and of a column of the payoffs, whatever the other does."""
    made = fitted(Iql, "matrix(game=climbing)")
    batch = made.batch()
    q = batch.seats(made.team(batch.packed, batch.action_mask)[0])[0].detach().numpy()
    np.testing.assert_allclose(q, [np.mean(CLIMBING, 1), np.mean(CLIMBING, 0)], atol=0.5)
