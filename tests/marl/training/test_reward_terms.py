"""Terms of the reward: what they pay by hand, that learners see it and logs do not, and the same bytes after a kill."""

import json
import math
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from games.contract import Box
from games.errors import UserError
from games.registry import make
from marl.agents import checkpoint
from marl.agents.load import load_entrant
from marl.base.origin import Origin
from marl.base.schema import dump, load, validate
from marl.learning.registry import configured
from marl.rollout.agent import Random, Stateless, policy_of
from marl.rollout.loop import rollout
from marl.rollout.seating import Draw, self_play
from marl.rollout.types import Decision, View
from marl.training.collectors import beginning
from marl.training.config import OpponentsConfig, RewardTermConfig, TrainConfig
from marl.training.reward_terms import LEAST, CrossPlay, Entropy, RewardTerms, load_reward_terms
from marl.training.train import as_begun, check, prepare, train
from tests.marl.training.test_train import files, lines, same

GAME = "matrix(game=coordination, steps=3, memory=true)"
TINY = {
    "game": GAME,
    "algorithm": {"name": "ippo", "hidden": (8,), "minibatch_size": 64},
    "steps": 400,
    "stretch": 200,
    "num_envs": 8,
    "rollout_length": 7,
    "evaluation": {"panel": ("self",), "seeds": 4},
    "writers": (),
}
UNIFORM = {"name": "entropy", "weight": 0.5, "agents": ["random"]}


def config(**changes) -> TrainConfig:
    return validate(TrainConfig, TINY | changes, Origin("a test"))


class Leans(Stateless):
    """Choose action 1 with a probability."""

    def __init__(self, one):
        self.one = one

    def act(self, view, hidden):
        return Decision(np.ones(len(view), np.int64)), None

    def policy(self, view, hidden):
        probabilities = np.broadcast_to([1 - self.one, self.one], (len(view), 2))
        with np.errstate(divide="ignore"):
            return np.log(probabilities).astype(np.float32), None


class Counts:
    """Choose action 1 with a probability of 1 / (n + 1) at the n-th decision of an episode, and others evenly."""

    def initial_hidden(self, rows):
        return np.ones(rows)

    def policy(self, view, hidden):
        others = view.action_mask.shape[1] - 1
        probabilities = np.tile((1 - 1 / (hidden[:, None] + 1)) / others, others + 1)
        probabilities[:, 1] = 1 / (hidden + 1)
        return np.log(probabilities).astype(np.float32), hidden + 1


def entrant(agent, name="an agent"):
    return SimpleNamespace(agent=agent, parts=(), reference=name, digest=name, rest=lambda: None)


def recordings(game, roster, lengths, share=0.0, num_envs=4):
    """Return the trajectories of so many steps each, by a learner and opponents that sit in a share of the episodes."""
    venv = make(game, num_envs)
    players = venv.spec.num_players
    draw = Draw(1, np.ones((players, len(roster) - 1)), share, [0], np.arange(players)) if len(roster) > 1 else None
    how = beginning(3, self_play(num_envs, players), len(roster), draw)
    carry = how.carry(venv, roster)
    for length in lengths:
        yield rollout(venv, roster, how.seating, carry, length, how.draw)


def shaped(terms, game, roster, lengths=(20,), share=0.0, num_envs=4):
    """Return each trajectory, with that which the learner sees and what was logged."""
    terms.begin(num_envs)
    return [(one, *terms.shape(one, [0])) for one in recordings(game, roster, lengths, share, num_envs)]


def of(term, *agents, weight=1.0, game=GAME, opponents=None):
    spec = make(game, 1).spec
    own = [entrant(agent) for agent in agents]
    return RewardTerms({"it": term(weight, spec, own, opponents or OpponentsConfig())}, [own], spec)


class TestEntropy:
    def test_by_hand(self):
        """Mean policy (0.35, 0.65): action 1 is worth −ln 0.65, and a team of two is paid for both seats."""
        terms = of(Entropy, Leans(0.5), Leans(0.8), weight=0.1)
        ((played, seen, metrics),) = shaped(terms, GAME, [Leans(0.5)])
        moved = played.acting[:-1]
        expected = np.where(moved, played.reward - 0.1 * 2 * math.log(0.65), played.reward)
        assert seen.reward == pytest.approx(expected) and moved.any() and not moved.all()
        assert metrics == {"reward_terms/it": pytest.approx(-0.1 * 2 * 3 * math.log(0.65))}  # three steps an episode

    def test_each_player_is_paid_its_own_where_there_is_no_team(self):
        game = "matrix(game=prisoners_dilemma, steps=3, memory=true)"
        terms = of(Entropy, Leans(0.2), game=game)
        ((played, seen, _),) = shaped(terms, game, [Random(make(game, 1).spec)])
        worth = -np.log(np.where(played.action == 1, 0.2, 0.8))
        assert seen.reward == pytest.approx(played.reward + np.where(played.acting[:-1], worth, 0.0), abs=1e-5)

    def test_what_no_agent_would_do_has_a_finite_worth(self):
        ((_, seen, _),) = shaped(of(Entropy, Leans(0.0)), GAME, [Leans(1.0)])
        assert seen.reward.max() == pytest.approx(1 - 2 * math.log(LEAST))

    def test_agents_with_memory_see_each_episode_from_its_start(self):
        """Over recordings that cut episodes, and overlap by the decisions that wait for their successors."""
        lengths = (5, 1, 2, 7, 5)
        pays = {n: -2 * math.log(1 / (n + 1)) for n in (1, 2, 3)}
        for played, seen, _ in shaped(of(Entropy, Counts()), GAME, [Leans(1.0)], lengths):
            assert played.recorded in (0, 1)
            steps = (seen.reward - played.reward)[..., 0]
            at = np.zeros(4, int)
            whole = np.zeros(4, bool)
            for t in range(len(steps)):
                whole |= played.first[t]
                at[played.first[t]] = 0
                at += played.acting[t, :, 0]
                rows = whole & played.acting[t, :, 0]
                assert steps[t, rows] == pytest.approx([pays[n] for n in at[rows]], abs=1e-5)

    def test_no_recording_pays_otherwise_than_one_long_one(self):
        game = "matrix(game=coordination, steps=5, memory=true)"
        roster = [Random(make(game, 1).spec)]
        ((_, whole, _),) = shaped(of(Entropy, Leans(0.3), Counts(), game=game), game, roster, (24,))
        parts = shaped(of(Entropy, Leans(0.3), Counts(), game=game), game, roster, (5, 1, 6, 12))
        new = np.concatenate([seen.reward[seen.recorded :] for _, seen, _ in parts])
        assert new == pytest.approx(whole.reward)
        old = [seen.reward[: seen.recorded] for _, seen, _ in parts]
        at = np.cumsum([0, 5, 1, 6])
        assert all(part == pytest.approx(whole.reward[t - len(part) : t]) for part, t in zip(old, at, strict=True))

    def test_an_episode_that_begins_where_the_learner_does_not_act_is_seen_from_its_start(self):
        """In recordings of one step of one game, an opponent in the first seat begins the episode alone."""
        game = "openspiel:tiny_hanabi"
        spec = make(game, 1).spec
        roster, told = [Random(spec), Random(spec)], {"share": 1.0, "num_envs": 1}
        ((played, whole, _),) = shaped(of(Entropy, Counts(), game=game), game, roster, (60,), **told)
        parts = shaped(of(Entropy, Counts(), game=game), game, roster, (1,) * 60, **told)
        assert np.concatenate([seen.reward[seen.recorded :] for _, seen, _ in parts]) == pytest.approx(whole.reward)
        assert (played.seating[played.first[:-1]][:, 0] == 1).any()

    def test_opponents_are_not_paid(self):
        game = "matrix(game=prisoners_dilemma, steps=3, memory=true)"
        spec = make(game, 1).spec
        ((played, seen, _),) = shaped(of(Entropy, Leans(0.4), game=game), game, [Random(spec), Random(spec)], share=1.0)
        own = (played.seating == 0) & played.acting[:-1]
        assert ((seen.reward != played.reward) == own).all() and own.any()

    def test_a_checkpoint_is_asked_for_its_own_policy(self, tmp_path):
        run = train(config(), tmp_path / "run", resume=False)
        spec = make(GAME, 1).spec
        terms = load_reward_terms(
            [RewardTermConfig(name="entropy", weight=1.0, agents=(str(run),))], OpponentsConfig(), spec
        )
        asked = load_entrant(str(run), spec).agent
        ((played, seen, _),) = shaped(terms, GAME, [Random(spec)])
        start = played.first[:-1]
        rows, key = played.index[:-1][start].reshape(-1), np.zeros(2 * start.sum(), np.uint64)
        seats = np.tile([0, 1], start.sum())
        view = View(played.obs[rows], played.action_mask[rows], seats, seats, np.ones(len(rows), bool), key)
        log_probs, _ = asked.policy(view, None)
        chosen = np.take_along_axis(log_probs, played.action[start].reshape(-1, 1), 1).reshape(-1, 2)
        assert (seen.reward - played.reward)[start][:, 0] == pytest.approx(-chosen.sum(1), abs=1e-5)


class TestCrossPlay:
    OPPONENTS = OpponentsConfig(agents=("random",))

    def test_the_sign_turns_where_an_opponent_plays(self):
        spec = make(GAME, 1).spec
        terms = of(CrossPlay, weight=0.25, opponents=self.OPPONENTS)
        ((played, seen, metrics),) = shaped(terms, GAME, [Leans(1.0), Random(spec)], (40,), share=0.5)
        crossed = (played.seating == 1).any(2, keepdims=True)
        assert crossed.any() and not crossed.all()
        assert seen.reward == pytest.approx(np.where(crossed, -0.25 * played.reward, played.reward))
        assert metrics["reward_terms/it"] < 0

    def test_it_needs_opponents_and_self_play(self):
        for opponents in (OpponentsConfig(), OpponentsConfig(agents=("random",), share=1.0)):
            with pytest.raises(UserError, match="cross_play needs opponents in a part of the episodes"):
                of(CrossPlay, opponents=opponents)


class TestRuns:
    def test_a_weight_of_zero_changes_no_byte(self, tmp_path):
        plain = train(config(), tmp_path / "plain", resume=False)
        zero = train(config(reward_terms=[UNIFORM | {"weight": 0}]), tmp_path / "zero", resume=False)
        for file in (checkpoint.AGENT, checkpoint.LEARNER):
            assert (plain / file).read_bytes() == (zero / file).read_bytes()
        assert checkpoint.read(plain)["digest"] == checkpoint.read(zero)["digest"]
        assert "reward_terms" not in checkpoint.read(plain)["config"]

    def test_returns_are_of_the_games_reward(self, tmp_path):
        """Uniform agents pay each episode the same: 3 steps of 2 seats, half of ln 2 each."""
        train(config(reward_terms=[UNIFORM]), tmp_path / "run", resume=False)
        logged = [line for line in lines(tmp_path / "run" / "metrics.jsonl") if "rollout/return_mean" in line]
        assert logged and all(0 <= line["rollout/return_mean"] <= 3 for line in logged)
        assert all(line["reward_terms/entropy"] == pytest.approx(3 * math.log(2), abs=1e-5) for line in logged)
        for line in (tmp_path / "run" / "evaluations.jsonl").read_text().splitlines():
            assert max(json.loads(line)["return_mean"]) <= 3

    def test_a_killed_run_goes_on_to_the_byte(self, tmp_path):
        settings = config(reward_terms=[UNIFORM | {"agents": ["random", "constant(action=0)"]}])
        train(settings, tmp_path / "whole", resume=False)
        train(settings, tmp_path / "cut", resume=False, until=200)
        train(settings, tmp_path / "cut", resume=True)
        assert same(tmp_path / "whole", tmp_path / "cut")
        assert files(tmp_path / "whole") != files(_plain(tmp_path))

    def test_a_config_is_read_back(self, tmp_path):
        settings = config(reward_terms=[UNIFORM], opponents={"agents": ["random"]})
        (tmp_path / "config.yaml").write_text(dump(settings))
        assert load(TrainConfig, tmp_path / "config.yaml", record=True) == settings
        assert as_begun(config(), tmp_path).reward_terms == settings.reward_terms  # what is left open is the run's

    def test_what_a_unit_of_work_knows_are_digests(self):
        inputs = check(config(reward_terms=[UNIFORM])).inputs
        (term,) = inputs["reward_terms"]
        assert term == {"name": "entropy", "weight": 0.5, "agents": [load_entrant("random", make(GAME, 1).spec).digest]}
        assert "reward_terms" not in check(config()).inputs


def _plain(tmp_path):
    train(config(), tmp_path / "plain", resume=False)
    return tmp_path / "plain"


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"reward_terms": [UNIFORM | {"name": "entropie"}]}, "got 'entropie'; did you mean 'entropy'?"),
        ({"reward_terms": [UNIFORM | {"weight": -0.1}]}, "expected a number of at least 0, got -0.1"),
        ({"reward_terms": [UNIFORM | {"wieght": 1}]}, "did you mean 'weight'?"),
        ({"reward_terms": [{"name": "entropy", "weight": 1}]}, "expected agents, whose policies it asks for"),
        ({"reward_terms": [UNIFORM, UNIFORM]}, "expected each reward term once, got 'entropy' twice"),
        ({"reward_terms": [UNIFORM | {"name": "cross_play"}]}, "expected no agents, of the reward term 'cross_play'"),
        ({"reward_terms": [{"name": "cross_play", "weight": 1}]}, "cross_play needs opponents"),
        ({"reward_terms": [UNIFORM | {"agents": ["tests.bots:First"]}]}, "expected checkpoints or built-in agents"),
        ({"reward_terms": [UNIFORM | {"agents": ["nobody"]}]}, "got 'nobody'"),
        ({"reward_terms": [UNIFORM], "game": "openspiel:kuhn_poker"}, "is zero-sum, which learners rely on"),
        (
            {"reward_terms": [UNIFORM | {"agents": ["uct(simulations=2)"]}], "game": "matrix(game=climbing)"},
            "tells none",
        ),
    ],
)
def test_what_does_not_fit(changes, sentence, tmp_path):
    for entry in (check, lambda settings: prepare(settings, tmp_path / "run")):
        with pytest.raises(UserError) as caught:
            entry(config(**changes))
        assert sentence in str(caught.value)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("name", ["iql", "vdn", "qmix", "aerial", "concaveq"])
def test_learners_of_values_take_entropy_and_tell_their_policies(name):
    made = check(config(game="matrix(game=climbing)", algorithm={"name": name}, reward_terms=[UNIFORM]))
    assert made.config.reward_terms[0].name == "entropy"
    _, learner, settings = configured({"name": name}, "algorithm", typed=True)
    spec = make("matrix(game=climbing)", 1).spec
    assert policy_of(learner(settings, spec, key=0, total_steps=1, device="cpu").agent()) is not None


def test_entropy_is_of_discrete_actions():
    spec = replace(make(GAME, 1).spec, action=Box(1, -1.0, 1.0))
    with pytest.raises(UserError, match="entropy needs discrete actions"):
        Entropy(1.0, spec, [], OpponentsConfig())
