"""MADDPG: its targets and losses by hand, actions within their boxes, and games of one step that it learns."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from games.batch import Batch as Games
from games.contract import Array, Box, Spec
from games.errors import UserError
from games.keys import fold
from games.registry import make
from games.wrappers import TeamReward
from marl.algorithms.deterministic_gradient.maddpg import Batch, Maddpg, MaddpgConfig
from marl.algorithms.deterministic_gradient.networks import Units
from marl.learning.networks import generator_of
from marl.rollout.loop import play_episodes
from tests.marl.algorithms.policy_gradient.games import Aim, Player

AIM = {"batch_size": 64, "steps_per_update": 8, "random_steps": 200, "gamma": 0.0, "noise_steps": 3000}
AIM |= {"actor_hidden": (16,), "learning_rate": 3e-3, "critic_learning_rate": 3e-3}
TD3 = {"twin_critics": True, "actor_delay": 2, "target_noise": 0.1}


def player(venv=None, **settings):
    return Player("maddpg", Aim(16) if venv is None else venv, **(AIM | settings))


def batch_of(learner, count=64):
    return Batch.of(learner.replay.sample_steps(count, 5), learner._units, "cpu")


@pytest.mark.parametrize("settings", [None, {}, {"share_parameters": True, "centralised_gradient": True}])
def test_it_learns_to_aim(settings):
    """Two players of different boxes, paid for themselves or together; TD3's options in a team."""
    venv = Aim(16) if settings is None else TeamReward(Aim(16))
    settings = {} if settings is None else TD3 | settings
    learner = player(venv, **settings).learner
    mine = player(venv, **settings)
    before = mean_return(venv, learner.agent())
    mine.learn(24)
    assert before < -1.2 and mean_return(venv, mine.learner.agent()) > -0.5


class Meet(Games):
    """Two players of a team see a number each and choose one each; they should meet, each near what it sees.

    Both are paid -(a - b)² - (a - x)² - (b - y)², where a player knows of the other's number only that its mean is 0.
    So the best choice is half of one's own: d/da = 0 gives 2 a = x + E b = x.
    """

    def __init__(self, num_envs):
        spec = Spec("meet", 2, Array((1,)), Box(1, -1.0, 1.0), "team", "simultaneous", False, True, False, max_length=1)
        super().__init__(spec, num_envs, horizon=1, truncate=False)
        self.seen = np.zeros((num_envs, 2), np.float32)

    def open(self, envs):
        self.seen[envs] = 1.8 * self.draw(2, envs) - 0.9

    def move(self, actions):
        (a, b), (x, y) = actions[..., 0].T, self.seen.T
        self.timestep.reward[:] = -((a - b) ** 2 + (a - x) ** 2 + (b - y) ** 2)[:, None]
        return np.ones(self.num_envs, bool)

    def look(self):
        self.timestep.obs[:] = self.seen[..., None]


@pytest.mark.slow
@pytest.mark.parametrize(
    "settings", [{}, {"centralised_gradient": True, "share_parameters": True}, TD3 | {"output_penalty": 1e-3}]
)
def test_a_team_finds_its_best_decentralised_policies(settings):
    mine = player(Meet(16), activation="tanh", target_update=0.1, noise_steps=6000, **settings)
    mine.learn(100)
    seen = torch.linspace(-0.9, 0.9, 19)[:, None]
    policies = mine.learner.policies * (3 - len(mine.learner.policies))
    units = chosen(policies, seen[:, None].expand(-1, 2, -1))[..., 0].detach()
    torch.testing.assert_close(units, (seen / 2).expand(-1, 2), atol=0.2, rtol=0)


@pytest.mark.slow
def test_one_player_learns_pendulum_by_td3():
    """As maddpg_pendulum.yaml. By chance an episode pays about -1,200; TD3's implementations reach -150 to -250."""
    settings = TD3 | {"gamma": 0.99, "target_noise": 0.2, "target_update": 0.005, "noise_start": 0.1, "noise_end": 0.1}
    settings |= {"random_steps": 1000, "batch_size": 256, "actor_hidden": (64, 64), "critic_hidden": (64, 64)}
    rates = {"learning_rate": 1e-3, "critic_learning_rate": 1e-3, "steps_per_update": 1}
    mine = player(make("gymnasium:gymnasium.Pendulum-v1", 4), **settings, **rates)
    mine.learn(40, length=200)
    assert mean_return(mine.venv, mine.learner.agent()) > -300


def mean_return(venv, agent):
    seating = np.zeros((100, venv.spec.num_players), np.int64)
    met = play_episodes(venv, [agent], fold(1, np.arange(1)), fold(2, np.arange(100)), seating)
    return np.mean([episode.returns for episode in met])


def test_targets_by_hand():
    """r + γ (1 - terminated) times the smaller value of two, of the target policies' actions."""
    mine = player(gamma=0.5, twin_critics=True)
    mine.learn(3)
    learner, batch = mine.learner, batch_of(mine.learner)
    ends = batch.goes_on == 0
    assert ends.any() and not ends.all()
    target = learner.targets(batch, generator_of(0))
    torch.testing.assert_close(target[ends], batch.reward[ends])
    with torch.no_grad():
        units = chosen(learner.target_policies, batch.next_obs) * batch.next_acting[..., None]
        features = torch.cat([batch.next_obs.flatten(1), units.flatten(1)], 1)
        for i, critic in enumerate(learner.target_critics):
            value = torch.minimum(*(head(features)[:, 0] for head in critic.heads))
            expected = batch.reward[:, i] + 0.5 * value * batch.goes_on[:, i]
            torch.testing.assert_close(target[:, i], expected)


def chosen(policies, obs):
    units = [policy.units(obs[:, i], torch.full((len(obs),), i)) for i, policy in enumerate(policies)]
    return torch.stack(units, 1)


def test_target_noise_is_clipped_and_stays_in_the_box():
    learner = player(target_noise=5.0, target_noise_clip=0.1, gamma=1.0).learner
    seen = []
    learner.target_critics[0].forward = lambda views, units: seen.append(units) or torch.zeros(len(views), 1)
    mine = player()
    mine.learn(2)
    learner.targets(batch_of(mine.learner), generator_of(0))
    (units,) = seen
    assert 0.05 < units.abs().max() <= 0.1 + 1e-1 and (units[:, 1, 1] == 0).all()  # the padding of player 1


def test_policies_change_as_often_as_they_are_to():
    mine = player(actor_delay=3, random_steps=0)
    learner, changed = mine.learner, []
    trajectory = mine.rollout()
    learner.replay.add(trajectory, [0])
    for _ in range(6):
        before = [parameter.clone() for parameter in learner.policies[0].parameters()]
        target = learner.target_critics[0].heads[0][0].weight.clone()
        learner._learn(batch_of(learner), Ignored())
        moved = any(not torch.equal(a, b) for a, b in zip(before, learner.policies[0].parameters(), strict=True))
        assert moved == (not torch.equal(target, learner.target_critics[0].heads[0][0].weight))
        changed.append(moved)
    assert changed == [False, False, True] * 2


class Ignored:
    def add(self, logged):
        pass


@pytest.mark.parametrize("team", [False, True])
@pytest.mark.parametrize("centralised", [False, True])
def test_the_gradient_of_a_policy_is_that_of_its_own_action(team, centralised):
    """- mean Q_i, differentiated for policy i alone; others act as replayed, or as their policies do now."""
    mine = player(TeamReward(Aim(16)) if team else None, centralised_gradient=centralised, twin_critics=True)
    mine.learn(2)
    learner, batch = mine.learner, batch_of(mine.learner)
    loss, value = learner._actor_loss(batch)
    now, values = chosen(learner.policies, batch.obs), []
    for i, policy in enumerate(learner.policies):
        units = (now.detach() if centralised else batch.units).clone()
        units[:, i] = now[:, i]
        q = learner.critics[learner.critic_of[i]](batch.obs.flatten(1), units)[:, 0]
        own = list(policy.parameters())
        expected = torch.autograd.grad(-(q * batch.acting[:, i]).mean(), own, retain_graph=True)
        for got, wanted in zip(torch.autograd.grad(loss, own, retain_graph=True), expected, strict=True):
            torch.testing.assert_close(got, wanted)
        assert any(part.abs().sum() > 0 for part in expected)
        values.append((q * batch.acting[:, i]).mean().detach())
    torch.testing.assert_close(value, torch.stack(values).mean())
    assert (torch.autograd.grad(loss, learner.policies[1].body[-1].weight)[0][1] == 0).all()  # player 1's padding


def test_one_policy_for_all_knows_who_plays():
    """Its gradient is the sum of those of all players, and each player's action has its own numbers."""
    mine = player(share_parameters=True)
    mine.learn(2)
    learner, batch = mine.learner, batch_of(mine.learner)
    (policy,) = learner.policies
    assert len(learner._actor_optimizers) == 1 and len(learner.agent_state()) == len(policy.state_dict())
    now = chosen([policy, policy], batch.obs)
    assert (now[:, 1, 1] == 0).all() and (now[:, 0, 1] != 0).any()
    torch.testing.assert_close(learner._of_players([policy], "units", batch.obs), now)
    same = batch.obs[:, :1].expand(-1, 2, -1)
    assert (chosen([policy, policy], same)[:, 0, 0] != chosen([policy, policy], same)[:, 1, 0]).any()


def test_a_team_has_one_critic():
    assert len(player(TeamReward(Aim(4))).learner.critics) == 1 and len(player().learner.critics) == 2


def test_units_are_the_box():
    units = Units(Aim(1).spec)
    low, high = Aim(1).spec.action_bounds
    assert units.of(low[None])[0].tolist() == [[-1, -1], [-1, 0]] and units.of(high[None])[0].tolist() == [
        [1, 1],
        [1, 0],
    ]
    ones = np.ones((2, 2), np.float32)
    assert (units.points(ones, np.arange(2)) == high).all() and (units.points(-ones, np.arange(2)) == low).all()


def test_exploration_is_noise_by_key_within_the_bounds():
    mine = player(noise_start=3.0, random_steps=0)
    low, high = mine.venv.spec.action_bounds
    trajectory = mine.rollout(60)
    acting, action = trajectory.acting[:-1], trajectory.action
    assert ((action >= low) & (action <= high))[acting].all() and (action == high)[acting].any()
    alone = player(noise_start=3.0, random_steps=0)
    assert np.array_equal(alone.rollout(60).action, action)  # nothing is drawn that has no key
    mine.learner.steps = 10**6
    assert mine.learner.actors()[0].noise == pytest.approx(0.05)


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        (lambda: make("two_step", 1).spec, r"maddpg needs continuous actions, and those of 'two_step' are discrete"),
        (lambda: turns(), r"maddpg needs players who act all at once, and those of 'aim' take turns"),
    ],
)
def test_what_it_cannot_learn_is_refused(spec, said):
    with pytest.raises(UserError, match=said):
        Maddpg(MaddpgConfig(), spec(), key=0, total_steps=1, device="cpu")


def turns():
    return replace(Aim(1).spec, turns="sequential")
