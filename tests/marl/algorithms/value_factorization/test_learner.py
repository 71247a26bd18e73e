"""What learners from replayed episodes share: targets, batches, agents that act as they were trained, exact resume."""

import json
import signal
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from games.errors import UserError
from games.keys import fold
from games.registry import make
from marl.algorithms.value_factorization.agent import TeamAgent
from marl.algorithms.value_factorization.concaveq import ConcaveQ
from marl.algorithms.value_factorization.qmix import Aerial, Iql, Qmix, Vdn
from marl.learning.registry import configured
from marl.learning.returns import td_lambda
from marl.rollout.agent import Random
from marl.rollout.loop import Carry, rollout
from marl.rollout.types import View
from marl.training.train import train
from tests.marl.training.test_train import KILLED, config, lines, same
from tests.properties import examples

LEARNERS = [Iql, Vdn, Qmix, Aerial, ConcaveQ]
DYING = "predator_prey(size=4, predators=4, prey=2, horizon=12)"  # who catches is removed
TURNS = "openspiel:tiny_hanabi"
SMALL = {"batch_episodes": 4, "steps_per_update": 16, "hidden": 8, "epsilon_steps": 500}


def learner(kind, game, **changes):
    return kind(kind.Config(**SMALL | changes), make(game, 1).spec, key=5, total_steps=1, device="cpu")


def trained(kind, game, updates=6, num_envs=4, length=20, **changes):
    """Return a learner after some recordings, and the last one's metrics."""
    made, venv = learner(kind, game, **changes), make(game, num_envs)
    seating = np.zeros((num_envs, venv.spec.num_players), np.int64)
    carry = Carry(venv, made.actors(), np.array([2], np.uint64), fold(3, np.arange(num_envs)))
    for _ in range(updates):
        metrics = made.update(rollout(venv, made.actors(), seating, carry, length), {0})
    return made, metrics


class TestTargets:
    def test_by_hand(self):
        """Three steps; nothing is decided at step 1, so its reward belongs to the decision before it."""
        value = np.array([10.0, 99, 20, 40])[:, None, None].astype(np.float32)
        decided = np.array([True, False, True, False])[:, None, None]
        reward = np.array([1.0, 2, 4])[:, None, None].astype(np.float32)
        length = np.array([3])
        one = td_lambda(value, decided, reward, length, gamma=0.5, td_lambda=0.0)[:, 0, 0]
        assert one[[0, 2]].tolist() == [3 + 0.5 * 20, 4 + 0.5 * 40]
        all_of_it = td_lambda(value, decided, reward, length, gamma=0.5, td_lambda=1.0)[:, 0, 0]
        assert all_of_it[[0, 2]].tolist() == [3 + 0.5 * 24, 24]

    def test_the_dead_discount_what_their_team_is_paid_as_the_living_do(self):
        """The second player dies at step 1, and the team is paid 1, 2 and 4: both expect 1 + 0.5 (2 + 0.5 * 4) = 3."""
        decided = np.array([[1, 1], [1, 0], [1, 0], [0, 0]], bool)[:, None]  # [T+1, K, N]
        reward = np.array([1.0, 2, 4], np.float32)[:, None, None].repeat(2, axis=2)
        found = td_lambda(np.zeros(decided.shape, np.float32), decided, reward, np.array([3]), gamma=0.5, td_lambda=1.0)
        assert found[0, 0].tolist() == [3, 3]

    def test_a_value_behind_the_teams_decisions_is_discounted_by_each_of_them(self):
        """The second player waits at step 1 and decides again at step 2, or sees the end there, where V = 8."""
        value = np.array([[9, 9], [9, 9], [9, 8]], np.float32)[:, None]
        reward = np.ones((2, 1, 2), np.float32)
        for again in (True, False):
            decided = np.array([[1, 1], [1, 0], [again, again]], bool)[:, None]
            found = td_lambda(value, decided, reward, np.array([2]), gamma=0.5, td_lambda=0.0)
            assert found[0, 0, 1] == 1 + 0.5 * 1 + 0.25 * 8

    @given(st.integers(0, 2**32), st.floats(0, 1), st.just(0.0) | st.floats(0, 1))
    @settings(max_examples=examples(50))
    def test_where_everybody_decides_it_is_the_textbooks(self, seed, gamma, lam):
        draw = np.random.default_rng(seed)
        steps, episodes = 6, 4
        value = draw.normal(size=(steps + 1, episodes, 2)).astype(np.float32)
        reward = draw.normal(size=(steps, episodes, 2)).astype(np.float32)
        length = draw.integers(1, steps + 1, episodes)
        found = td_lambda(value, np.ones(value.shape, bool), reward, length, gamma=gamma, td_lambda=lam)
        for k in range(episodes):
            g = value[length[k], k]
            for t in reversed(range(length[k])):
                g = reward[t, k] + gamma * ((1 - lam) * value[t + 1, k] + lam * g)
                np.testing.assert_allclose(found[t, k], g, rtol=1e-4, atol=1e-4)

    @pytest.mark.parametrize("truncate, expected", [("true", 10.0), ("false", 6.513)])
    def test_a_cut_is_bootstrapped_and_an_end_is_not(self, truncate, expected):
        """One state that pays 1 ten times, with gamma 0.9: worth 10 where the recording was truncated."""
        made, _ = trained(
            Vdn,
            f"matrix(team=[[0.5]], steps=10, truncate={truncate}) | team_reward(how=sum)",
            updates=50,
            gamma=0.9,
            learning_rate=0.02,
            recurrent=True,
            steps_per_update=8,
            target_update=8,
        )
        batch = made.batch()
        q = made.mix(batch.taken(made.team(batch.packed, batch.action_mask)[0]), batch.global_state)[0, 0]
        assert q.item() == pytest.approx(expected, abs=0.1)


class Recorded(TeamAgent):
    """Do what was done before, and keep the outputs."""

    def choose(self, outputs, view):
        self.outputs = outputs
        return self.action


@pytest.mark.parametrize(
    "game", [DYING, TURNS, "two_step | messy(phi=0.2, steps=2)", "spread(horizon=7, local_ratio=0)"]
)
@pytest.mark.parametrize(
    "kind, changes",
    [
        (Vdn, {}),
        (Vdn, {"share_parameters": False}),
        (Vdn, {"recurrent": False}),
        (Vdn, {"dueling": True}),
        (Iql, {"dueling": True, "value_head": "hl_gauss", "value_range": (-5.0, 5.0)}),
    ],
)
def test_utilities_are_the_same_in_acting_and_in_training(game, kind, changes):
    made, _ = trained(kind, game, **changes)
    trajectory = made.replay.sample(8, 1)
    batch = made.lay_out(trajectory)
    predicted = made.team(batch.packed, batch.action_mask)[0]
    unrolled = batch.seats(made.team.utilities(predicted)).detach().numpy()  # [B, N, A]
    real = batch._inside
    agent = Recorded(made.team, "cpu")
    players = made.spec.num_players
    hidden = agent.initial_hidden(8 * players)
    compared = 0
    for t in range(len(trajectory.action)):
        k, p = np.nonzero(trajectory.acting[t])
        if len(k) == 0:
            continue
        rows, row = trajectory.index[t, k, p], k * players + p
        agent.action = trajectory.action[t, k, p]
        view = View(
            trajectory.obs[rows], trajectory.action_mask[rows], p, row, np.zeros(len(k), bool), fold(1, row), None
        )
        _, hidden[row] = agent.act(view, hidden[row])
        point = np.cumsum(real).reshape(real.shape)[t, k] - 1
        np.testing.assert_allclose(agent.outputs, unrolled[point, p], atol=1e-5)
        compared += len(k)
    assert compared > 10


@pytest.mark.parametrize("kind", LEARNERS)
@pytest.mark.parametrize("game", [DYING, TURNS, "foraging(size=5, food=1, horizon=9) | team_reward"])
def test_every_learner_learns_from_every_kind_of_team(kind, game):
    if game == TURNS and kind in (Qmix, ConcaveQ):
        with pytest.raises(UserError, match="use iql or vdn"):
            learner(kind, game)
        return
    for share in (True, False):
        _, metrics = trained(kind, game, share_parameters=share, standardise_rewards=True, td_lambda=0.5)
        assert metrics["updates"] > 0 and all(np.isfinite(value) for value in metrics.values())


@pytest.mark.parametrize("kind", LEARNERS)
def test_what_a_stranger_sees_at_a_cut_is_not_learned_from(kind):
    game = "spread(horizon=7, local_ratio=0)"
    one, twin = learner(kind, game), learner(kind, game)
    venv = make(game, 4)
    seating = np.zeros((4, venv.spec.num_players), np.int64)
    seating[:, 1] = 1
    roster = [*one.actors(), Random(venv.spec)]
    carry = Carry(venv, roster, np.array([2, 9], np.uint64), fold(3, np.arange(4)))
    for _ in range(6):
        trajectory = rollout(venv, roster, seating, carry, 20)
        one.update(trajectory, {0})
        trajectory.obs[trajectory.index[..., 1][trajectory.truncated[..., 1]]] += 1
        twin.update(trajectory, {0})
    assert one.updates > 0
    for name, module in one.modules.items():
        for ours, theirs in zip(module.parameters(), twin.modules[name].parameters(), strict=True):
            assert (ours == theirs).all()


def test_the_number_of_updates_does_not_depend_on_the_number_of_environments():
    few, _ = trained(Vdn, "two_step", updates=60, num_envs=2, length=10, steps_per_update=40)
    many, _ = trained(Vdn, "two_step", updates=6, num_envs=20, length=10, steps_per_update=40)
    assert few.steps == pytest.approx(many.steps, rel=0.02) and few.updates == pytest.approx(many.updates, abs=1)


@pytest.mark.parametrize("rate, far", [(3, True), (1, False), (1e-3, True)])
def test_targets_follow(rate, far):
    made, _ = trained(Qmix, "two_step", target_update=rate, learning_rate=0.01)
    apart = [
        (a - b).abs().max().item() for a, b in zip(made.team.parameters(), made.target_team.parameters(), strict=True)
    ]
    assert (max(apart) > 0) == far


def test_epsilon_falls_and_explores():
    made = learner(Vdn, "matrix(game=nxn, n=5)")
    assert made.epsilon == 1.0
    made.steps = 250
    assert made.epsilon == pytest.approx(0.525)
    made.steps = 10**6
    assert made.epsilon == pytest.approx(0.05)
    [actor] = made.actors()
    assert actor.epsilon == pytest.approx(0.05) and made.agent().epsilon == 0
    with pytest.raises(UserError, match="epsilon is a share of uniform actions, 0 to 1, got 2"):
        type(made).load_agent(made.config, made.spec, made.agent_state(), device="cpu", epsilon=2)


@pytest.mark.parametrize("kind", LEARNERS)
def test_a_learner_standardises_as_it_is_told(kind):
    """`true`, as earlier versions wrote it, is the mean and the deviation; the deviation alone pays no idle step."""
    for how in (False, "deviation", True, "mean_and_deviation"):
        made, _ = trained(kind, DYING, updates=3, standardise_rewards=how)
        assert made.config.standardise_rewards == ("mean_and_deviation" if how is True else how)
        sample, standard = made.replay.sample(8, 1), made.standards["rewards"]
        found, paid = made.lay_out(sample)._reward, sample.reward.mean(2)
        expected = standard.apply(paid, centre=how != "deviation") if how else paid
        np.testing.assert_allclose(found, expected, rtol=1e-5)
        assert (standard.count > 0) == bool(how)


@pytest.mark.parametrize(
    "name, settings, said",
    [
        ("vdn", {"standardise_rewards": "mean"}, "expected 'deviation', 'mean_and_deviation' or false, got 'mean'"),
        ("vdn", {"td_lambda": 1.5}, "'td_lambda' in .*: expected a number of at most 1, got 1.5"),
        ("qmix", {"gae_lambda": 0.5}, "unknown key 'gae_lambda' in .* of qmix; did you mean 'td_lambda'"),
        ("ippo", {"td_lambda": 0.5}, "unknown key 'td_lambda' in .* of ippo; did you mean 'gae_lambda'"),
        ("alphazero", {"standardise_rewards": "deviation"}, "unknown key 'standardise_rewards' in .* of alphazero"),
        ("qmix", {"value_head": "gauss"}, "expected 'scalar', 'categorical' or 'hl_gauss', got 'gauss'"),
        ("qmix", {"value_bins": 5}, "'value_bins' in .*: expected a number of at least 8, got 5"),
        ("vdn", {"value_range": [2, 1]}, "'value_range' in .*: expected the lowest return, then the highest, got"),
        ("concaveq", {"value_head": "hl_gauss"}, "unknown key 'value_head' in .* of concaveq"),
        ("ippo", {"value_head": "hl_gauss"}, "unknown key 'value_head' in .* of ippo"),
        ("alphazero", {"value_range": [0, 1]}, "unknown key 'value_range' in .* of alphazero"),
    ],
)
def test_a_setting_that_does_not_fit_is_one_sentence(name, settings, said):
    with pytest.raises(UserError, match=said) as refused:
        configured({"name": name} | settings, "algorithm")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("kind", LEARNERS)
def test_what_is_refused(kind):
    for game, why in [
        ("openspiel:tic_tac_toe", r"needs a team, .* is zero-sum: use ippo$"),
        ("matrix(game=prisoners_dilemma)", r"is general-sum: append ' \| team_reward' to the game, or use ippo$"),
        ("pettingzoo:mpe2.simple_spread_v3(local_ratio=0, continuous_actions=True)", "discrete"),
    ]:
        with pytest.raises(UserError, match=why):
            learner(kind, game)
    with pytest.raises(UserError, match="set replay_episodes to"):
        learner(kind, "foraging | team_reward", replay_episodes=2 * 10**9)


def test_what_stands_in_for_a_missing_global_state_is_said():
    without = "tests.plugin_package.my_games:Rendezvous"
    made, metrics = trained(Qmix, without)
    assert "all players' views stand in" in made.notes[0] and made.batch().global_state.shape[1] == 2 * 16
    assert metrics["updates"] > 0
    assert learner(Vdn, without).notes == learner(Qmix, "two_step").notes == []


TEAM = {
    "game": DYING,
    "steps": 600,
    "stretch": 200,
    "num_envs": 4,
    "evaluation": {"panel": ("self",), "seeds": 2},
    "opponents": {},
}


@pytest.mark.parametrize(
    "algorithm",
    [
        *({"name": name} for name in ("iql", "vdn", "qmix", "aerial", "concaveq")),
        {"name": "iql", "value_head": "categorical", "dueling": True},
        {"name": "qmix", "value_head": "hl_gauss"},
    ],
)
def test_killed_and_resumed_is_as_if_nothing_had_been(algorithm, tmp_path):
    made = config(**TEAM, algorithm=algorithm | SMALL)
    train(made, tmp_path / "whole", resume=False)
    half = made.model_copy(update={"steps": 400})
    program = [sys.executable, "-c", KILLED, str(tmp_path / "half"), json.dumps(half.model_dump(mode="json")), "8"]
    assert subprocess.run(program, check=False).returncode == -signal.SIGKILL
    train(half, tmp_path / "half", resume=True)
    train(made, tmp_path / "half", resume=True)
    assert same(tmp_path / "whole", tmp_path / "half")
    assert lines(tmp_path / "whole" / "metrics.jsonl")[-1]["updates"] > 10


@pytest.mark.parametrize("whole", [True, False])
def test_every_episode_that_was_begun_is_learned_from(whole, tmp_path, monkeypatch):
    """Those too that are open where a stretch ends: whoever drops them keeps short ones rather than long ones."""
    begun, kept, update = [], [], Vdn.update

    def counted(self, trajectory, mine):
        fresh = slice(trajectory.recorded, len(trajectory.action))
        begun.append((trajectory.first[fresh] & trajectory.played[fresh]).sum())
        metrics = update(self, trajectory, mine)
        kept.append(len(self.replay))
        return metrics

    monkeypatch.setattr(Vdn, "update", counted)
    monkeypatch.setattr(Vdn, "whole_episodes", whole)
    made = config(**TEAM | {"stretch": 100, "rollout_length": 5}, algorithm={"name": "vdn"} | SMALL)
    train(made, tmp_path / "run", resume=False)
    assert kept[-1] == sum(begun) if whole else kept[-1] < sum(begun) - 10


def test_episodes_without_an_end_at_most_double_a_stretch(tmp_path):
    game = DYING.replace("horizon=12", "horizon=10000")
    made = config(
        **TEAM | {"game": game, "rollout_length": 5, "evaluation": {"panel": ()}},
        algorithm={"name": "vdn", "replay_episodes": 9},
    )
    folder = train(made, tmp_path / "run", resume=False)
    assert made.steps <= int(folder.name) <= 2 * made.steps + 4 * 5


def test_true_in_an_old_runs_config_is_the_mean_and_the_deviation(tmp_path):
    """As earlier versions wrote it: the run goes on with the word, and is refused with another."""
    now = config(**TEAM, algorithm={"name": "vdn", "standardise_rewards": "mean_and_deviation"} | SMALL)
    train(now.model_copy(update={"steps": 200}), tmp_path / "run", resume=False)
    path = tmp_path / "run" / "config.yaml"
    path.write_text(path.read_text().replace("standardise_rewards: mean_and_deviation", "standardise_rewards: true"))
    train(now, tmp_path / "run", resume=True)
    other = config(**TEAM, algorithm={"name": "vdn", "standardise_rewards": "deviation"} | SMALL)
    with pytest.raises(
        UserError, match=r"begun with algorithm.standardise_rewards: 'mean_and_deviation', .* 'deviation'"
    ):
        train(other, tmp_path / "run", resume=True)
