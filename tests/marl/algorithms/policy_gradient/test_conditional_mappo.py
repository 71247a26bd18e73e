"""Conditional MAPPO: players choose in turn, policies reach the exact improvement, and whole teams play alone."""

import numpy as np
import pytest
import torch

import marl
from games.errors import UserError
from games.keys import draw, fold
from games.registry import make
from games.wrappers import TeamReward
from marl.algorithms.co_training import Versus
from marl.algorithms.policy_gradient.conditional import NONE, actions_before
from marl.algorithms.policy_gradient.conditional_mappo import (
    RATIOS,
    ConditionalMappo,
    ConditionalMappoConfig,
    divergence,
    improved,
)
from marl.rollout.loop import play_episodes
from marl.rollout.types import View
from marl.training.config import TrainConfig
from marl.training.train import check, train
from tests.marl.algorithms.policy_gradient.games import Aim, Player, Skirmish
from tests.marl.training.test_train import lines
from tournaments.populations.partners.config import PartnersConfig
from tournaments.tournament import TournamentConfig, field

USUAL = {"hidden": (64, 64)}
UNEQUAL = "matrix(team=[[1, 0, 2], [0, 3, 1]])"  # players of two and of three actions


def team(venv=None, **settings):
    return Player("conditional_mappo", TeamReward(Skirmish(16)) if venv is None else venv, **settings)


def learned(game, updates, num_envs=256, **settings):
    """Return a player that has learned a one-step game, and what its team is paid then."""
    player = team(venv=make(game, num_envs), **(USUAL | settings))
    player.learn(updates, length=2)
    trajectory = player.rollout(2)
    return player, float(trajectory.reward[trajectory.terminated[1:]].mean())


@pytest.mark.parametrize(("game", "best"), [("climbing", 11), ("penalty", 10), ("nxn", 8)])
def test_it_finds_the_best_joint_action(game, best):
    """Where independent players stop at 7, 2 and 0."""
    assert learned(f"matrix(game={game})", 25, hidden=(32, 32))[1] == pytest.approx(best, abs=0.2)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(
    ("game", "best", "games"), [("climbing", 11, 256), ("penalty", 10, 256), ("nxn", 8, 256), ("penalty", 10, 1024)]
)
def test_it_finds_the_best_joint_action_with_every_seed(game, best, games, seed):
    assert learned(f"matrix(game={game})", 40, games, seed=seed)[1] == pytest.approx(best, abs=0.2)


def test_without_conditions_it_does_not(monkeypatch):
    """The wrong variant: nobody sees what those before it do."""
    blind = lambda joint, player, count: actions_before(torch.full_like(joint, NONE), player, count)  # noqa: E731
    monkeypatch.setattr("marl.algorithms.policy_gradient.conditional_mappo.actions_before", blind)
    monkeypatch.setattr(ConditionalMappo, "advantages", marginal)
    assert learned("matrix(game=penalty)", 25, hidden=(32, 32))[1] == pytest.approx(2, abs=0.5)


def marginal(learner, sample, player):
    """Return each action's mean return among the games in which it was taken, in deviations."""
    taken, target = sample.joint[:, player], sample.value_target
    means = [target[taken == a].mean() if (taken == a).any() else target.mean() for a in range(3)]
    return ((torch.stack(means) - target.mean()) / 40).expand(len(taken), 3)


def test_advantages_sum_to_q_minus_v():
    """Over the players who act; one who does not has no advantage."""
    player = team()
    player.learn(2)
    learner = player.learner
    sample, _ = learner._sample(player.rollout(), [0])
    total = torch.zeros(len(sample.joint))
    for m, turn in enumerate(sample.turns):
        total[turn.step] += learner.advantages(sample, m).gather(1, turn.action[:, None])[:, 0]
    with torch.no_grad():
        gap = learner.values(sample.state, sample.joint, 3) - learner.values(sample.state, sample.joint, 0)
    assert (sample.joint == NONE).any() and gap.abs().max() > 0.01
    torch.testing.assert_close(total, gap, atol=1e-5, rtol=0)


def test_actions_before_are_one_hots_of_those_who_act():
    joint = torch.tensor([[2, NONE, 1], [0, 1, 2]])
    hots = actions_before(joint, 2, 3).reshape(2, 3, 3)
    assert hots.argmax(2)[:, 0].tolist() == [2, 0] and hots[1, 1].tolist() == [0, 1, 0]
    assert hots[0, 1].sum() == 0 and hots[:, 2].sum() == 0


def test_the_improvement_is_the_best_of_all_policies():
    """Of 20,000 random policies none is better, and a shift of the advantages does not change it."""
    drawn = torch.Generator().manual_seed(1)
    old, advantage = (torch.randn(1, 4, generator=drawn) for _ in range(2))
    old = torch.log_softmax(old, 1)
    best = improved(old, advantage, beta=0.7, entropy_coefficient=0.2)

    def worth(log_probs):
        probs = log_probs.exp()
        return (probs * (advantage - 0.2 * log_probs)).sum(1) - 0.7 * divergence(log_probs, old)

    near = torch.log_softmax(best + 0.5 * torch.randn(20_000, 4, generator=drawn), 1)
    assert worth(near).max() < worth(best) < worth(near).max() + 0.01
    torch.testing.assert_close(best, improved(old, advantage + 9, beta=0.7, entropy_coefficient=0.2))


def test_illegal_actions_stay_so_and_give_no_gradient():
    player = team(venv=UNEQUAL, **USUAL)
    metrics = player.learn(8, length=2)
    assert all(np.isfinite(list(each.values())).all() for each in metrics)
    assert (player.rollout(16).action[..., 0] < 2).all()


def test_weights_are_clipped_products_of_ratios(monkeypatch):
    player = team(beta=1e-3, learning_rate=3e-2, epochs=20)
    learner, seen, ratios = player.learner, [], []
    improve = ConditionalMappo._improve

    def watched(self, player, sample, weight, means):
        seen.append((sample.turns[player].step, weight.clone()))
        ratios.append(improve(self, player, sample, weight, means))
        return ratios[-1]

    monkeypatch.setattr(ConditionalMappo, "_improve", watched)
    learner.update(player.rollout(), [0])
    weight = torch.ones(10_000)
    for (step, given), ratio in zip(seen, ratios, strict=True):
        torch.testing.assert_close(given, weight[step])
        weight[step] = (weight[step] * ratio).clamp(*RATIOS)
    assert (weight == RATIOS[0]).any() and (seen[2][1] != 1).any()


def test_a_player_sees_the_actions_of_those_before_it():
    """And draws by its own key: the same as asking one network after another by hand."""
    player = team(venv="matrix(game=climbing)", **USUAL)
    player.learn(3, length=2)
    agent, key = player.roster[0], fold(7, np.arange(12))
    seats = View(
        obs=np.ones((12, 1), np.float32),
        action_mask=np.ones((12, 3), bool),
        player=np.tile([0, 1], 6),
        row=np.arange(12) + 4,
        first=np.ones(12, bool),
        key=key,
    )
    action = agent.act(seats, None)[0].action
    for env in range(6):
        before = np.zeros((1, 6), np.float32)
        for m, network in enumerate(player.learner.policies):
            ones = torch.ones(1, 1), torch.ones(1, 3, dtype=torch.bool), torch.tensor([m]), torch.from_numpy(before)
            probs = network.log_probs(*ones).exp().detach().numpy()
            row = 2 * env + m
            assert draw(key[row : row + 1], probs)[0] == action[row]
            before[0, 3 * m + action[row]] = 1
    alone = agent.act(seats.rows(slice(2, 4)), None)[0].action  # whatever other environments play
    assert alone.tolist() == action[2:4].tolist()


def test_every_step_of_the_team_is_learned_from_once():
    """Also where a player's decision waits for its successor longer than the team's does."""
    player = team()
    rollouts = [player.rollout(7) for _ in range(6)]
    used = sum(len(player.learner._sample(trajectory, [0])[0].joint) for trajectory in rollouts)
    fresh = sum(int(t.acting[:-1][t.recorded :].any(2).sum()) for t in rollouts)
    last = rollouts[-1]
    ended = (last.terminated | last.truncated)[1:].all(2) | last.acting[1:].any(2)
    waiting = sum(not ended[t:, e].any() for t, e in zip(*np.nonzero(last.acting[:-1].any(2)), strict=True))
    assert used == fresh - waiting > 300


def test_the_distilled_policy_plays_any_seat():
    player, paid = learned("matrix(game=climbing)", 25, hidden=(32, 32), distil=True)
    agent = player.learner.agent()
    log_probs, _ = agent.policy(View.at(player.venv, player.carry.timestep, *corner(player)), None)
    assert paid == pytest.approx(11, abs=0.2) and (np.exp(log_probs).max(1) > 0.9).all()
    assert not getattr(agent, "whole_team", False)
    venv = make("matrix(game=climbing)", 4)
    streams, seeds = fold(1, np.arange(2)), fold(2, np.arange(64))
    met = play_episodes(venv, [agent, agent], streams, seeds, np.tile([0, 1], (64, 1)))
    assert np.mean([episode.returns[0] for episode in met]) > 8


def corner(player):
    """Return the seats of two environments, with keys, at a first step."""
    player.begin()
    return np.array([0, 0, 1, 1]), np.array([0, 1, 0, 1]), fold(1, np.arange(4)), np.ones(4, bool)


def test_a_whole_team_sits_beside_nobody():
    player = team(venv="matrix(game=climbing)")
    agent, streams, seeds = player.learner.agent(), fold(1, np.arange(2)), fold(2, np.arange(1))
    venv = make("matrix(game=climbing)", 1)
    assert len(list(play_episodes(venv, [agent, agent], streams, seeds, np.array([[1, 1]])))) == 1
    with pytest.raises(UserError, match="plays all seats of a team cannot sit beside others"):
        list(play_episodes(venv, [agent, agent], streams, seeds, np.array([[0, 1]])))


def test_versus_does_not_seat_it():
    learners = [{"name": "conditional_mappo"}, {"name": "ippo"}]
    with pytest.raises(UserError, match="conditional_mappo plays all seats of a team, and versus seats another"):
        Versus(Versus.Config(learners=learners), make("two_step", 1).spec, key=0, total_steps=1, device="cpu")


@pytest.mark.parametrize(
    ("game", "settings", "said"),
    [
        ("openspiel:kuhn_poker", {}, r"needs a team game, .* and 'openspiel:kuhn_poker' is zero_sum: choose ippo"),
        ("foraging", {}, r"is general_sum: choose ippo or mappo, or append ' \| team_reward' to the game"),
        ("aim", {}, r"needs discrete actions, and 'aim' has continuous ones: choose mappo or happo"),
        ("two_step", {"encoder": "cnn"}, r"encoder: cnn wants views of three axes"),
    ],
)
def test_what_it_cannot_learn_is_refused(game, settings, said):
    spec = TeamReward(Aim(1)).spec if game == "aim" else make(game, 1).spec
    with pytest.raises(UserError, match=said):
        ConditionalMappo(ConditionalMappoConfig(**settings), spec, key=0, total_steps=1, device="cpu")


def test_an_update_without_decisions_changes_nothing():
    player = team(venv="matrix(game=climbing)")
    before = {name: torch.as_tensor(tensor).clone() for name, tensor in player.learner.state().items()}
    player.learner.update(player.rollout(1), [9])
    after = player.learner.state()
    assert all(torch.equal(before[name], torch.as_tensor(after[name])) for name in before if name != "counters")


SMALL = {"name": "conditional_mappo", "hidden": [8], "epochs": 1}
RUN = {"game": "two_step", "algorithm": SMALL, "steps": 64, "stretch": 64, "num_envs": 4, "rollout_length": 8}
RUN |= {"writers": (), "evaluation": {"seeds": 2}}


def run(folder, **changes):
    """Train for a moment; return the run's folder."""
    train(TrainConfig.model_validate(RUN | changes), folder, resume=False)
    return str(folder)


def test_a_run_is_evaluated_with_itself_alone(tmp_path):
    reference = run(tmp_path / "run")
    assert {line["against"] for line in lines(tmp_path / "run" / "evaluations.jsonl")} == {"self"}
    paid = marl.play("two_step", reference, 4)  # the same agent in both seats
    assert paid.returns.shape == (4, 2)
    with pytest.raises(UserError, match="cannot sit beside others, and was seated there"):
        marl.evaluate(reference, against="random", seeds=2)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"opponents": {"agents": ["random"]}}, "conditional_mappo plays all seats of a team, and meets no opponents"),
        ({"opponents": {"past": {}}}, "conditional_mappo plays all seats of a team, and meets no opponents"),
        ({"evaluation": {"panel": ["random"]}}, r"nobody can sit beside it: expected \[self\], got \[random\]"),
        ({"algorithm": SMALL | {"distil": True}, "opponents": {"agents": ["random"]}}, "meets no opponents"),
    ],
)
def test_a_run_beside_others_is_refused(changes, said):
    with pytest.raises(UserError, match=said):
        check(TrainConfig.model_validate(RUN | changes))


def test_tournaments_take_the_distilled_alone(tmp_path):
    whole = run(tmp_path / "whole")
    distilled = run(tmp_path / "distilled", algorithm=SMALL | {"distil": True})
    spec = make("two_step", 1).spec

    def entered(*agents):
        return field(TournamentConfig.model_validate({"game": "two_step", "agents": agents}), spec)

    assert len(entered(distilled, "random")) == 2
    with pytest.raises(UserError, match="whole' plays all seats of a team, and cannot sit beside others: leave it out"):
        entered(whole, "random")
    with pytest.raises(UserError, match="cannot sit beside others"):
        check(TrainConfig.model_validate(RUN | {"algorithm": {"name": "ippo"}, "opponents": {"agents": [whole]}}))


def test_partners_are_no_whole_teams():
    pool = {"method": "partners", "train": "ippo_coordination", "set": {"algorithm": SMALL, "steps": 64, "stretch": 32}}
    with pytest.raises(UserError, match="conditional_mappo plays both seats, and partners meet others"):
        PartnersConfig.model_validate(pool).checked()
