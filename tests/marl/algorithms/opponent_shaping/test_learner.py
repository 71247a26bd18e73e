"""Learners of two-player games: who sits where, whole episodes, the critic by hand, past selves, exact resume."""

import numpy as np
import pytest
import torch
from torch import nn

from games.errors import RunFailed, UserError
from games.keys import fold
from games.registry import make
from marl.algorithms.co_training import Versus
from marl.algorithms.opponent_shaping.agent import ActorAgent, ActorEnsemble
from marl.algorithms.opponent_shaping.encounters import Episodes, discounted
from marl.algorithms.opponent_shaping.lola import Lola
from marl.algorithms.opponent_shaping.loqa import Loqa, Naive
from marl.algorithms.opponent_shaping.networks import (
    Head,
    OpponentShapingConfig,
    PolicyAndQ,
    flat,
    stacked,
)
from marl.base import memory
from marl.cli.app import main
from marl.rollout.agent import Stateless
from marl.rollout.loop import Carry, rollout
from marl.rollout.seating import by_turns
from marl.rollout.types import Decision, View
from marl.training.config import TrainConfig
from marl.training.train import train

IPD = "matrix(game=prisoners_dilemma, steps=6, memory=true, truncate=true)"
TABLE = {"actor_hidden": (), "actor_memory": 0, "critic_hidden": (16, 16), "critic_memory": 0}
SMALL = {"actor_hidden": (8,), "actor_memory": 8, "critic_hidden": (8,), "critic_memory": 8}
STRANGER = "was trained on 'matrix(game=prisoners_dilemma, steps=6, memory=true, truncate=true)', whose views"


class Table:
    """A learner and its environments."""

    def __init__(self, kind, game=IPD, num_envs=8, key=1, strangers=(), share=1.0, **settings):
        self.venv = make(game, num_envs)
        config = kind.Config(**settings)
        self.learner = kind(config, self.venv.spec, key=key, total_steps=1, device="cpu")
        self.roster = [*self.learner.actors(), *strangers]
        self.mine = range(len(self.learner.actors()))
        own = self.learner.seating(num_envs)
        self.seating = by_turns(own, self.learner.leaders(), len(self.mine), len(strangers), share)
        streams = fold(key, np.arange(len(self.roster)))
        self.carry = Carry(self.venv, self.roster, streams, fold(key + 1, np.arange(num_envs)))

    def play(self):
        length = self.learner.rollout_length or self.venv.spec.max_length + 1
        return rollout(self.venv, self.roster, self.seating, self.carry, length)

    def learn(self, updates):
        for _ in range(updates):
            metrics = self.learner.update(self.play(), self.mine)
        return metrics


def encounters_of(table):
    """Return the encounters of a trajectory, as the algorithm's loss is given them."""
    learner, seen = table.learner, []
    loss = learner.loss
    learner.loss = lambda encounters: (seen.append(encounters), loss(encounters))[1]
    before = learner.state()
    before = {name: value.clone() for name, value in before.items()}
    learner.update(table.play(), table.mine)
    learner.loss = loss
    learner.load_state(before)
    return seen[0]


def weights(learner):
    return torch.cat([p.flatten() for p in learner.me.parameters()]).clone()


def test_bytes_become_numbers_from_0_to_1():
    assert flat(torch.tensor([[[0, 255]]], dtype=torch.uint8)).tolist() == [[0.0, 1.0]]


def test_no_gradient_flows_into_the_other_side():
    other = encounters_of(Table(Loqa, **TABLE)).other  # oneself, in self-play
    assert not (other.estimates.q.requires_grad or other.estimates.log_probs.requires_grad)


def test_exploration_is_mixed_in():
    """A policy that would never play action 1 plays it in ε/2 of its decisions."""
    table = Table(Naive, num_envs=256, epsilon=0.4, **TABLE)
    table.learner.me.actor.out.weight.data[0] += 50
    share = table.play().action[:6].mean()
    assert abs(share - 0.2) < 0.03


def test_entropy_is_rewarded():
    settings = TABLE | {"num_envs": 32, "learning_rate": 0.02}
    flatter, plain = (Table(Naive, entropy_coefficient=c, **settings) for c in (10.0, 0.0))
    for table in (flatter, plain):
        table.learner.me.actor.out.weight.data[1] += 2  # it defects already
        table.learn(40)
    assert flatter.learn(1)["entropy"] > plain.learn(1)["entropy"] + 0.1


def test_discounted_by_hand():
    x = torch.tensor([[1.0], [2.0], [4.0]])
    assert discounted(x, 0.5)[:, 0].tolist() == [1 + 1 + 1, 2 + 2, 4]


class TestHead:
    def test_a_table_begins_uniform_and_has_no_bias(self):
        table = Head(5, 2, (), 0, 3)
        assert (table(torch.eye(5)[:, None]) == 0).all()
        assert len(list(table.parameters())) == 1

    @pytest.mark.parametrize("hidden, memory", [((8,), 0), ((8, 8), 6), ((), 6)])
    def test_steps_are_the_same_as_the_whole(self, hidden, memory):
        head, x = Head(5, 3, hidden, memory, 3), torch.randn(7, 4, 5, generator=torch.Generator().manual_seed(1))
        state, steps = torch.zeros(4, memory) if memory else None, []
        for t in range(7):
            out, state = head.step(x[t], state)
            steps.append(out)
        torch.testing.assert_close(torch.stack(steps), head(x))


class TestEnsemble:
    """Several networks in one call say what each says alone."""

    def agents(self, settings):
        spec = make(IPD, 1).spec
        networks = [PolicyAndQ(OpponentShapingConfig(**settings), spec, key).actor for key in range(3)]
        vectors = torch.stack([nn.utils.parameters_to_vector(one.parameters()).detach() for one in networks])
        ensemble = ActorEnsemble(stacked(networks[0], vectors), "cpu", epsilon=0.1)
        return [ActorAgent(one, "cpu", epsilon=0.1) for one in networks], ensemble

    @pytest.mark.parametrize("settings", [TABLE | {"actor_hidden": (8,)}, SMALL])
    @pytest.mark.parametrize("member", [[0, 0, 1, 1, 2, 2], [2, 0, 2, 2, 0, 2], [1]])
    def test_rows_are_decided_by_the_member_that_holds_them(self, settings, member):
        alone, ensemble = self.agents(settings)
        rng, rows = np.random.default_rng(1), len(member)
        hidden = ensemble.initial_hidden(rows)
        if hidden is not None:
            hidden = rng.normal(size=hidden.shape).astype(np.float32)
        obs = rng.normal(size=(rows, 5)).astype(np.float32)
        view = View(obs, np.ones((rows, 2), bool), *[np.arange(rows)] * 3, key=fold(3, np.arange(rows)))
        decision, after = ensemble.act(view, np.array(member), hidden)
        for row, k in enumerate(member):
            one, then = alone[k].act(view.take(row), None if hidden is None else hidden[row : row + 1])
            assert one.action.tolist() == decision.action[row : row + 1].tolist()
            if hidden is not None:
                np.testing.assert_allclose(then[0], after[row], rtol=1e-4, atol=1e-5)

    def test_a_worker_is_sent_the_weights_once(self):
        """A parameter that is a view would be pickled with the weights of all parameters."""
        _, ensemble = self.agents(SMALL)
        assert all(part.untyped_storage().nbytes() == part.nbytes for part in ensemble.actors.parameters())

    @pytest.mark.parametrize("settings", [TABLE, SMALL])
    def test_a_rollout_is_the_same_as_with_agents_that_act_alone(self, settings):
        """With opponents, so that past selves hold unequal numbers of seats."""
        table = Table(Loqa, num_envs=14, past_selves=3, past_every=1, strangers=(Defects(),), share=0.5, **settings)
        table.learn(3)
        trajectory = table.play()
        other = Table(Loqa, num_envs=14, past_selves=3, past_every=1, strangers=(Defects(),), share=0.5, **settings)
        other.learn(3)
        other.roster[1:4] = [ActorAgent(past.actor, "cpu") for past in other.learner._past_selves]
        assert trajectory.action.tolist() == other.play().action.tolist()


class TestEpisodes:
    def test_seats_and_their_others(self):
        table = Table(Naive, **TABLE)
        trajectory = table.play()
        episodes = Episodes.of(trajectory, 6, "cpu")
        assert (episodes.continues == 1).all() and episodes.obs.shape == (7, 16, 5)
        for e, p in ((0, 0), (3, 1)):
            assert (episodes.action[:, 2 * e + p].numpy() == trajectory.action[:6, e, p]).all()
            assert (episodes.reward[:, 2 * e + p].numpy() == trajectory.reward[:6, e, p]).all()
        # The view after the first step is the joint action, one's own first.
        joint = 1 + 2 * episodes.action[0] + episodes.action[0, torch.arange(16) ^ 1]
        assert (episodes.obs[1].argmax(1) == joint).all()

    def test_the_time_is_beside_the_views(self):
        episodes = Episodes.of(Table(Naive, **TABLE).play(), 6, "cpu")
        timed = episodes.obs_and_time(torch.tensor([3, 0]))
        assert timed[:, 1, -1].tolist() == list(range(7)) and (timed[..., :-1] == episodes.obs[:, [3, 0]]).all()

    def test_a_game_that_is_over_has_no_future(self):
        table = Table(Naive, IPD.replace("truncate=true", "truncate=false"), **TABLE)
        assert (Episodes.of(table.play(), 6, "cpu").continues == 0).all()

    @pytest.mark.parametrize(
        "length, says",
        [(5, "to take 5 steps, as many as .*, and one took more; use ippo"), (7, "7 steps, .*, and one took 6; use")],
    )
    def test_other_lengths_are_refused(self, length, says):
        table = Table(Naive, **TABLE)
        trajectory = rollout(table.venv, table.roster, table.seating, table.carry, length + 1)
        with pytest.raises(RunFailed, match=says):
            Episodes.of(trajectory, length, "cpu")

    def test_a_player_who_sits_out_is_refused(self):
        trajectory = Table(Naive, **TABLE).play()
        trajectory.acting[3, 2, 1] = False
        with pytest.raises(RunFailed, match="to decide at every step, and player 1 sat out step 3 of an episode; use"):
            Episodes.of(trajectory, 6, "cpu")


class TestCritic:
    @pytest.mark.parametrize("over", [False, True])
    def test_sarsa_by_hand(self, over):
        """At a cut V(s_T) follows, at an end nothing; the target critic, not the learner's, is asked."""
        table = Table(Naive, IPD.replace("truncate=true", f"truncate={str(not over).lower()}"), num_envs=2, **TABLE)
        learner, episodes = table.learner, Episodes.of(table.play(), 6, "cpu")
        for p in learner.target.parameters():
            p.data += 0.1
        seats = torch.arange(4)
        estimates = learner._estimates(learner.me, episodes, seats)
        loss = learner._sarsa(episodes, seats, estimates, learner.target)
        q, far = estimates.q.detach(), learner.target(episodes.obs_and_time(seats)).detach()
        pi, total = estimates.log_probs.detach().exp(), 0.0
        for p in range(4):
            for t in range(6):
                last = 0.0 if over else (pi[6, p] * far[6, p]).sum()
                ahead = far[t + 1, p, episodes.action[t + 1, p]] if t < 5 else last
                error = abs(q[t, p, episodes.action[t, p]] - episodes.reward[t, p] - 0.96 * ahead)
                total += float(0.5 * error**2 if error < 1 else error - 0.5)
        assert float(loss.detach()) == pytest.approx(total / 24, rel=1e-5)

    @pytest.mark.parametrize("over", [False, True])
    def test_advantages_by_hand(self, over):
        table = Table(Naive, IPD.replace("truncate=true", f"truncate={str(not over).lower()}"), num_envs=2, **TABLE)
        episodes = Episodes.of(table.play(), 6, "cpu")
        estimates = table.learner._estimates(table.learner.me, episodes, torch.arange(4))
        side = table.learner._side(episodes, torch.arange(4), estimates)
        v = (estimates.log_probs.exp() * estimates.q).sum(2).detach()
        v[6] *= not over
        torch.testing.assert_close(side.advantage.detach(), episodes.reward + 0.96 * v[1:] - v[:-1])


class TestPastSelves:
    def test_they_sit_opposite_in_each_seat(self):
        learner = Table(Loqa, past_selves=3, **TABLE).learner
        assert learner.seating(6).tolist() == [[0, 1], [1, 0], [0, 2], [2, 0], [0, 3], [3, 0]]
        assert len(learner.actors()) == 4

    def test_at_most_sixteen_sit_at_the_table(self):
        assert len(Table(Loqa, past_selves=40, **TABLE).learner.actors()) == 17

    def test_more_than_memory_holds_are_refused(self, monkeypatch):
        """When one more is kept the old ones lie beside the new ones."""
        size = weights(Table(Loqa, **SMALL).learner).nbytes
        monkeypatch.setattr(memory, "physical_memory", lambda: 2 * 100 * size)
        with pytest.raises(UserError, match=r"101 past selves of loqa take up to .*: set past_selves to 80 or fewer"):
            Table(Loqa, past_selves=101, **SMALL)
        Table(Loqa, past_selves=100, **SMALL)

    def test_the_newest_are_kept_and_drawn(self):
        table = Table(Loqa, past_selves=2, past_every=2, **TABLE)
        kept = []
        for update in range(1, 6):
            table.learn(1)
            if update % 2:
                kept.append(weights(table.learner))
            newest = torch.stack(kept[-2:])
            assert torch.equal(table.learner._past_weights, newest)
            for networks in table.learner._past_selves:
                drawn = torch.cat([p.flatten() for p in networks.parameters()])
                assert any(torch.equal(drawn, row) for row in newest)

    def test_old_ones_are_drawn_too(self):
        table = Table(Loqa, past_selves=8, past_every=1, **TABLE)
        drawn = set()
        for _ in range(12):
            table.learn(1)
            for networks in table.learner._past_selves:
                now = torch.cat([p.flatten() for p in networks.parameters()])
                drawn |= {k for k, kept in enumerate(table.learner._past_weights) if torch.equal(kept, now)}
        assert drawn == set(range(8))

    def test_each_encounter_is_with_whoever_sat_there(self):
        table = Table(Loqa, num_envs=12, past_selves=3, past_every=1, **TABLE)
        table.learn(3)
        past = table.learner._past_selves
        for k, networks in enumerate(past):
            networks.actor.out.weight.data += k + 1.0
        encounters = encounters_of(table)
        assert [policy for policy, _ in encounters.other_policies] == [networks.actor for networks in past]
        for k, (policy, column) in enumerate(encounters.other_policies):
            assert column.tolist() == [2 * k, 2 * k + 1, 2 * k + 6, 2 * k + 7]
            estimates = torch.log_softmax(policy(encounters.other_obs[:, column]), 2)
            torch.testing.assert_close(encounters.other.estimates.log_probs[:, column], estimates)

    def test_only_the_learners_own_decisions_are_learnt_from(self):
        """What past selves did enters through what they are taken to think alone: their policies get no gradient."""
        table = Table(Naive, past_selves=1, past_every=1000, **TABLE)
        trajectory = table.play()
        before = weights(table.learner)
        table.learner.update(trajectory, table.mine)
        changed = trajectory.action.copy()
        changed[:, table.seating == 1] ^= 1
        other = Table(Naive, past_selves=1, past_every=1000, **TABLE)
        other.learner.update(type(trajectory)(**{**vars(trajectory), "action": changed}), other.mine)
        assert not torch.equal(before, weights(table.learner))
        assert torch.equal(weights(table.learner), weights(other.learner))


class Defects(Stateless):
    def act(self, view, hidden):
        return Decision(np.ones(len(view), np.int64)), None


class TestStrangers:
    def test_a_model_is_fitted_to_what_it_did_and_was_paid(self):
        table = Table(Loqa, num_envs=32, strangers=(Defects(),), **TABLE)
        metrics = table.learn(150)
        model = table.learner.other.actor(torch.eye(5)[:, None])[:, 0].softmax(1)
        assert (model[[0, 3, 4], 1] > 0.8).all()  # start, and whatever follows its own defections
        assert metrics["reward_of_the_other"] > metrics["reward"]

    def test_only_those_opposite_are_fitted(self):
        """At a table of two learners and a stranger, a learner's model is of who sits opposite itself."""
        learners = ({"name": "loqa", **TABLE}, {"name": "naive", **TABLE})
        table = Table(Versus, strangers=(Defects(),), share=0.5, learners=learners)
        trajectory = table.play()
        holder = trajectory.seating[0].reshape(-1)
        for k, learner in enumerate(table.learner._learners.values()):
            own, opposite = (seats.tolist() for _, seats in learner._seated(holder, [k])[:2])
            assert sorted(place ^ 1 for place in own) == opposite and len(own) == 6
        table.learner.update(trajectory, table.mine)

    def test_nobody_is_fitted_where_nobody_is_strange(self):
        table = Table(Loqa, **TABLE)
        before = table.learner.other.actor.out.weight.clone()
        table.learn(2)
        assert torch.equal(before, table.learner.other.actor.out.weight)


@pytest.mark.parametrize("kind", [Naive, Loqa, Lola])
@pytest.mark.parametrize("settings", [TABLE, SMALL | {"past_selves": 2, "past_every": 1}])
def test_resumed_is_the_same_to_the_byte(kind, settings):
    whole, first, second = (Table(kind, key=5, strangers=(Defects(),), **settings) for _ in range(3))
    trajectories = []
    for _ in range(4):
        trajectories.append(whole.play())
        whole.learner.update(trajectories[-1], whole.mine)
    for trajectory in trajectories[:2]:
        first.learner.update(trajectory, first.mine)
    second.learner.load_state(first.learner.state())
    for trajectory in trajectories[2:]:
        second.learner.update(trajectory, second.mine)
    ours, theirs = whole.learner.state(), second.learner.state()
    assert ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)


@pytest.mark.parametrize(
    "algorithm",
    [
        {"name": "loqa", "past_selves": 4, "past_every": 1} | SMALL,
        {"name": "versus", "learners": [{"name": "lola"} | SMALL, {"name": "naive"} | TABLE]},
    ],
)
def test_a_run_that_was_killed_continues_exactly(tmp_path, algorithm):
    """Two stretches at once, and one with a checkpoint between: every file of the last checkpoint is the same."""
    config = {"game": IPD, "algorithm": algorithm, "num_envs": 8, "stretch": 6 * 8 * 3, "evaluation": {"seeds": 2}}
    whole = train(TrainConfig(**config, steps=6 * 8 * 6), tmp_path / "whole", resume=False, device="cpu")
    train(TrainConfig(**config, steps=6 * 8 * 3), tmp_path / "parts", resume=False, device="cpu")
    parts = train(TrainConfig(**config, steps=6 * 8 * 6), tmp_path / "parts", resume=True, device="cpu")
    for name in ("learner.safetensors", "agent.safetensors"):
        assert (whole / name).read_bytes() == (parts / name).read_bytes()


def test_another_length_of_trajectories_is_refused(tmp_path):
    config = TrainConfig(game=IPD, algorithm={"name": "loqa"} | TABLE, rollout_length=10)
    with pytest.raises(UserError, match=r"whole episodes, 7 steps .*got rollout_length: 10"):
        train(config, tmp_path / "run", resume=False, device="cpu")
    assert not (tmp_path / "run").exists()


def test_the_rated_agent_is_the_policy():
    table = Table(Naive, **SMALL)
    table.learn(2)
    learner = table.learner
    agent = Naive.load_agent(learner.config, table.venv.spec, learner.agent_state(), device="cpu")
    actions = []
    for player in (agent, learner.agent()):
        venv = make(IPD, 8)
        carry = Carry(venv, [player], np.array([3], np.uint64), fold(4, np.arange(8)))
        actions.append(rollout(venv, [player], np.zeros((8, 2), np.int64), carry, 7).action)
    assert (actions[0] == actions[1]).all()


class TestVersus:
    LEARNERS = ({"name": "loqa", **TABLE}, {"name": "naive", **TABLE})

    def test_each_learns_from_its_own_decisions(self):
        table = Table(Versus, learners=self.LEARNERS)
        assert table.seating[:3].tolist() == [[0, 1], [1, 0], [0, 1]]
        metrics = table.learn(2)
        assert metrics["0.loqa.reward"] == metrics["1.naive.reward_of_the_other"]
        assert metrics["0.loqa.updates"] == metrics["1.naive.updates"] == 2

    def test_a_learner_is_what_it_would_be_against_a_stranger(self):
        both = Table(Versus, learners=self.LEARNERS)
        alone = Loqa(Loqa.Config(**TABLE), both.venv.spec, key=0, total_steps=1, device="cpu")
        alone.load_state(next(iter(both.learner._learners.values())).state())
        for _ in range(2):
            trajectory = both.play()
            both.learner.update(trajectory, both.mine)
            alone.update(trajectory, [0])
        assert torch.equal(weights(alone), weights(next(iter(both.learner._learners.values()))))

    def test_either_can_be_loaded(self):
        table = Table(Versus, learners=self.LEARNERS)
        table.learn(1)
        state, config = table.learner.agent_state(), table.learner.config
        for k in range(2):
            agent = Versus.load_agent(config, table.venv.spec, state, device="cpu", learner=k)
            assert torch.equal(
                agent._actor.network.out.weight, list(table.learner._learners.values())[k].me.actor.out.weight
            )
        for wrong in (2, -1, 1.0, "a", True):
            with pytest.raises(UserError, match=f"learner=0 to 1, got learner={wrong}; 0 is loqa, 1 is naive"):
                Versus.load_agent(config, table.venv.spec, state, device="cpu", learner=wrong)

    def test_its_settings_are_written_down_whole(self):
        config = Versus.Config(learners=self.LEARNERS)
        assert config.learners[0]["shaping_lambda"] == 0.9 and config.learners[1]["gamma"] == 0.96

    def test_resumed_is_the_same_to_the_byte(self):
        one, two = Table(Versus, learners=self.LEARNERS), Table(Versus, learners=self.LEARNERS, key=9)
        one.learn(2)
        two.learner.load_state(one.learner.state())
        ours, theirs = one.learner.state(), two.learner.state()
        assert ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)

    @pytest.mark.parametrize(
        "learners, says",
        [
            (({"name": "loqa"},) * 3, "3 learners need as many players"),
            (({"name": "loqa"}, {"name": "loqua"}), "loqua"),
            (({"name": "loqa"}, {}), "the key 'name' is missing in 'algorithm.learners'"),
            (({"name": "loqa", "gama": 1}, {"name": "naive"}), "did you mean 'gamma'"),
            (({"name": "loqa", "past_selves": 2}, {"name": "naive"}), "set past_selves: 0"),
            (({"name": "versus", "learners": []}, {"name": "naive"}), "cannot hold versus"),
        ],
    )
    def test_what_does_not_fit_is_refused(self, learners, says):
        with pytest.raises(UserError, match=says):
            Table(Versus, learners=learners)


@pytest.mark.parametrize(
    "game, says",
    [
        (
            "matrix(payoffs=[[[[1, 0], [0, 1]], [[1, 0], [0, 1]]], [[[1, 0], [0, 1]], [[1, 0], [0, 1]]], "
            "[[[1, 0], [0, 1]], [[1, 0], [0, 1]]]])",
            "needs two players",
        ),
        ("openspiel:bargaining", "take turns; use ippo"),
    ],
)
@pytest.mark.parametrize("kind", [Naive, Loqa, Lola])
def test_games_that_do_not_fit_are_refused(kind, game, says):
    with pytest.raises(UserError, match=says):
        kind(kind.Config(), make(game, 1).spec, key=1, total_steps=1, device="cpu")


def test_a_zero_sum_game_is_noted_and_played(tmp_path, capsys):
    """It costs nothing but the effort: LOQA says so, and trains."""
    game = IPD.replace("prisoners_dilemma", "matching_pennies")
    for algorithm in ({"name": "loqa"} | TABLE, {"name": "versus", "learners": [{"name": "loqa"} | TABLE] * 2}):
        config = TrainConfig(game=game, algorithm=algorithm, num_envs=4, steps=24, evaluation={"seeds": 1})
        train(config, tmp_path / algorithm["name"], resume=False, device="cpu")
        assert "zero-sum: there is nothing to share" in capsys.readouterr().out
    assert not Table(Loqa, **TABLE).learner.notes + Table(Naive, game, **TABLE).learner.notes


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Runs of one update at the prisoner's dilemma: LOQA's, and one of two learners."""
    folder = tmp_path_factory.mktemp("runs")
    short = {"game": IPD, "num_envs": 4, "steps": 24, "evaluation": {"panel": []}}
    loqa, both = {"name": "loqa"} | TABLE, {"name": "versus", "learners": TestVersus.LEARNERS}
    for name, algorithm in (("ipd", loqa), ("both", both)):
        train(TrainConfig(algorithm=algorithm, **short), folder / name, resume=False, device="cpu")
    return folder


@pytest.mark.parametrize(
    "command, estimates",
    [
        ("train t.yaml --set game=spread", "loqa needs two players, and 'spread' has 3; use ippo"),
        ("train t.yaml --set game=openspiel:leduc_poker(players=3)", "has 3; use ippo"),
        ("train t.yaml --set game=openspiel:bargaining", "of 'openspiel:bargaining' take turns; use ippo"),
        ("train t.yaml --set game=openspiel:negotiation", "draws its chance inside the rules"),
        ("train t.yaml --set opponents.agents=[{runs}/ipd]", STRANGER),
        ("train t.yaml --set opponents.agents=[{runs}/both(learner=1)]", STRANGER),
        ("train t.yaml --set evaluation.panel=[self,{runs}/ipd]", STRANGER),
        ("tournament run g.yaml --set agents=[random,{runs}/ipd]", STRANGER),
        ("evaluate {runs}/ipd --game coin_game", STRANGER),
        ("evaluate random --game coin_game --against {runs}/ipd", "those of 'coin_game' (shape [4, 3, 3], dtype "),
        ("evaluate {runs}/ipd(gready=true)", "a checkpoint of loqa takes greedy, got 'gready'; did you mean 'greedy'?"),
        ("evaluate {runs}/both(lerner=1)", "takes learner, greedy, got 'lerner'; did you mean 'learner'?"),
        ("evaluate {runs}/both(learner=5)", "expected learner=0 to 1, got learner=5; 0 is loqa, 1 is naive"),
        ("evaluate {runs}/both --against {runs}/both(learner=5)", "got learner=5"),
        ("train t.yaml --set algorithm.gama=0.9", "did you mean 'gamma'?"),
        ("train t.yaml --set algorithm.lookahead=3", "unknown key 'lookahead' in the section 'algorithm' of loqa"),
        ("train t.yaml --set algorithm.name=loqq", "got 'loqq'; did you mean 'loqa'?"),
        ("train t.yaml --set algorithm.shaping=.nan", "'shaping' in the section 'algorithm' of loqa"),
        ("train t.yaml --set algorithm.entropy_coefficient=.inf", "expected a finite number, got inf"),
        ("train t.yaml --set algorithm.past_selves=-1", "got -1"),
    ],
)
def test_bad_input_is_said_in_one_sentence(runs, tmp_path, monkeypatch, capsys, command, estimates):
    """What a user may get wrong, as it is typed: exit code 2, and nothing written."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "t.yaml").write_text("game: coin_game\nalgorithm: {name: loqa}\n")
    (tmp_path / "g.yaml").write_text("game: coin_game\nagents: [random]\nseeds: 1\n")
    with pytest.raises(SystemExit) as left:
        main(command.format(runs=runs).split())
    printed = capsys.readouterr()
    assert left.value.code == 2 and printed.out == ""
    assert estimates in printed.err and printed.err.startswith("marl: ") and printed.err.count("\n") == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["g.yaml", "t.yaml"]


def test_the_critic_sees_the_time_and_the_actor_does_not():
    networks = PolicyAndQ(OpponentShapingConfig(), make(IPD, 1).spec, 1)
    assert networks.actor.encode[0].in_features == 5 and networks.critic.encode[0].in_features == 6
